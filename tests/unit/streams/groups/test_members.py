"""Members come and go, are muted and banned, and have a profile: by whom, refused with which code, told how."""

from __future__ import annotations

from typing import Any

import pytest

from streams.groups.core import GroupsCore
from tables.groups import Group
from tables.origins import Origin
from tests.cores import Partition, add, ask, bind, create, do, groups, policy
from topics.answers import Refused
from topics.deliveries import Unbound
from topics.entities import MemberProfile, Permission
from topics.events import (
    Banned,
    MembersAdded,
    MembersRemoved,
    MemberUpdated,
    Muted,
    Unbanned,
)
from topics.memberships import Joined, Left
from topics.relations import (
    AddMembers,
    AddRoleMembers,
    BanMembers,
    Command,
    CreateChannel,
    CreateCode,
    CreateGroup,
    CreateRole,
    DeleteGroup,
    Join,
    Mute,
    RemoveMembers,
    UnbanMembers,
    UpdateMember,
)

_AT = 1_000_000  # the moment of everything here
_LATER = _AT + 60_000


@pytest.fixture
def partition() -> Partition:
    """A server of which `owner` is the owner, and ann, bob and eve are members."""
    partition = groups()
    partition.apply(create("owner", "ann", "bob", "eve", owner="owner", kind="server"))
    return partition


def _group(partition: Partition) -> Group:
    core = partition.core
    assert isinstance(core, GroupsCore)
    return core.desk.groups.look("app", "g")


def _members(partition: Partition) -> list[str]:
    return [user for _, user in _group(partition).members]


def _give(partition: Partition, user: str, *permissions: Permission, priority: int = 5) -> None:
    """A member gets a role of its own that allows this."""
    role = f"of-{user}"
    partition.apply(
        ask(CreateRole, role=role, priority=priority, allow=list(permissions)),
        ask(AddRoleMembers, role=role, users=[user]),
    )


# Coming.


def test_members_added_by_the_back_end_or_by_who_manages_members(partition: Partition) -> None:
    assert do(partition, AddMembers, users=["new"], by="ann").answer == "not_permitted"
    assert do(partition, AddMembers, users=["new"], by="stranger").answer == "not_permitted"
    for by in (None, "owner"):
        added = do(partition, AddMembers, users=[f"by-{by}", "ann"], by=by)
        assert added.answer == 1
        [event] = added.events
        assert isinstance(event, MembersAdded)
        assert (event.users, event.how, event.by) == ([f"by-{by}"], "added", by)
        [joined] = added.seen.memberships()
        assert isinstance(joined, Joined)
        assert joined.users == event.users
    _give(partition, "ann", "manage_members")
    assert do(partition, AddMembers, users=["new"], by="ann").answer == 1


def test_since_when_how_and_by_whom_a_member_is_one_is_kept(partition: Partition) -> None:
    partition.now_ms += 5
    partition.apply(ask(AddMembers, users=["x", "y"], by="owner"))
    partition.crash()
    origins = _group(partition).origins
    assert [origins.of(ordinal) for ordinal in range(6)] == [Origin(0, _AT, "added")] * 4 + [
        Origin(4, _AT + 5, "added", "owner")
    ] * 2


def test_limit_reached_of_members_changes_nothing() -> None:
    partition = groups()
    partition.apply(policy("app", group_members=3))
    assert do(partition, CreateGroup, members=["a", "b", "c", "d"]).answer == "limit_reached"
    assert do(partition, CreateGroup, members=["a", "b", "a"]).answer == 2
    seen = partition.apply(ask(AddMembers, users=["b", "c", "d"]))
    [refused] = seen.told(Refused)
    assert (refused.code, refused.limit) == ("limit_reached", 3)
    assert _members(partition) == ["a", "b"]
    assert do(partition, AddMembers, users=["b", "c", "a"]).answer == 1
    assert do(partition, Join, user="d").answer == "limit_reached"


def test_another_apps_policy_is_not_this_ones() -> None:
    partition = groups()
    partition.apply(policy("other", group_members=2))
    assert do(partition, CreateGroup, members=["a", "b", "c"]).answer == 3


# Going.


def test_left_by_oneself_alone(partition: Partition) -> None:
    left = do(partition, RemoveMembers, users=["ann"], by="ann")
    [event] = left.events
    assert isinstance(event, MembersRemoved)
    assert (event.users, event.ordinals, event.why, event.by) == (["ann"], [1], "left", "ann")
    [news] = left.seen.memberships()
    assert isinstance(news, Left)
    assert (news.users, news.ordinals) == (["ann"], [1])


