"""Commands on roles: what they change, refuse and tell; who ranks above whom."""

from __future__ import annotations

from typing import Any

import pytest

from streams.groups.core import GroupsCore
from tables.grants import names_of
from tables.groups import Group
from tables.permissions import held
from tests.cores import Partition, ask, create, do, groups, policy, remove
from topics import catalog
from topics.answers import Applied, Refused
from topics.entities import EVERYONE, GroupKind, Permission, Role
from topics.events import RoleCreated, RoleDeleted, RoleMembersAdded, RoleMembersRemoved, RoleUpdated
from topics.relations import (
    AddRoleMembers,
    Command,
    CreateChannel,
    CreateRole,
    DeleteRole,
    EditList,
    RemoveRoleMembers,
    SetOverride,
    UpdateRole,
)

_AT = 1_000_000  # the moment of everything here
_ALL: list[tuple[type[Command], dict[str, Any]]] = [
    (CreateRole, {"role": "new"}),
    (UpdateRole, {"role": "low", "name": "n"}),
    (AddRoleMembers, {"role": "low", "users": ["eve"]}),
    (RemoveRoleMembers, {"role": "low", "users": ["ann"]}),
    (DeleteRole, {"role": "low"}),
]


@pytest.fixture
def partition() -> Partition:
    """A team: `owner` is its owner; ann holds `low` (1), bob holds `mid` (5) and so manages roles, eve holds none."""
    partition = groups()
    partition.apply(
        create("owner", "ann", "bob", "eve", owner="owner"),
        ask(CreateRole, role="low"),
        ask(CreateRole, role="mid", priority=5, allow=["manage_roles", "kick"]),
        ask(AddRoleMembers, role="low", users=["ann"]),
        ask(AddRoleMembers, role="mid", users=["bob"]),
    )
    return partition


def _group(partition: Partition) -> Group:
    core = partition.core
    assert isinstance(core, GroupsCore)
    return core.desk.groups.look("app", "g")


def _may(partition: Partition, user: str) -> list[Permission]:
    group = _group(partition)
    ordinal = group.members.ordinal_of(user)
    assert ordinal is not None
    return names_of(held(group, ordinal))


def _holders(partition: Partition, role: str) -> list[int]:
    return list(_group(partition).structure.roles.members(role))


def test_a_role_is_created_changed_and_deleted(partition: Partition) -> None:
    made = do(partition, CreateRole, role="r", name="R", priority=3, allow=["ban", "kick", "kick"], deny=["send"])
    role = Role("r", "R", 3, ["kick", "ban"], ["send"])
    assert (made.answer, made.events) == (1, [RoleCreated("app", "g", 6, _AT, role)])
    changed = do(partition, UpdateRole, role="r", name="S", allow=[], by="owner")
    role = Role("r", "S", 3, [], ["send"])
    assert (changed.answer, changed.events) == (1, [RoleUpdated("app", "g", 7, _AT, role, by="owner")])
    assert do(partition, UpdateRole, role="r", name="S").answer == 0
    gone = do(partition, DeleteRole, role="r")
    assert (gone.answer, gone.events) == (1, [RoleDeleted("app", "g", 8, _AT, "r")])


def test_members_get_and_lose_a_role(partition: Partition) -> None:
    given = do(partition, AddRoleMembers, role="low", users=["eve", "ann", "nobody", "bob", "eve"])
    assert given.answer == 2
    assert given.events == [RoleMembersAdded("app", "g", 6, _AT, "low", ["eve", "bob"], [3, 2])]
    taken = do(partition, RemoveRoleMembers, role="low", users=["bob", "nobody", "owner"])
    assert taken.answer == 1
    assert taken.events == [RoleMembersRemoved("app", "g", 7, _AT, "low", ["bob"], [2])]
    assert _holders(partition, "low") == [1, 3]


