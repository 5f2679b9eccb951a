"""Joining, invites, applications and codes: who may, which states, what is told, and how time ends them."""

from __future__ import annotations

import pytest

from streams.groups.core import GroupsCore
from tables.groups import Group
from tables.origins import Origin
from tests.cores import Partition, Seen, add, ask, create, delete, do, groups, policy, remove
from topics import catalog, limits
from topics.answers import Applied as Answered
from topics.answers import Refused
from topics.entities import Code, JoinMode, Permission
from topics.events import (
    ApplicationEnded,
    Applied,
    CodeCreated,
    CodeEnded,
    Invited,
    InviteEnded,
    MembersAdded,
)
from topics.relations import (
    AddRoleMembers,
    AnswerApplication,
    AnswerInvite,
    Apply,
    BanMembers,
    CreateCode,
    CreateRole,
    Invite,
    Join,
    RevokeCode,
    UpdateRole,
    Withdraw,
)

_AT = 1_000_000  # the moment of everything here
_ENDS = _AT + limits.REQUEST_MS


def _world(join_mode: JoinMode = "invite", **has: int) -> Partition:
    """A server of which `owner` is the owner, and ann and bob are members."""
    partition = groups()
    partition.apply(policy("app", **has))
    partition.apply(create("owner", "ann", "bob", owner="owner", kind="server", join_mode=join_mode))
    return partition


@pytest.fixture
def partition() -> Partition:
    return _world()


def _group(partition: Partition) -> Group:
    core = partition.core
    assert isinstance(core, GroupsCore)
    return core.desk.groups.look("app", "g")


def _give(partition: Partition, user: str, *permissions: Permission) -> None:
    partition.apply(ask(CreateRole, role="r", allow=list(permissions)), ask(AddRoleMembers, role="r", users=[user]))


def _is_member(partition: Partition, user: str) -> bool:
    return _group(partition).members.ordinal_of(user) is not None


def _told(seen: Seen) -> list[object]:
    return [type(event) for event in seen.records(catalog.RELATION_EVENTS)]


# Joining.


@pytest.mark.parametrize(
    ("join_mode", "answer"), [("open", 1), ("apply", "not_permitted"), ("invite", "not_permitted")]
)
def test_who_joins_of_its_own_accord_by_join_mode(join_mode: JoinMode, answer: int | str) -> None:
    partition = _world(join_mode)
    joined = do(partition, Join, user="eve", by="eve")
    assert joined.answer == answer
    assert [event.how for event in joined.events] == (["joined"] if answer == 1 else [])
    assert do(partition, Join, user="ann", by="ann").answer == 0
    assert do(partition, Join, user="eva", by="ann").answer == "not_permitted"
    assert do(partition, Join, user="eva").answer == 1  # the back end may do everything


def test_joined_by_a_code_as_often_as_it_may_be_used(partition: Partition) -> None:
    created = do(partition, CreateCode, code="k", uses=2, by="owner")
    [event] = created.events
    assert isinstance(event, CodeCreated)
    assert event.code == Code("k", 2, _ENDS, "owner")
    assert do(partition, Join, user="ann", code="k", by="ann").answer == 0  # uses nothing
    [first] = do(partition, Join, user="eve", code="k", by="eve").events
    assert isinstance(first, MembersAdded)
    assert (first.users, first.how) == (["eve"], "code")
    partition.crash()
    ended, second = do(partition, Join, user="eva", code="k", by="eva").events
    assert isinstance(ended, CodeEnded)
    assert isinstance(second, MembersAdded)
    assert second.version == ended.version + 1
    assert do(partition, Join, user="max", code="k", by="max").answer == "unknown_code"
    assert _group(partition).origins.of(4) == Origin(3, _AT, "code", "owner")
    assert partition.core.due_ms() is None  # nothing is left of it


def test_codes_are_made_and_revoked_by_who_manages_the_group(partition: Partition) -> None:
    assert do(partition, CreateCode, code="k", by="ann").answer == "not_permitted"
    _give(partition, "ann", "manage_group")
    assert do(partition, CreateCode, code="k", by="ann").answer == 1
    assert do(partition, CreateCode, code="k", uses=3, by="ann").answer == "exists_already"
    assert do(partition, RevokeCode, code="k", by="bob").answer == "not_permitted"
    revoked = do(partition, RevokeCode, code="k", by="owner")
    assert [type(event) for event in revoked.events] == [CodeEnded]
    assert do(partition, Join, user="eve", code="k", by="eve").answer == "unknown_code"
    assert do(partition, RevokeCode, code="k").answer == "unknown_code"