def test_kicked_by_who_may_and_ranks_above(partition: Partition) -> None:
    assert do(partition, RemoveMembers, users=["bob"], by="ann").answer == "not_permitted"
    _give(partition, "ann", "kick")
    _give(partition, "bob", priority=5)
    assert do(partition, RemoveMembers, users=["bob"], by="ann").answer == "not_permitted"  # not below
    assert do(partition, RemoveMembers, users=["eve", "bob"], by="ann").answer == "not_permitted"  # not all of them
    assert do(partition, RemoveMembers, users=["ann", "eve"], by="ann").answer == "not_permitted"  # not below oneself
    kicked = do(partition, RemoveMembers, users=["eve", "stranger"], by="ann")
    assert [(event.users, event.why, event.by) for event in kicked.events] == [(["eve"], "kicked", "ann")]
    assert [event.why for event in do(partition, RemoveMembers, users=["ann"], by="owner").events] == ["kicked"]
    assert [event.why for event in do(partition, RemoveMembers, users=["bob"]).events] == ["removed"]


def test_who_leaves_hears_nothing_from_that_batch_on(partition: Partition) -> None:
    partition.apply(bind("ann", 1, 10), bind("bob", 2, 11))
    [unbound] = partition.apply(ask(BanMembers, users=["ann"])).entries("l", Unbound)
    assert (unbound.ordinals, unbound.slots) == ([1], [10])


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (RemoveMembers, {}),
        (RemoveMembers, {"by": "owner"}),
        (BanMembers, {}),
        (Mute, {"until": _LATER}),
    ],
)
def test_owner_stays_and_so_does_all_of_its_lot(
    partition: Partition, kind: type[Command], fields: dict[str, Any]
) -> None:
    assert do(partition, kind, users=["ann", "owner", "bob"], **fields).answer == "owner_stays"
    assert _members(partition) == ["owner", "ann", "bob", "eve"]


def test_owner_cannot_leave(partition: Partition) -> None:
    assert do(partition, RemoveMembers, users=["owner"], by="owner").answer == "owner_stays"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (AddMembers, {"users": ["eve"]}),
        (RemoveMembers, {"users": ["ann"]}),
        (BanMembers, {"users": ["ann"]}),
        (Join, {"user": "eve"}),
    ],
)
def test_direct_is_fixed(kind: type[Command], fields: dict[str, Any]) -> None:
    partition = groups()
    partition.apply(create("ann", "bob", kind="direct"))
    assert do(partition, kind, **fields).answer == "direct_is_fixed"


def test_who_is_a_member_no_more_leaves_roles_mutes_and_profile(partition: Partition) -> None:
    _give(partition, "ann", "kick")
    partition.apply(ask(Mute, users=["ann"], until=_LATER), ask(UpdateMember, user="ann", nick="Ann"))
    removed = do(partition, RemoveMembers, users=["ann"])
    assert [type(event) for event in removed.events] == [MembersRemoved]  # the rest follows by rule
    for crash in (False, True):
        if crash:
            partition.crash()
        group = _group(partition)
        assert group.mutes.all(_AT) == {}
        assert len(group.profiles) == 0
        assert not group.structure.roles.members("of-ann")
    partition.apply(add("ann"))
    assert _group(partition).profiles.of(4) == MemberProfile()
    assert do(partition, RemoveMembers, users=["eve"], by="ann").answer == "not_permitted"


# Profiles.


def test_own_profile_is_free_and_others_by_who_manages_members(partition: Partition) -> None:
    own = do(partition, UpdateMember, user="ann", nick="Ann", weight=3, by="ann")
    [event] = own.events
    assert isinstance(event, MemberUpdated)
    assert (event.user, event.ordinal, event.by) == ("ann", 1, "ann")
    assert event.profile == MemberProfile(nick="Ann", weight=3)
    assert do(partition, UpdateMember, user="ann", nick="A", by="bob").answer == "not_permitted"
    assert do(partition, UpdateMember, user="bob", nick="B", by="stranger").answer == "not_permitted"
    _give(partition, "bob", "manage_members")
    other = do(partition, UpdateMember, user="ann", custom="x", by="bob")
    assert [event.profile for event in other.events] == [MemberProfile(nick="Ann", weight=3, custom="x")]
    assert do(partition, UpdateMember, user="ann", avatar="a").answer == 1
    partition.crash()
    assert _group(partition).profiles.of(1) == MemberProfile("Ann", "a", "x", 3)


