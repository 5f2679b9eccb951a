"""Who is told in person of what: each row of the table of events, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cores import Partition, Seen, ask, create, groups, policy
from topics import catalog, limits
from topics.catalog import Topic
from topics.keys import key_of, partition_of
from topics.notices import Notice
from topics.relations import (
    AddMembers,
    AddRoleMembers,
    AnswerApplication,
    AnswerInvite,
    Apply,
    BanMembers,
    CreateCategory,
    CreateChannel,
    CreateCode,
    CreateGroup,
    CreateRole,
    DeleteCategory,
    DeleteChannel,
    DeleteGroup,
    DeleteRole,
    EditList,
    Invite,
    Join,
    Mute,
    RemoveMembers,
    RemoveRoleMembers,
    SetOverride,
    TransferOwnership,
    UnbanMembers,
    UpdateCategory,
    UpdateChannel,
    UpdateGroup,
    UpdateMember,
    UpdateRole,
    Withdraw,
)

_AT = 1_000_000
_MANY = [f"u{n}" for n in range(limits.NOTICE_USERS + 1)]

#: What somebody is told: kind, about, subject, end.
Said = tuple[str, str | None, str | None, str]


def _world(**has: int) -> Partition:
    """A server of which `owner` is the owner; `mod` may do all else; ann and bob are members."""
    partition = groups()
    partition.apply(policy("app", **has))
    every = ["manage_group", "manage_channels", "manage_roles", "manage_members", "mute", "approve", "kick", "ban"]
    partition.apply(
        create("owner", "mod", "ann", "bob", owner="owner", kind="server", join_mode="apply"),
        ask(CreateRole, role="mods", priority=9, allow=[*every, "invite"]),
        ask(AddRoleMembers, role="mods", users=["mod"]),
        ask(CreateRole, role="r", priority=1),
        ask(CreateCategory, category="k"),
        ask(CreateChannel, channel="c", category="k"),
    )
    return partition


@pytest.fixture
def partition() -> Partition:
    return _world()


def _notices(seen: Seen) -> list[Notice]:
    assert not seen.rejected()
    return [notice for lot in seen.records(catalog.NOTICES) for notice in lot.entries]


def _told(partition: Partition, *commands: tuple[Topic, Any]) -> dict[str, list[Said]]:
    """What each person is told of these commands."""
    told: dict[str, list[Said]] = {}
    for notice in _notices(partition.apply(*commands)):
        assert notice.at == _AT
        for user in notice.users:
            told.setdefault(user, []).append((notice.kind, notice.about, notice.subject, notice.end))
    return told


def test_invited_tells_the_invitee_and_the_inviter(partition: Partition) -> None:
    assert _told(partition, ask(Invite, invite="i", user="eve", by="mod")) == {
        "eve": [("invited", None, "i", "")],
        "mod": [("invited", "eve", "i", "")],
    }


def test_invited_by_the_back_end_tells_the_invitee_alone(partition: Partition) -> None:
    assert _told(partition, ask(Invite, invite="i", user="eve")) == {"eve": [("invited", None, "i", "")]}


def test_an_invite_declined_tells_the_inviter_and_the_invitees_other_devices(partition: Partition) -> None:
    partition.apply(ask(Invite, invite="i", user="eve", by="mod"))
    assert _told(partition, ask(AnswerInvite, invite="i", accept=False, by="eve")) == {
        "eve": [("invite_ended", None, "i", "declined")],
        "mod": [("invite_ended", "eve", "i", "declined")],
    }


def test_an_invite_withdrawn_by_another_tells_all_three(partition: Partition) -> None:
    partition.apply(ask(Invite, invite="i", user="eve", by="mod"))
    assert _told(partition, ask(Withdraw, invite="i", by="owner")) == {
        "eve": [("invite_ended", None, "i", "withdrawn")],
        "mod": [("invite_ended", "eve", "i", "withdrawn")],
        "owner": [("invite_ended", "eve", "i", "withdrawn")],
    }


def test_an_invite_expired_tells_both(partition: Partition) -> None:
    partition.apply(ask(Invite, invite="i", user="eve", by="mod", expires_at=_AT + 1_000))
    told = {user: notice.end for notice in _notices(partition.tick(2_000)) for user in notice.users}
    assert told == {"eve": "expired", "mod": "expired"}


def test_joined_by_invite_tells_the_member_and_who_invited(partition: Partition) -> None:
    partition.apply(ask(Invite, invite="i", user="eve", by="mod"))
    assert _told(partition, ask(AnswerInvite, invite="i", accept=True, by="eve")) == {
        "eve": [("joined", None, None, "")],
        "mod": [("invite_ended", "eve", "i", "accepted")],
    }


def test_applied_tells_those_who_may_approve_and_the_applicant(partition: Partition) -> None:
    assert _told(partition, ask(Apply, application="a", user="eve", by="eve")) == {
        "eve": [("applied", None, "a", "")],
        "owner": [("applied", "eve", "a", "")],
        "mod": [("applied", "eve", "a", "")],
    }


def test_who_may_approve_is_told_up_to_the_policys_number_the_owner_first() -> None:
    partition = _world(notice_users=3)
    partition.apply(
        ask(AddMembers, users=_MANY), ask(UpdateRole, role="everyone", allow=["approve"]), ask(DeleteRole, role="r")
    )
    assert _told(partition, ask(Apply, application="a", user="eve", by="eve")).keys() == {"eve", "owner", "mod", "ann"}


def test_who_is_denied_to_approve_is_not_told(partition: Partition) -> None:
    partition.apply(
        ask(UpdateRole, role="everyone", allow=["approve"]),
        ask(UpdateRole, role="r", deny=["approve"]),
        ask(AddRoleMembers, role="r", users=["bob"]),
    )
    told = _told(partition, ask(Apply, application="a", user="eve", by="eve"))
    assert told.keys() == {"eve", "owner", "mod", "ann"}


def test_an_application_declined_tells_the_applicant_and_who_declined(partition: Partition) -> None:
    partition.apply(ask(Apply, application="a", user="eve", by="eve"))
    assert _told(partition, ask(AnswerApplication, application="a", accept=False, by="mod")) == {
        "eve": [("application_ended", None, "a", "declined")],
        "mod": [("application_ended", "eve", "a", "declined")],
    }


def test_joined_by_application_tells_the_member_and_who_approved(partition: Partition) -> None:
    partition.apply(ask(Apply, application="a", user="eve", by="eve"))
    assert _told(partition, ask(AnswerApplication, application="a", accept=True, by="mod")) == {
        "eve": [("joined", None, None, "")],
        "mod": [("joined", "eve", None, "")],
    }


def test_joined_by_code_tells_the_member(partition: Partition) -> None:
    assert _told(partition, ask(CreateCode, code="x", by="mod")) == {}
    assert _told(partition, ask(Join, user="eve", code="x", by="eve")) == {"eve": [("joined", None, None, "")]}


def test_added_tells_the_members_and_who_added_them(partition: Partition) -> None:
    assert _told(partition, ask(AddMembers, users=["eve", "fay", "ann"], by="mod")) == {
        "eve": [("joined", None, None, "")],
        "fay": [("joined", None, None, "")],
        "mod": [("joined", None, None, "")],
    }


@pytest.mark.parametrize(("by", "why"), [("mod", "kicked"), (None, "removed"), ("ann", "left")])
def test_kicked_removed_and_left_tells_the_member_and_who_did_it(
    partition: Partition, by: str | None, why: str
) -> None:
    told: dict[str, list[Said]] = {"ann": [("removed", None, None, why)]}
    if by == "mod":
        told["mod"] = [("removed", "ann", None, why)]
    assert _told(partition, ask(RemoveMembers, users=["ann"], by=by)) == told


def test_banned_tells_the_user_once_and_who_did_it_and_unbanned_as_well(partition: Partition) -> None:
    assert _told(partition, ask(BanMembers, users=["ann"], by="mod")) == {
        "ann": [("banned", None, None, "")],
        "mod": [("banned", "ann", None, "")],
    }
    assert _told(partition, ask(UnbanMembers, users=["ann"], by="mod")) == {
        "ann": [("unbanned", None, None, "")],
        "mod": [("unbanned", "ann", None, "")],
    }


def test_a_server_created_tells_the_operator_and_the_owner() -> None:
    partition = groups()
    told = _told(partition, ask(CreateGroup, kind="server", members=["ann", "bob"], owner="ann", by="ann"))
    assert told == {"ann": [("group_created", None, None, "")]}
    told = _told(partition, ask(CreateGroup, group="h", kind="server", members=["ann", "bob"], owner="bob"))
    assert told == {"bob": [("group_created", None, None, "")]}


def test_a_server_updated_and_deleted_tells_the_operator(partition: Partition) -> None:
    assert _told(partition, ask(UpdateGroup, name="n", by="mod")) == {"mod": [("group_changed", None, None, "")]}
    assert _told(partition, ask(UpdateGroup, name="m")) == {}
    assert _told(partition, ask(DeleteGroup, by="owner")) == {"owner": [("group_deleted", None, None, "")]}


def test_an_owner_changed_tells_the_new_one_and_the_old_one() -> None:
    for by in ("owner", None):
        world = _world()
        assert _told(world, ask(TransferOwnership, to="ann", by=by)) == {
            "ann": [("owner_changed", None, None, "")],
            "owner": [("owner_changed", "ann", None, "")],
        }


def test_a_profile_changed_tells_that_user(partition: Partition) -> None:
    for by in ("ann", "mod", None):
        told = _told(partition, ask(UpdateMember, user="ann", nick=f"by {by}", by=by))
        assert told == {"ann": [("profile_changed", None, None, "")]}


def test_a_channel_created_changed_and_deleted_tells_the_operator(partition: Partition) -> None:
    for kind, command in (
        ("channel_created", ask(CreateChannel, channel="d", by="mod")),
        ("channel_changed", ask(UpdateChannel, channel="d", view_mode="private", by="mod")),
        ("channel_deleted", ask(DeleteChannel, channel="d", by="mod")),
    ):
        assert _told(partition, command) == {"mod": [(kind, None, "d", "")]}
    assert _told(partition, ask(CreateChannel, channel="e")) == {}


@pytest.mark.parametrize(("place", "subject"), [({"channel": "c"}, "c"), ({"category": "k"}, "k")])
def test_a_list_changed_tells_the_users_named_and_the_operator_but_no_holders_of_roles(
    partition: Partition, place: dict[str, str], subject: str
) -> None:
    partition.apply(ask(AddRoleMembers, role="r", users=["bob"]))
    assert _told(partition, ask(EditList, which="white", add_users=["ann", "eve"], by="mod", **place)) == {
        "ann": [("list_changed", None, subject, "")],
        "mod": [("list_changed", "ann", subject, "")],
    }
    assert _told(partition, ask(EditList, which="white", add_roles=["r"], by="mod", **place)) == {
        "mod": [("list_changed", None, subject, "")]
    }
    assert _told(partition, ask(EditList, which="white", remove_users=["ann"], **place)) == {
        "ann": [("list_changed", None, subject, "")]
    }


def test_a_category_created_changed_and_deleted_tells_the_operator(partition: Partition) -> None:
    for command in (
        ask(CreateCategory, category="l", by="mod"),
        ask(UpdateCategory, category="l", name="n", by="mod"),
        ask(DeleteCategory, category="l", by="mod"),
    ):
        assert _told(partition, command) == {"mod": [("category_changed", None, "l", "")]}


def test_an_override_tells_the_operator_and_the_member_whom_it_names(partition: Partition) -> None:
    told = _told(partition, ask(SetOverride, channel="c", user="ann", deny=["send"], by="owner"))
    assert told == {
        "ann": [("channel_changed", None, "c", "")],
        "owner": [("channel_changed", "ann", "c", "")],
    }
    told = _told(partition, ask(SetOverride, category="k", role="r", deny=["send"], by="owner"))
    assert told == {"owner": [("category_changed", None, "k", "")]}


def test_a_role_created_changed_and_deleted_tells_the_operator(partition: Partition) -> None:
    partition.apply(ask(AddRoleMembers, role="r", users=["ann"]))
    for role, command in (
        ("s", ask(CreateRole, role="s", by="mod")),
        ("r", ask(UpdateRole, role="r", name="n", by="mod")),
        ("r", ask(DeleteRole, role="r", by="mod")),
    ):
        assert _told(partition, command) == {"mod": [("role_changed", None, role, "")]}


def test_role_members_added_and_removed_tells_the_users_named(partition: Partition) -> None:
    assert _told(partition, ask(AddRoleMembers, role="r", users=["ann", "eve"], by="mod")) == {
        "ann": [("roles_given", None, "r", "")]
    }
    assert _told(partition, ask(RemoveRoleMembers, role="r", users=["ann"], by="mod")) == {
        "ann": [("roles_taken", None, "r", "")]
    }


def test_muted_and_unmuted_tells_the_users_named_and_the_operator(partition: Partition) -> None:
    for until in (2_000_000, 0):
        assert _told(partition, ask(Mute, users=["ann"], until=until, by="mod")) == {
            "ann": [("muted", None, None, "")],
            "mod": [("muted", "ann", None, "")],
        }
    assert _told(partition, ask(Mute, channel="c", until=2_000_000, by="owner")) == {
        "owner": [("muted", None, "c", "")]
    }
    assert _told(partition, ask(Mute, until=2_000_000, by="mod")) == {"mod": [("muted", None, None, "")]}


def test_a_change_of_too_many_is_told_to_the_operator_alone(partition: Partition) -> None:
    assert _told(partition, ask(AddMembers, users=_MANY, by="mod")) == {"mod": [("joined", None, None, "")]}
    assert _told(partition, ask(AddRoleMembers, role="r", users=_MANY, by="mod")) == {
        "mod": [("roles_given", None, "r", "")]
    }
    assert _told(partition, ask(RemoveMembers, users=_MANY)) == {}
    assert len(_told(partition, ask(AddMembers, users=_MANY[1:]))) == limits.NOTICE_USERS


def test_the_policy_says_what_too_many_is() -> None:
    partition = _world(notice_users=1)
    assert _told(partition, ask(AddMembers, users=["eve", "fay"])) == {}
    assert _told(partition, ask(AddMembers, users=["gil"])) == {"gil": [("joined", None, None, "")]}


def test_a_part_of_a_change_set_is_told_to_the_operator_alone(partition: Partition) -> None:
    part = ask(AddMembers, users=["eve"], by="mod", change_set="import", part=1, parts=2)
    assert _told(partition, part) == {"mod": [("joined", "eve", None, "")]}


def test_refused_and_repeated_commands_tell_nobody(partition: Partition) -> None:
    assert _told(partition, ask(RemoveMembers, users=["mod"], by="ann")) == {}
    assert _told(partition, ask(AddMembers, users=["ann"], by="mod")) == {}


def test_notices_are_one_record_a_users_partition_each_for_its_own_users() -> None:
    at = partition_of(key_of("app", "g"), 4)
    partition = groups(4, at)
    seen = partition.apply(create(), ask(AddMembers, users=_MANY[:100]), ask(RemoveMembers, users=_MANY[:100]))
    partitions = {to: records for (topic, to), records in seen.out.records.items() if topic == catalog.NOTICES.name}
    assert partitions.keys() == {0, 1, 2, 3}
    assert all(len(records) == 1 for records in partitions.values())
    users = {user for notice in _notices(seen) for user in notice.users}
    assert users == set(_MANY[:100])
    for lot, to in zip(seen.records(catalog.NOTICES), sorted(partitions), strict=True):
        assert {partition_of(key_of("app", user), 4) for notice in lot.entries for user in notice.users} == {to}
