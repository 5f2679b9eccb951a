"""A group comes to be, says something else of itself, gets another owner, ends; and what holds for every command."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.groups.core import GroupsCore
from tables.groups import Group
from tests.cores import Partition, ask, create, do, groups
from tests.records import records
from topics import catalog
from topics.answers import Applied, Refused
from topics.entities import Permission, Profile
from topics.events import GroupCreated, GroupDeleted, GroupUpdated, Muted, OwnerChanged
from topics.relations import (
    AddMembers,
    AddRoleMembers,
    Command,
    CreateChannel,
    CreateGroup,
    CreateRole,
    DeleteGroup,
    Mute,
    RelationRecord,
    RemoveMembers,
    TransferOwnership,
    UpdateGroup,
)
from topics.wire import ToRequester

_AT = 1_000_000  # the moment of everything here


@pytest.fixture
def partition() -> Partition:
    """A server of which `owner` is the owner, and ann and bob are members."""
    partition = groups()
    partition.apply(create("owner", "ann", "bob", owner="owner", kind="server"))
    return partition


def _group(partition: Partition) -> Group:
    core = partition.core
    assert isinstance(core, GroupsCore)
    return core.desk.groups.look("app", "g")


def _clean_up(partition: Partition) -> None:
    while partition.core.due_ms() == 0:
        partition.tick()


def _give(partition: Partition, user: str, *permissions: Permission) -> None:
    partition.apply(ask(CreateRole, role="r", allow=list(permissions)), ask(AddRoleMembers, role="r", users=[user]))


# Created.


@pytest.mark.parametrize("kind", ["server", "team", "room"])
def test_a_group_is_created_with_its_profile_and_its_owner(kind: str) -> None:
    partition = groups()
    profile = {"name": "N", "topic": "T", "searchable": True, "weight": 7, "join_mode": "open"}
    created = do(partition, CreateGroup, kind=kind, members=["ann", "bob"], owner="ann", by="ann", **profile)
    [event] = created.events
    assert isinstance(event, GroupCreated)
    assert (event.kind, event.users, event.ordinals, event.owner, event.by) == (
        *(kind, ["ann", "bob"], [0, 1], "ann", "ann"),
    )
    assert event.profile == Profile(name="N", topic="T", searchable=True, weight=7, join_mode="open")
    partition.crash()
    assert (_group(partition).profile, _group(partition).owner) == (event.profile, 0)


def test_group_exists(partition: Partition) -> None:
    assert do(partition, CreateGroup, members=["x"]).answer == "group_exists"


def test_unknown_member_as_the_owner() -> None:
    assert do(groups(), CreateGroup, members=["ann"], owner="bob").answer == "unknown_member"


def test_who_creates_makes_nobody_else_the_owner() -> None:
    assert do(groups(), CreateGroup, members=["ann", "bob"], owner="bob", by="ann").answer == "not_permitted"
    assert do(groups(), CreateGroup, members=["ann", "bob"], by="ann").answer == 2


# Updated.


def test_a_groups_profile_and_join_mode_by_who_manages_the_group(partition: Partition) -> None:
    assert do(partition, UpdateGroup, name="x", by="ann").answer == "not_permitted"
    assert do(partition, UpdateGroup, name="x", by="stranger").answer == "not_permitted"
    _give(partition, "ann", "manage_group")
    for by, name in (("ann", "A"), ("owner", "O"), (None, "S")):
        [event] = do(partition, UpdateGroup, name=name, by=by).events
        assert isinstance(event, GroupUpdated)
        assert (event.profile, event.by) == (Profile(name=name), by)
    [event] = do(partition, UpdateGroup, join_mode="open", avatar="a").events
    assert event.profile == Profile(name="S", join_mode="open", avatar="a")
    partition.crash()
    assert _group(partition).profile == event.profile


# Owned.


def test_the_ownership_is_transferred_by_the_owner_alone(partition: Partition) -> None:
    _give(partition, "ann", "manage_group", "manage_members", "manage_roles")
    assert do(partition, TransferOwnership, to="ann", by="ann").answer == "not_permitted"
    assert do(partition, TransferOwnership, to="stranger", by="owner").answer == "unknown_member"
    [event] = do(partition, TransferOwnership, to="ann", by="owner").events
    assert isinstance(event, OwnerChanged)
    assert (event.owner, event.by) == ("ann", "owner")
    assert do(partition, TransferOwnership, to="bob", by="owner").answer == "not_permitted"
    assert do(partition, TransferOwnership, to="bob").answer == 1  # the back end
    assert do(partition, RemoveMembers, users=["owner"], by="owner").answer == 1  # may leave now
    assert do(partition, RemoveMembers, users=["bob"], by="bob").answer == "owner_stays"


def test_a_muted_member_that_becomes_the_owner_is_muted_no_more(partition: Partition) -> None:
    partition.apply(ask(Mute, users=["ann"], until=_AT + 9))
    lifted, changed = do(partition, TransferOwnership, to="ann", by="owner").events
    assert isinstance(lifted, Muted)
    assert (lifted.until, lifted.users, lifted.ordinals) == (0, ["ann"], [1])
    assert isinstance(changed, OwnerChanged)
    assert changed.version == lifted.version + 1
    assert _group(partition).mutes.muted(1, _AT) == 0


# Deleted.


def test_a_group_is_deleted_by_the_owner_or_the_back_end(partition: Partition) -> None:
    partition.apply(create("ann", group="h"))
    assert [r.code for r in partition.apply(ask(DeleteGroup, by="ann")).told(Refused)] == ["not_permitted"]
    assert [r.code for r in partition.apply(ask(DeleteGroup, by="ann", group="h")).told(Refused)] == ["not_permitted"]
    for fields in ({"by": "owner"}, {"group": "h"}):
        seen = partition.apply(ask(DeleteGroup, **fields))
        assert [type(event) for event in seen.records(catalog.RELATION_EVENTS)] == [GroupDeleted]
        assert [r.code for r in partition.apply(ask(DeleteGroup, **fields)).told(Refused)] == ["unknown_group"]


def test_nothing_of_a_deleted_group_is_left_but_its_row(partition: Partition) -> None:
    _give(partition, "ann", "kick")
    partition.apply(ask(CreateChannel, channel="c"), ask(Mute, users=["ann"], until=_AT + 9))
    before = {key[:1] for key in partition.store.rows}
    partition.apply(ask(DeleteGroup))
    _clean_up(partition)
    left = {key[:1] for key in partition.store.rows}
    assert left < before
    assert left <= {b"g", b"n", b"!"}  # the group, the links' numbers, the version of the rows


# Every command.


def test_version_changed_where_another_is_expected(partition: Partition) -> None:
    for expected in (0, 2):
        seen = partition.apply(ask(AddMembers, users=["x"], expected=expected))
        assert [refused.code for refused in seen.told(Refused)] == ["version_changed"]
    seen = partition.apply(ask(AddMembers, users=["x"], expected=1), ask(AddMembers, users=["y"], expected=1))
    assert [answer.version for answer in seen.told(Applied)] == [2]
    assert [refused.code for refused in seen.told(Refused)] == ["version_changed"]


def test_expected_holds_for_a_group_that_is_to_be_created() -> None:
    partition = groups()
    assert [r.code for r in partition.apply(ask(CreateGroup, expected=1)).told(Refused)] == ["version_changed"]
    assert [a.version for a in partition.apply(ask(CreateGroup, expected=0)).told(Applied)] == [1]


_KINDS: list[type[Command]] = list(RelationRecord.__args__)


@pytest.mark.parametrize("kind", [kind for kind in _KINDS if kind is not CreateGroup], ids=lambda kind: kind.__name__)
@settings(max_examples=3)
@given(data=st.data())
def test_unknown_group(kind: type[Command], data: st.DataObject) -> None:
    partition = groups()
    drawn = data.draw(records(kind))
    fields = {name: getattr(drawn, name) for name in kind.__struct_fields__}
    fields |= {"app": "app", "group": "g", "reply": ToRequester("me"), "expected": None, "request": "r"}
    seen = partition.apply((catalog.RELATIONS, kind(**fields)))
    assert [refused.code for refused in seen.told(Refused)] == ["unknown_group"]
    assert partition.store.rows == {}


def _fields(data: st.DataObject, kind: type[Command]) -> dict[str, Any]:
    """A command about a few users, roles and places, as it may come."""
    drawn = data.draw(records(kind))
    fields = {name: getattr(drawn, name) for name in kind.__struct_fields__}
    names = st.sampled_from(["owner", "ann", "bob", "eve", "main", "c", "r", "everyone"])
    for name in fields.keys() & {"user", "to", "channel", "category", "role", "invite", "application", "code"}:
        fields[name] = data.draw(names if fields[name] is not None else st.none())
    for name in fields.keys() & {"users", "members", "add_users", "remove_users"}:
        fields[name] = data.draw(st.lists(names, min_size=1, max_size=3))
    for name in fields.keys() & {"until", "expires_at"}:
        fields[name] = data.draw(st.sampled_from([1, 2_000_000]))
    if "change_set" in fields:
        fields |= {"change_set": None, "part": 1, "parts": 1}
    by = data.draw(st.sampled_from([None, None, "owner", "ann", "eve"]))
    return fields | {"app": "app", "group": "g", "request": "r", "expected": None, "reply": ToRequester("me"), "by": by}


@given(data=st.data())
def test_any_commands_in_any_order_are_harmless_twice_and_refused_without_a_trace(data: st.DataObject) -> None:
    partition = groups()
    kind = data.draw(st.sampled_from(["server", "team", "direct", "room"]))
    partition.apply(create("owner", "ann", kind=kind, owner="owner"))
    version = 1
    for command in data.draw(st.lists(st.sampled_from(_KINDS), max_size=12)):
        fields = _fields(data, command)
        before = dict(partition.store.rows)
        seen = partition.apply((catalog.RELATIONS, command(**fields)))
        assert not seen.rejected()
        events = seen.records(catalog.RELATION_EVENTS)
        assert [event.version for event in events] == list(range(version + 1, version + len(events) + 1))
        version += len(events)
        answers: list[Applied | Refused] = [*seen.told(Applied), *seen.told(Refused)]
        [answer] = answers
        if isinstance(answer, Refused):
            assert not events
            assert partition.store.rows == before
        else:
            assert (answer.version, answer.changed > 0) == (version, bool(events))
        _clean_up(partition)
        after = dict(partition.store.rows)
        if data.draw(st.booleans()):
            partition.crash()
        again = partition.apply((catalog.RELATIONS, command(**fields)))
        assert not again.records(catalog.RELATION_EVENTS)
        assert [answer.changed for answer in again.told(Applied)] in ([], [0])
        _clean_up(partition)
        assert partition.store.rows == after