def test_a_code_ends_at_its_moment(partition: Partition) -> None:
    partition.apply(ask(CreateCode, code="k", uses=9, expires_at=_AT + 5), ask(CreateCode, code="m"))
    assert _group(partition).codes.get("m") == Code("m", 1, _ENDS)
    assert partition.core.due_ms() == _AT + 5
    partition.now_ms += 5
    seen = partition.apply(ask(Join, user="eve", code="k"))  # before it is told that it ended
    assert [refused.code for refused in seen.told(Refused)] == ["unknown_code"]
    assert _told(seen) == [CodeEnded]
    assert partition.core.due_ms() == _ENDS


def test_limit_reached_of_codes() -> None:
    partition = _world(open_codes=1)
    assert do(partition, CreateCode, code="k").answer == 1
    assert do(partition, CreateCode, code="m").answer == "limit_reached"
    partition.apply(ask(RevokeCode, code="k"))
    assert do(partition, CreateCode, code="m").answer == 1


# Invites.


def test_invited_accepted_and_so_a_member(partition: Partition) -> None:
    invited = do(partition, Invite, invite="i", user="eve", text="Come!", by="ann")
    [event] = invited.events
    assert event == Invited("app", "g", 2, _AT, invite="i", user="eve", expires_at=_ENDS, text="Come!", by="ann")
    assert not _is_member(partition, "eve")
    partition.crash()
    ended, added = do(partition, AnswerInvite, invite="i", accept=True, by="eve").events
    assert ended == InviteEnded("app", "g", 3, _AT, invite="i", user="eve", end="accepted", by="eve")
    assert isinstance(added, MembersAdded)
    assert (added.version, added.users, added.how) == (4, ["eve"], "invite")
    assert _group(partition).origins.of(3) == Origin(3, _AT, "invite", "ann")
    assert do(partition, AnswerInvite, invite="i", accept=False, by="eve").answer == "unknown_request"


def test_an_invite_declined_makes_nobody_a_member(partition: Partition) -> None:
    partition.apply(ask(Invite, invite="i", user="eve", by="ann"))
    [ended] = do(partition, AnswerInvite, invite="i", accept=False, by="eve").events
    assert (ended.end, ended.user) == ("declined", "eve")
    assert do(partition, AnswerInvite, invite="i", accept=True, by="eve").answer == "unknown_request"
    assert not _is_member(partition, "eve")


def test_who_may_invite(partition: Partition) -> None:
    assert do(partition, Invite, invite="i", user="eve", by="eve").answer == "not_permitted"
    partition.apply(ask(UpdateRole, role="everyone", allow=["send"]))
    assert do(partition, Invite, invite="i", user="eve", by="ann").answer == "not_permitted"
    _give(partition, "ann", "invite")
    assert do(partition, Invite, invite="i", user="eve", by="ann").answer == 1
    assert do(partition, Invite, invite="j", user="eva").answer == 1


def test_the_invited_alone_answers(partition: Partition) -> None:
    partition.apply(ask(Invite, invite="i", user="eve", by="ann"))
    for by in ("ann", "owner", "stranger"):
        assert do(partition, AnswerInvite, invite="i", accept=True, by=by).answer == "not_permitted"
    assert do(partition, AnswerInvite, invite="i", accept=True).answer == 1  # the back end, for it


def test_an_invite_of_a_member_changes_nothing(partition: Partition) -> None:
    assert do(partition, Invite, invite="i", user="bob", by="ann").answer == 0


def test_one_open_invite_a_user(partition: Partition) -> None:
    assert do(partition, Invite, invite="i", user="eve", by="ann").answer == 1
    assert do(partition, Invite, invite="j", user="eve", by="bob").answer == "exists_already"
    assert do(partition, Invite, invite="i", user="eva", by="ann").answer == "exists_already"
    partition.apply(ask(Withdraw, invite="i", by="ann"))
    assert do(partition, Invite, invite="j", user="eve", by="bob").answer == 1


def test_an_invite_is_withdrawn_by_who_sent_it_or_manages_members(partition: Partition) -> None:
    partition.apply(*(ask(Invite, invite=f"i{user}", user=user, by="ann") for user in ("x", "y", "z")))
    for by in ("bob", "x", "stranger"):
        assert do(partition, Withdraw, invite="ix", by=by).answer == "not_permitted"
    _give(partition, "bob", "manage_members")
    askers: dict[str, str | None] = {"ix": "ann", "iy": "bob", "iz": None}
    for name, asker in askers.items():
        [ended] = do(partition, Withdraw, invite=name, by=asker).events
        assert (ended.end, ended.by) == ("withdrawn", asker)
        assert do(partition, AnswerInvite, invite=name, accept=True).answer == "unknown_request"