def test_a_deleted_role_is_held_by_nobody_and_named_nowhere() -> None:
    partition = groups()
    partition.apply(
        create("ann", "bob", kind="server"),
        ask(CreateRole, role="r", allow=["kick"]),
        ask(AddRoleMembers, role="r", users=["ann", "bob"]),
        ask(CreateChannel, channel="c", black_roles=["r"]),
        ask(EditList, which="white", channel="c", add_roles=["r"]),
        ask(SetOverride, channel="c", role="r", deny=["send"]),
    )
    gone = do(partition, DeleteRole, role="r")
    assert (gone.answer, len(gone.events)) == (2, 1)
    assert _may(partition, "ann") == ["send", "invite"]
    partition.apply(ask(CreateRole, role="r"))
    structure = _group(partition).structure
    assert structure.listed_roles("c", "black") == structure.listed_roles("c", "white") == []
    assert structure.overrides("c") == {}
    assert _holders(partition, "r") == []


def test_who_is_a_member_no_more_holds_no_role(partition: Partition) -> None:
    partition.apply(remove("ann"))
    assert _holders(partition, "low") == []
    partition.crash()
    assert _holders(partition, "low") == []


@pytest.mark.parametrize("kind", ["server", "team", "room"])
def test_groups_of_many_have_roles(kind: GroupKind) -> None:
    partition = groups()
    partition.apply(create("ann", "bob", kind=kind))
    assert do(partition, CreateRole, role="r").answer == 1
    assert do(partition, AddRoleMembers, role="r", users=["ann"]).answer == 1


@pytest.mark.parametrize(("command", "more"), _ALL)
def test_a_direct_group_has_no_roles(command: type[Command], more: dict[str, Any]) -> None:
    partition = groups()
    partition.apply(create("ann", "bob", kind="direct"))
    assert do(partition, command, **more).answer == "wrong_kind"


@pytest.mark.parametrize(
    ("command", "more", "code"),
    [
        (CreateRole, {"role": "low"}, "exists_already"),
        (CreateRole, {"role": EVERYONE}, "exists_already"),
        (UpdateRole, {"role": "none"}, "unknown_role"),
        (DeleteRole, {"role": "none"}, "unknown_role"),
        (AddRoleMembers, {"role": "none", "users": ["ann"]}, "unknown_role"),
        (RemoveRoleMembers, {"role": "none", "users": ["ann"]}, "unknown_role"),
        (UpdateRole, {"role": EVERYONE, "priority": 3}, "everyone_stays"),
        (UpdateRole, {"role": EVERYONE, "name": "n"}, "everyone_stays"),
        (DeleteRole, {"role": EVERYONE}, "everyone_stays"),
        (AddRoleMembers, {"role": EVERYONE, "users": ["ann"]}, "everyone_stays"),
        (RemoveRoleMembers, {"role": EVERYONE, "users": ["ann"]}, "everyone_stays"),
    ],
)
def test_what_is_not_there_or_there_already_is_refused(
    partition: Partition, command: type[Command], more: dict[str, Any], code: str
) -> None:
    assert do(partition, command, **more).answer == code


def test_what_everyone_may_do_can_be_changed(partition: Partition) -> None:
    changed = do(partition, UpdateRole, role=EVERYONE, allow=["mention_all"], deny=["kick"])
    role = Role(EVERYONE, "", 0, ["mention_all"], ["kick"])
    assert changed.events == [RoleUpdated("app", "g", 6, _AT, role)]
    assert _may(partition, "eve") == ["mention_all"]
    assert _may(partition, "bob") == ["mention_all", "manage_roles"]  # a denial beats what `mid` allows


@pytest.mark.parametrize(("command", "more"), _ALL)
def test_it_takes_the_permission_manage_roles(
    partition: Partition, command: type[Command], more: dict[str, Any]
) -> None:
    partition.apply(ask(CreateRole, role="high", priority=9, allow=["ban", "manage_channels"]))
    partition.apply(ask(AddRoleMembers, role="high", users=["eve"]))
    for by in ("ann", "eve", "stranger"):
        assert do(partition, command, **more, by=by).answer == "not_permitted"
    partition.apply(ask(RemoveRoleMembers, role="high", users=["eve"]))
    assert do(partition, command, **more, by="bob").answer == 1