@pytest.mark.parametrize("by", [None, "owner"])
def test_unknown_member(partition: Partition, by: str | None) -> None:
    assert do(partition, UpdateMember, user="stranger", nick="x", by=by).answer == "unknown_member"


def test_who_is_no_member_has_no_profile_of_its_own(partition: Partition) -> None:
    assert do(partition, UpdateMember, user="stranger", nick="x", by="stranger").answer == "not_permitted"


def test_a_profile_is_told_whole_with_its_mute(partition: Partition) -> None:
    partition.apply(ask(Mute, users=["ann"], until=_LATER))
    [event] = do(partition, UpdateMember, user="ann", nick="Ann").events
    assert event.profile == MemberProfile(nick="Ann", muted_until=_LATER)


# Mutes.


def test_muted_members_by_who_may_and_ranks_above(partition: Partition) -> None:
    assert do(partition, Mute, users=["bob"], until=_LATER, by="ann").answer == "not_permitted"
    _give(partition, "ann", "mute")
    _give(partition, "bob", priority=6)
    assert do(partition, Mute, users=["eve", "bob"], until=_LATER, by="ann").answer == "not_permitted"
    muted = do(partition, Mute, users=["eve", "stranger"], until=_LATER, by="ann")
    assert muted.answer == 1
    [event] = muted.events
    assert event == Muted("app", "g", event.version, _AT, until=_LATER, users=["eve"], ordinals=[3], by="ann")
    assert _group(partition).mutes.muted(3, _AT) == _LATER
    assert _group(partition).mutes.muted(3, _LATER) == 0


def test_a_mute_is_lifted_by_a_moment_that_has_passed(partition: Partition) -> None:
    partition.apply(ask(Mute, users=["ann", "bob"], until=_LATER))
    lifted = do(partition, Mute, users=["ann", "eve"], until=0)
    [event] = lifted.events
    assert (event.until, event.users, event.ordinals) == (0, ["ann"], [1])
    assert do(partition, Mute, users=["bob"], until=_AT).answer == 1
    assert _group(partition).mutes.all(_AT) == {}


def test_a_mute_whose_time_is_over_is_none(partition: Partition) -> None:
    partition.apply(ask(Mute, users=["ann"], until=_AT + 10))
    partition.now_ms += 10
    assert do(partition, Mute, users=["ann"], until=0).answer == 0
    assert len(_group(partition).mutes) == 0


def test_the_group_is_muted_and_no_longer(partition: Partition) -> None:
    muted = do(partition, Mute, until=_LATER, by="owner")
    [event] = muted.events
    assert (event.until, event.users, event.channel) == (_LATER, [], None)
    partition.crash()
    assert _group(partition).muted_until == _LATER
    assert do(partition, Mute, until=0).answer == 1
    assert _group(partition).muted_until == 0


def test_a_channel_is_muted_and_no_longer(partition: Partition) -> None:
    assert do(partition, Mute, until=_LATER, channel="c").answer == "unknown_channel"
    partition.apply(ask(CreateChannel, channel="c"))
    [event] = do(partition, Mute, until=_LATER, channel="c").events
    assert (event.until, event.users, event.channel) == (_LATER, [], "c")
    partition.crash()
    assert _group(partition).structure.channels["c"].muted_until == _LATER
    assert do(partition, Mute, until=1, channel="c").answer == 1
    assert _group(partition).structure.channels["c"].muted_until == 0


def test_bad_command_to_mute_members_in_one_channel(partition: Partition) -> None:
    assert do(partition, Mute, until=_LATER, users=["ann"], channel="c").answer == "bad_command"


def test_wrong_kind_of_group_to_mute() -> None:
    partition = groups()
    partition.apply(create("ann", "bob", kind="direct"), create("ann", "bob", kind="team", group="t"))
    assert do(partition, Mute, until=_LATER, users=["ann"]).answer == "wrong_kind"
    assert do(partition, Mute, until=_LATER, channel="main", group="t").answer == "wrong_kind"
    assert do(partition, Mute, until=_LATER, users=["ann"], group="t").answer == 1


def test_limit_reached_of_muted_members() -> None:
    partition = groups()
    partition.apply(policy("app", muted_members=2))
    partition.apply(create("a", "b", "c"))
    assert do(partition, Mute, users=["a", "b", "c"], until=_LATER).answer == "limit_reached"
    assert do(partition, Mute, users=["a", "b"], until=_LATER).answer == 2
    assert do(partition, Mute, users=["a", "b"], until=_LATER + 1).answer == 2
    assert do(partition, Mute, users=["c"], until=_LATER).answer == "limit_reached"
    assert do(partition, Mute, users=["a"], until=0).answer == 1
    assert do(partition, Mute, users=["c"], until=_LATER).answer == 1