@pytest.mark.parametrize("fields", [{}, {"invite": "i", "application": "a"}])
def test_bad_command_to_withdraw_neither_or_both(partition: Partition, fields: dict[str, str]) -> None:
    assert do(partition, Withdraw, **fields).answer == "bad_command"


def test_unknown_request(partition: Partition) -> None:
    assert do(partition, AnswerInvite, invite="i", accept=True).answer == "unknown_request"
    assert do(partition, AnswerApplication, application="i", accept=True).answer == "unknown_request"
    assert do(partition, Withdraw, invite="i").answer == "unknown_request"


def test_an_invite_expires_at_its_moment_without_anybody_asking(partition: Partition) -> None:
    partition.apply(ask(Invite, invite="i", user="eve", expires_at=_AT + 5, by="ann"))
    partition.crash()
    assert partition.core.due_ms() == _AT + 5
    assert _told(partition.tick(4)) == []
    [ended] = partition.tick(1).records(catalog.RELATION_EVENTS)
    assert ended == InviteEnded("app", "g", 3, _AT + 5, invite="i", user="eve", end="expired")
    assert do(partition, AnswerInvite, invite="i", accept=True, by="eve").answer == "unknown_request"
    assert do(partition, Invite, invite="j", user="eve", by="ann").answer == 1


def test_an_expired_invite_is_refused_and_makes_room_before_it_is_told(partition: Partition) -> None:
    partition.apply(ask(Invite, invite="i", user="eve", expires_at=_AT + 5, by="ann"))
    partition.now_ms += 5
    seen = partition.apply(
        ask(AnswerInvite, invite="i", accept=True, by="eve"), ask(Invite, invite="j", user="eve", by="ann")
    )
    assert [refused.code for refused in seen.told(Refused)] == ["unknown_request"]
    assert _told(seen) == [InviteEnded, Invited]


def test_no_request_lasts_longer_than_the_apps_policy_lets_it() -> None:
    partition = _world(request_ms=1_000)
    for name, wanted, expires_at in (("i", None, 1_000), ("j", 2_000, 1_000), ("k", 500, 500)):
        at = None if wanted is None else _AT + wanted
        [event] = do(partition, Invite, invite=name, user=name, expires_at=at).events
        assert event.expires_at == _AT + expires_at
    assert do(partition, Invite, invite="l", user="l", expires_at=_AT).answer == "bad_command"


def test_how_one_ended_is_known_for_a_while_and_then_forgotten(partition: Partition) -> None:
    partition.apply(ask(Invite, invite="i", user="eve"), ask(AnswerInvite, invite="i", accept=True))
    partition.crash()
    partition.tick(limits.REQUEST_ENDED_MS - 1)
    again = partition.apply(ask(AnswerInvite, invite="i", accept=True))
    assert [answer.changed for answer in again.told(Answered)] == [0]
    assert _told(partition.tick(1)) == []
    assert partition.core.due_ms() is None
    assert _group(partition).requests.get("invite", "i") is None
    assert do(partition, AnswerInvite, invite="i", accept=True).answer == "unknown_request"


