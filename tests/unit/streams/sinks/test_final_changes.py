"""What each event changes in the final state: by key, stamped with the group's version, removals before rows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cassandra.cqltypes import BooleanType, BytesType, ListType, LongType, UTF8Type
from hypothesis import given, settings

from streams.sinks.final import changes, schema
from streams.sinks.final.changes import Change, Ended
from streams.sinks.final.core import FinalCore, Settle
from streams.sinks.final.store import writing
from tables.batch import Record
from tests.records import records
from topics import catalog, events, limits
from topics.codec import decode, encode
from topics.events import FlipLot, Flips, RelationEvent
from topics.owners import StateStored

NAMES = ListType.apply_parameters([UTF8Type])
TYPES = {str: UTF8Type, int: LongType, bytes: BytesType, bool: BooleanType, list: NAMES}


def made(event: RelationEvent) -> list[Change]:
    return list(changes.of_event(event, encode(event)))


def of(found: list[Change], name: str) -> list[tuple[Any, ...]]:
    return [change.values for change in found if change.statement.name == name]


def run(*values: Any, topic: Any = catalog.RELATION_EVENTS, partitions: int = 1) -> Settle:
    core = FinalCore(None, 0, partitions)  # type: ignore[arg-type] # it keeps no rows
    given_ = [Record(topic.name, at, 1_000 + at, None, encode(value)) for at, value in enumerate(values, 5)]
    return core.apply(given_, 0)


def members(version: int, ordinals: list[int]) -> events.MembersAdded:
    return events.MembersAdded("a", "g", version, 9, [f"u{ordinal}" for ordinal in ordinals], ordinals)


@pytest.mark.parametrize("type_", events.RelationEvent.__args__)
def test_every_event_is_kept_and_its_changes_are_serialized_as_the_driver_would(type_: Any) -> None:
    @settings(max_examples=5)
    @given(records(type_))
    def holds(event: Any) -> None:
        event = msgspec.structs.replace(event, version=event.version >> 2)  # as its timestamp is twice as high
        if isinstance(event, events.GroupCreated | events.MembersAdded):
            event = msgspec.structs.replace(event, users=["u"], ordinals=[3])
        found = made(event)
        assert of(found, "event")[0][-2] == encode(event)
        for change in found:
            wire = change.statement.serialized(change.values)
            for value, packed in zip(change.values, wire, strict=True):
                assert packed == (None if value is None else TYPES[type(value)].serialize(value, 5))
            columns = dict(zip(change.statement.columns, change.values, strict=True))
            writes = change.statement.cql.startswith("INSERT")
            assert columns["timestamp"] == 2 * event.version + writes

    holds()


def test_members_that_follow_one_another_go_by_one_removal() -> None:
    gone = [5, 3, 4, 9, schema.ORDINALS - 1, schema.ORDINALS]
    event = events.MembersRemoved("a", "g", 4, 1, [f"u{ordinal}" for ordinal in gone], gone)
    assert [values[4:] for values in of(made(event), "cut_members")] == [
        (3, 5),
        (9, 9),
        (schema.ORDINALS - 1, schema.ORDINALS - 1),
        (schema.ORDINALS, schema.ORDINALS),
    ]


def test_a_cleared_list_is_removed_before_what_is_put_on_it() -> None:
    event = events.ListEdited(
        "a", "g", 7, 1, "white", "c", cleared=True, added_roles=["r"], added=["ann"], added_ordinals=[0]
    )
    found = made(event)
    assert of(found, "cut_list_roles") == [(14, "a", "g", "channel", "c", "white")]
    assert of(found, "list_role") == [("a", "g", "channel", "c", "white", "r", 7, 15)]
    assert of(found, "list_user") == [("a", "g", "channel", "c", "white", 0, 0, 7, 15)]
    assert changes.ended_by(event) == Ended("a", "g", 7, place=("channel", "c"), lists=("white",))


def test_what_ends_is_removed_by_partitions_however_many_rows_they_hold() -> None:
    ended = Ended("a", "g", 9, whole=True)
    found = list(changes.of_ended(ended, 1_000_000, ["r", "s"], [("channel", "c"), ("category", "k")]))
    buckets = 1_000_000 // schema.ORDINALS + 1
    assert len(of(found, "drop_members")) == buckets
    assert len(of(found, "drop_role_members")) == 2 * buckets
    assert len(of(found, "drop_list_users")) == 2 * 2 * buckets
    assert len(of(found, "drop_channel_members")) == 1
    assert all(change.values[0] == 18 for change in found)
    assert {change.statement.name for change in changes.of_group_index(ended)} == {
        *("drop_roles", "drop_places", "drop_list_roles", "drop_overrides", "drop_requests")
    }


def test_a_lot_of_ten_thousand_members_is_some_tens_of_writes() -> None:
    event = members(1, list(range(limits.LOT_USERS)))
    runs = writing(made(event)).left
    assert len(runs) <= 2 + limits.LOT_USERS / limits.STORE_BATCH_ROWS
    assert all(run.size <= limits.STORE_BATCH_BYTES or len(run.rows) == 1 for run in runs)


def test_a_channels_list_given_anew_loses_who_is_not_named_and_an_ended_one_loses_all() -> None:
    anew = list(changes.of_flips(Flips("a", "g", "c", 3, ["ann"], [0], whole=True)))
    assert [change.statement.name for change in anew] == [*("drop_channel_members", "channel_list", "channel_member")]
    assert [change.values[0 if change.statement.columns[0] == "timestamp" else -1] for change in anew] == [6, 7, 7]
    ended = list(changes.of_flips(Flips("a", "g", "c", 4, ended=True)))
    assert of(ended, "channel_list") == [("a", "g", "c", False, 4, 9)]


def test_a_batch_says_how_far_each_topic_is_stored_and_how_far_each_group() -> None:
    out = run(members(3, [0]), members(4, [1]))
    ((_, told),) = out.records[catalog.STORED.name, 0]
    assert decode(catalog.STORED.name, told) == StateStored("relation-events", 0, 7, 1_006)
    assert of(out.upto, "group_version") == [("a", "g", 4, 9)]
    assert len(out.sources) == len(out.changes)
    out = run(FlipLot(0, [Flips("a", "g", "c", 3, ["ann"], [0])]), topic=catalog.CHANNEL_MEMBERS)
    ((key, told),) = out.records[catalog.STORED.name, 0]
    assert (key, decode(catalog.STORED.name, told).topic) == (b"channel-members/0", "channel-members")
    assert run().records == {}


def test_what_belongs_elsewhere_is_rejected() -> None:
    out = run(FlipLot(1, [Flips("a", "g", "c", 3, ["ann"], [0])]), topic=catalog.CHANNEL_MEMBERS)
    assert (out.changes, out.rejected) == ([], 1)
    for partitions in range(2, 9):
        rejected = run(members(3, [0]), partitions=partitions).rejected
        out = run(members(3, [0]), partitions=partitions)
        assert bool(out.changes) is not bool(rejected)