# Bans.


def test_banned_by_who_may_and_ranks_above(partition: Partition) -> None:
    assert do(partition, BanMembers, users=["bob"], by="ann").answer == "not_permitted"
    _give(partition, "ann", "ban")
    _give(partition, "bob")
    assert do(partition, BanMembers, users=["bob"], by="ann").answer == "not_permitted"
    banned = do(partition, BanMembers, users=["eve", "stranger"], by="ann")
    assert banned.answer == 2
    ban, removed = banned.events
    assert isinstance(ban, Banned)
    assert (ban.users, ban.until, ban.by) == (["eve", "stranger"], None, "ann")
    assert isinstance(removed, MembersRemoved)
    assert (removed.users, removed.why, removed.version) == (["eve"], "banned", ban.version + 1)


def test_banned_users_are_kept_out_until_the_ban_is_lifted(partition: Partition) -> None:
    partition.apply(ask(BanMembers, users=["eve", "x"]))
    partition.crash()
    assert do(partition, AddMembers, users=["eve", "x", "y"]).answer == 1
    assert _members(partition) == ["owner", "ann", "bob", "y"]
    assert do(partition, Join, user="eve").answer == "banned"
    assert do(partition, UnbanMembers, users=["eve", "y"], by="ann").answer == "not_permitted"
    lifted = do(partition, UnbanMembers, users=["eve", "y"], by="owner")
    [event] = lifted.events
    assert isinstance(event, Unbanned)
    assert (event.users, event.by) == (["eve"], "owner")
    assert do(partition, Join, user="eve").answer == 1
    assert _group(partition).bans.page(10, _AT) == [("x", None)]


def test_a_ban_ends_at_its_moment(partition: Partition) -> None:
    [ban, _] = do(partition, BanMembers, users=["eve"], until=_LATER).events
    assert ban.until == _LATER
    assert do(partition, Join, user="eve").answer == "banned"
    partition.now_ms = _LATER
    assert do(partition, UnbanMembers, users=["eve"]).answer == 0
    assert do(partition, Join, user="eve").answer == 1


def test_bad_command_to_ban_until_a_moment_that_has_passed(partition: Partition) -> None:
    assert do(partition, BanMembers, users=["eve"], until=_AT).answer == "bad_command"


def test_limit_reached_of_bans() -> None:
    partition = groups()
    partition.apply(policy("app", banned_users=2))
    partition.apply(create("a"))
    assert do(partition, BanMembers, users=["x", "y", "z"]).answer == "limit_reached"
    assert do(partition, BanMembers, users=["x", "y"]).answer == 2
    assert do(partition, BanMembers, users=["y", "z"]).answer == "limit_reached"


def test_a_later_life_of_the_group_knows_nothing_of_bans_mutes_and_profiles(partition: Partition) -> None:
    partition.apply(
        ask(BanMembers, users=["eve"]),
        ask(Mute, users=["ann"], until=_LATER),
        ask(Mute, until=_LATER),
        ask(UpdateMember, user="ann", nick="Ann"),
    )
    partition.apply(ask(DeleteGroup), create("ann", "eve", group="g"))
    for crash in (False, True):
        if crash:
            partition.crash()
        group = _group(partition)
        assert _members(partition) == ["ann", "eve"]
        assert (len(group.bans), len(group.mutes), len(group.profiles), group.muted_until) == (0, 0, 0, 0)


def test_two_apps_with_the_same_ids_never_touch(partition: Partition) -> None:
    partition.apply(ask(CreateGroup, app="other", members=["owner", "ann"], owner="owner", kind="server"))
    partition.apply(
        ask(BanMembers, users=["eve"]),
        ask(Mute, users=["ann"], until=_LATER),
        ask(UpdateMember, user="ann", nick="Ann"),
        ask(CreateCode, code="k"),
    )
    assert do(partition, Join, app="other", user="eve", code="k").answer == "unknown_code"
    assert do(partition, Join, app="other", user="eve").answer == 1
    core = partition.core
    assert isinstance(core, GroupsCore)
    others = core.desk.groups.look("other", "g")
    assert (others.mutes.all(_AT), len(others.profiles), others.version) == ({}, 0, 2)