def test_one_manages_only_roles_and_members_below_ones_highest_role(partition: Partition) -> None:
    partition.apply(ask(CreateRole, role="peer", priority=5), ask(CreateRole, role="high", priority=6))
    partition.apply(ask(AddRoleMembers, role="peer", users=["eve"]))

    def answer(command: type[Command], **more: Any) -> int | str:
        return do(partition, command, by="bob", **more).answer

    for role in ("mid", "peer", "high"):
        assert answer(UpdateRole, role=role, name="n") == "not_permitted"
        assert answer(DeleteRole, role=role) == "not_permitted"
        assert answer(AddRoleMembers, role=role, users=["ann"]) == "not_permitted"
        assert answer(RemoveRoleMembers, role=role, users=["ann"]) == "not_permitted"
    assert answer(CreateRole, role="new", priority=5) == "not_permitted"
    assert answer(UpdateRole, role="low", priority=5) == "not_permitted"
    assert answer(UpdateRole, role="low", priority=4) == 1
    for other in ("bob", "eve", "owner"):
        assert answer(AddRoleMembers, role="low", users=["ann", other]) == "not_permitted"
    assert answer(RemoveRoleMembers, role="low", users=["ann"]) == 1
    assert answer(UpdateRole, role=EVERYONE, allow=[]) == 1
    for role in ("mid", "peer", "high"):
        assert do(partition, UpdateRole, role=role, name="n", by="owner").answer == 1


def test_one_gives_only_permissions_that_one_holds(partition: Partition) -> None:
    def answer(command: type[Command], **more: Any) -> int | str:
        return do(partition, command, by="bob", **more).answer

    assert answer(CreateRole, role="r", allow=["ban"]) == "not_permitted"
    assert answer(CreateRole, role="r", allow=["kick"], deny=["ban"]) == 1
    assert answer(UpdateRole, role="r", allow=["kick", "ban"]) == "not_permitted"
    assert answer(UpdateRole, role="r", deny=[]) == "not_permitted"  # to lift a denial is to give
    assert answer(AddRoleMembers, role="r", users=["eve"]) == 1
    assert answer(RemoveRoleMembers, role="r", users=["eve"]) == "not_permitted"
    assert answer(DeleteRole, role="r") == "not_permitted"
    partition.apply(ask(UpdateRole, role="low", allow=["ban"]))
    assert answer(AddRoleMembers, role="low", users=["eve"]) == "not_permitted"
    assert answer(UpdateRole, role="low", name="n") == 1  # what it has already is not given
    assert answer(UpdateRole, role="low", allow=[]) == 1


def test_roles_up_to_what_the_policy_allows() -> None:
    partition = groups()
    partition.apply(policy("app", roles=1))
    partition.apply(create("ann"), ask(UpdateRole, role=EVERYONE, allow=[]))
    assert do(partition, CreateRole, role="a").answer == 1
    full = do(partition, CreateRole, role="b")
    assert full.answer == "limit_reached"
    assert full.seen.told(Refused)[0].limit == 1
    partition.apply(ask(DeleteRole, role="a"))
    assert do(partition, CreateRole, role="b").answer == 1


def test_a_lot_of_role_members_in_parts_counts_each_part_once() -> None:
    partition = groups()
    users = [f"u{at}" for at in range(30)]
    partition.apply(create(*users, kind="server"), ask(CreateRole, role="r"))
    parts = [
        ask(AddRoleMembers, role="r", users=users[at * 10 : at * 10 + 10], change_set="big", part=at + 1, parts=3)
        for at in range(3)
    ]
    seen = partition.apply(parts[2], parts[0], parts[2])
    partition.crash()
    again = partition.apply(*parts)
    assert [answer.changed for answer in [*seen.told(Applied), *again.told(Applied)]] == [10, 10, 0, 0, 10, 0]
    events = seen.records(catalog.RELATION_EVENTS) + again.records(catalog.RELATION_EVENTS)
    assert [(event.version, event.change_set) for event in events] == [(3, "big"), (4, "big"), (5, "big")]
    assert _holders(partition, "r") == list(range(30))
