"""A bad record hurts only itself, and is kept with where it stood and why."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.rejects import reject
from tables.batch import Outputs, Record
from tables.channels import Channel, Taken
from tables.outbox import Lots
from tests.cores import Partition, Seen, create, groups, links, send, users
from topics import catalog, limits
from topics.messages import Message
from topics.rejects import Reject


def _reject(seen: Seen) -> Reject:
    [reject] = seen.records(catalog.REJECTS)
    assert seen.out.rejected == 1
    return reject  # type: ignore[no-any-return]


def test_a_reject_names_topic_partition_offset_reason_and_bytes() -> None:
    partition = groups(4, 2)
    record = replace(partition.record(catalog.MESSAGES, b"\x00\xff"), key=b"app:g")
    seen = partition.commit([record])
    reject = _reject(seen)
    assert (reject.topic, reject.partition, reject.offset) == ("messages", 2, record.offset)
    assert (reject.reason, reject.value, reject.key) == ("undecodable", b"\x00\xff", b"app:g")
    assert list(seen.out.records) == [(catalog.REJECTS.name, 2)]


def test_the_records_around_a_bad_one_are_applied() -> None:
    partition = groups()
    at = partition.now_ms
    bad: list[tuple[catalog.Topic, bytes]] = [(topic, b'{"t":') for topic in (catalog.MESSAGES, catalog.RELATIONS)]
    seen = partition.apply(bad[0], create("ann"), bad[1], send("ann", "c", at), (catalog.RESYNC, b""))
    assert seen.rejected() == ["undecodable"] * 3
    assert [m.seq for lot in seen.records(catalog.HISTORY) for m in lot.entries if isinstance(m, Message)] == [1]


def test_poison_is_not_applied_again() -> None:
    partition = groups()
    partition.apply(create("ann"))
    topic, message = send("ann", "c", partition.now_ms)
    reject = _reject(partition.commit([partition.record(topic, message, poison="ValueError: no")]))
    assert (reject.reason, reject.detail) == ("handler_failed", "ValueError: no")


def test_the_core_names_the_record_it_is_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    partition = groups()
    partition.apply(create("ann"))
    records = [partition.record(*send("ann", f"c{i}", partition.now_ms)) for i in range(3)]
    monkeypatch.setattr(Channel, "take", Mock(side_effect=[Taken(1, 0, again=False), ValueError]))
    with pytest.raises(ValueError):  # noqa: PT011 -- any error will do
        partition.core.apply(records, partition.now_ms)
    assert partition.core.applying == 1


@pytest.mark.parametrize("role", [groups, users, links])
def test_what_raises_after_the_records_is_no_records_fault(
    role: Callable[[], Partition], monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = role()
    partition.apply((catalog.REJECTS, b""), (catalog.REJECTS, b""))
    monkeypatch.setattr(Lots, "drain", Mock(side_effect=ValueError))
    for count in (0, 2):
        records = [partition.record(catalog.REJECTS, b"") for _ in range(count)]
        with pytest.raises(ValueError):  # noqa: PT011 -- any error will do
            partition.core.apply(records, partition.now_ms)
        assert partition.core.applying == count


def test_the_largest_record_and_key_make_a_reject_that_fits() -> None:
    partition = groups()
    huge = b"\xff" * (2 * limits.RECORD_BYTES)
    record = replace(partition.record(catalog.MESSAGES, huge), key=huge)
    seen = partition.commit([record])
    assert _reject(seen).reason == "record_too_large"
    [(key, value)] = seen.out.records[catalog.REJECTS.name, 0]
    assert len(value) + len(key or b"") <= limits.RECORD_BYTES


_ROLES = {"groups": groups, "users": users}
_READ = {
    "groups": [catalog.MESSAGES, catalog.RELATIONS, catalog.BINDINGS, catalog.LINK_VOIDS, catalog.RESYNC],
    "users": [catalog.SESSIONS, catalog.MEMBERSHIPS, catalog.LINK_VOIDS],
}


@given(st.sampled_from(sorted(_ROLES)), st.data(), st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_any_bytes_on_any_topic_are_rejected_and_never_raise(
    role: str, data: st.DataObject, values: list[bytes]
) -> None:
    partition: Partition = _ROLES[role]()
    seen = partition.apply(*((data.draw(st.sampled_from(_READ[role])), value) for value in values))
    assert len(seen.rejected()) == len(values)
    assert partition.store.rows == {}


def test_what_one_user_can_bring_about_does_not_count_towards_stopping_the_worker() -> None:
    out = Outputs()
    record = Record(catalog.SESSIONS.name, 7, 1_000, b"app:ann", b"{}")
    reject(out, 3, record, "too_many_sessions", "limit")
    assert out.rejected == 0
    reject(out, 3, record, "undecodable", "no record")
    assert out.rejected == 1