def test_a_batch_ends_no_more_than_its_share(partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXPIRIES", 2)
    partition.apply(*(ask(Invite, invite=f"i{n}", user=f"u{n}") for n in range(5)))
    partition.now_ms = _ENDS
    assert [len(_told(partition.tick())) for _ in range(4)] == [2, 2, 1, 0]


def test_limit_reached_of_open_requests() -> None:
    partition = _world("apply", open_requests=2)
    assert do(partition, Invite, invite="i", user="x").answer == 1
    assert do(partition, Apply, application="a", user="y", by="y").answer == 1
    assert do(partition, Invite, invite="j", user="z").answer == "limit_reached"
    partition.apply(ask(AnswerInvite, invite="i", accept=False))
    assert do(partition, Apply, application="j", user="z", by="z").answer == 1


def test_banned_users_are_not_invited_nor_let_in() -> None:
    partition = _world("apply")
    partition.apply(ask(Invite, invite="i", user="x"), ask(Apply, application="a", user="y", by="y"))
    partition.apply(ask(BanMembers, users=["x", "y", "z"]))
    assert do(partition, AnswerInvite, invite="i", accept=True, by="x").answer == "banned"
    assert do(partition, AnswerApplication, application="a", accept=True).answer == "banned"
    assert do(partition, Invite, invite="j", user="z").answer == "banned"
    assert do(partition, Apply, application="b", user="z", by="z").answer == "banned"
    assert do(partition, AnswerInvite, invite="i", accept=False, by="x").answer == 1


# Applications.


def test_applied_and_approved_and_so_a_member() -> None:
    partition = _world("apply")
    [event] = do(partition, Apply, application="a", user="eve", text="Please", by="eve").events
    assert event == Applied("app", "g", 2, _AT, application="a", user="eve", expires_at=_ENDS, text="Please", by="eve")
    for by in ("eve", "ann", "stranger"):
        assert do(partition, AnswerApplication, application="a", accept=True, by=by).answer == "not_permitted"
    _give(partition, "ann", "approve")
    ended, added = do(partition, AnswerApplication, application="a", accept=True, by="ann").events
    assert isinstance(ended, ApplicationEnded)
    assert (ended.end, ended.user, ended.by) == ("accepted", "eve", "ann")
    assert isinstance(added, MembersAdded)
    assert (added.users, added.how, added.version) == (["eve"], "application", ended.version + 1)
    assert _group(partition).origins.of(3) == Origin(3, _AT, "application", "ann")


@pytest.mark.parametrize("join_mode", ["open", "invite"])
def test_who_applies_where_nobody_approves_is_refused(join_mode: JoinMode) -> None:
    assert do(_world(join_mode), Apply, application="a", user="eve", by="eve").answer == "not_permitted"


def test_one_applies_for_oneself() -> None:
    assert do(_world("apply"), Apply, application="a", user="eve", by="ann").answer == "not_permitted"


def test_an_application_is_withdrawn_by_the_applicant_or_who_approves() -> None:
    partition = _world("apply")
    partition.apply(*(ask(Apply, application=user, user=user, by=user) for user in ("x", "y")))
    assert do(partition, Withdraw, application="x", by="y").answer == "not_permitted"
    assert [event.end for event in do(partition, Withdraw, application="x", by="x").events] == ["withdrawn"]
    assert [event.end for event in do(partition, Withdraw, application="y", by="owner").events] == ["withdrawn"]


def test_an_application_declined_or_expired_makes_nobody_a_member() -> None:
    partition = _world("apply")
    partition.apply(*(ask(Apply, application=user, user=user, by=user) for user in ("x", "y")))
    [declined] = do(partition, AnswerApplication, application="x", accept=False, by="owner").events
    assert (type(declined), declined.end) == (ApplicationEnded, "declined")
    [expired] = partition.tick(limits.REQUEST_MS).records(catalog.RELATION_EVENTS)
    assert (type(expired), expired.user, expired.end) == (ApplicationEnded, "y", "expired")
    assert len(_group(partition).members) == 3


def test_whoever_became_a_member_otherwise_is_not_added_again() -> None:
    partition = _world("apply")
    partition.apply(ask(Invite, invite="i", user="x"), ask(Apply, application="a", user="y", by="y"), add("x", "y"))
    for kind, field in ((AnswerInvite, "invite"), (AnswerApplication, "application")):
        accepted = do(partition, kind, **{field: field[0], "accept": True})
        assert [event.end for event in accepted.events] == ["accepted"]


# Lives.


def test_requests_of_an_earlier_life_are_not_seen_and_end_silently(partition: Partition) -> None:
    partition.apply(ask(Invite, invite="i", user="eve"), ask(CreateCode, code="k", uses=5))
    partition.apply(delete(), create("ann"))
    assert do(partition, AnswerInvite, invite="i", accept=True).answer == "unknown_request"
    assert do(partition, Join, user="eve", code="k").answer == "unknown_code"
    partition.apply(ask(Invite, invite="i", user="eve"))
    seen = partition.tick(limits.REQUEST_MS)
    assert [event.invite for event in seen.records(catalog.RELATION_EVENTS)] == ["i"]


def test_direct_is_fixed() -> None:
    partition = groups()
    partition.apply(create("ann", "bob", kind="direct"))
    assert do(partition, Invite, invite="i", user="eve").answer == "direct_is_fixed"
    assert do(partition, Apply, application="a", user="eve").answer == "direct_is_fixed"
    assert do(partition, CreateCode, code="k").answer == "direct_is_fixed"


def test_an_invite_outlives_that_its_sender_left(partition: Partition) -> None:
    partition.apply(ask(Invite, invite="i", user="eve", by="ann"), remove("ann"))
    assert do(partition, AnswerInvite, invite="i", accept=True, by="eve").answer == 1
