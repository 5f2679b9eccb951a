"""In a server with channels of many kinds the judge sees who hears what is not for them, and who is left out."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pyroaring import BitMap

from jobs.verify.findings import RULES
from jobs.verify.judge import judge
from jobs.verify.world import World
from tests.small_world import APP, SmallWorld, requester
from tests.spoil import Mutation, changed, doubled, dropped, entries, entry, record
from topics import limits
from topics.catalog import DELIVERIES, HISTORY, NOTICES, RELATION_EVENTS
from topics.deliveries import AudienceDelta, AudienceSet, Bound, Changed, NoticeLot
from topics.events import (
    Banned,
    ListEdited,
    MembersRemoved,
    MemberUpdated,
    OverrideSet,
    OwnerChanged,
    RoleDeleted,
    RoleMembersRemoved,
)
from topics.messages import Message
from topics.notices import Notice, NoticeOut
from topics.relations import (
    AddMembers,
    AddRoleMembers,
    AnswerInvite,
    BanMembers,
    CreateCategory,
    CreateChannel,
    CreateCode,
    CreateGroup,
    CreateRole,
    DeleteCategory,
    DeleteChannel,
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
    UpdateChannel,
    UpdateMember,
    UpdateRole,
)
from topics.wire import LinkAddress, ToSession

TOWN = "town"
USERS = [f"u{i}" for i in range(8)]


@pytest.fixture(scope="module")
def world() -> World:
    """A server whose roles, lists and modes change while its members talk."""
    made = SmallWorld()
    east, west = made.register("east", 0), made.register("west", 1)
    _found(made)
    sessions = {user: made.up(user, link) for user, link in zip(USERS, [east, west] * 4, strict=False)}
    made.settle()
    made.wait(30_000)
    _talk(made, sessions, "first")
    made.up("u6", west)
    made.settle()
    _talk(made, sessions, "again")
    _change(made, sessions)
    for source in range(made.partitions):
        made.resync(east, source)
    made.settle()
    _talk(made, sessions, "second")
    _part(made, sessions, east)
    made.settle()
    made.wait(limits.QUIET_MS + 1)
    made.work()
    return made.world()


def _found(made: SmallWorld) -> None:
    made.command(CreateGroup(APP, TOWN, kind="server", members=USERS, owner="u0", request="c1", reply=requester("r")))
    made.command(CreateRole(APP, TOWN, "staff", priority=5, allow=["mute", "kick"]))
    made.command(CreateRole(APP, TOWN, "guard", priority=9))
    made.command(AddRoleMembers(APP, TOWN, "staff", ["u1", "u2", "nobody"]))
    made.command(CreateCategory(APP, TOWN, "offices", view_mode="private", white_roles=["staff"]))
    made.command(CreateChannel(APP, TOWN, "square"))
    made.command(CreateChannel(APP, TOWN, "council", view_mode="private", white_roles=["staff", "guard"]))
    made.command(CreateChannel(APP, TOWN, "desk", category="offices", sync=True))
    made.command(EditList(APP, TOWN, "black", channel="square", add_users=["u7"]))
    made.settle()


def _talk(made: SmallWorld, sessions: dict[str, ToSession], when: str) -> None:
    for channel in ("square", "council", "desk"):
        for user in ("u0", "u1", "u3", "u7"):
            made.send(TOWN, user, f"{when}-{channel}-{user}", sessions.get(user), channel=channel)
        made.signal(TOWN, "u1", channel)
        made.settle()


def _change(made: SmallWorld, sessions: dict[str, ToSession]) -> None:
    made.command(RemoveRoleMembers(APP, TOWN, "staff", ["u2"]))
    made.command(AddRoleMembers(APP, TOWN, "guard", ["u3", "u4"], by="u0", request="c2", reply=sessions["u0"]))
    made.command(AddRoleMembers(APP, TOWN, "guard", ["u5"], by="u1", request="c3", reply=sessions["u1"]))
    made.settle()
    _talk(made, sessions, "changed")
    made.command(UpdateChannel(APP, TOWN, "desk", sync=False, view_mode="private"))
    made.command(EditList(APP, TOWN, "white", channel="desk", add_users=["u6", "u3"], add_roles=["guard"]))
    made.command(EditList(APP, TOWN, "black", channel="square", clear=True))
    made.command(SetOverride(APP, TOWN, channel="square", role="everyone", deny=["send"]))
    made.command(SetOverride(APP, TOWN, channel="square", user="u3", allow=["send"]))
    made.command(Mute(APP, TOWN, made.now_ms + 60_000, users=["u1"], by="u0"))
    made.command(Mute(APP, TOWN, made.now_ms + 60_000, channel="desk"))
    made.settle()
    _talk(made, sessions, "muted")
    made.wait(60_000)
    made.command(SetOverride(APP, TOWN, channel="square", role="everyone"))
    made.command(DeleteCategory(APP, TOWN, "offices"))
    made.command(TransferOwnership(APP, TOWN, "u5"))
    made.settle()


def _part(made: SmallWorld, sessions: dict[str, ToSession], east: LinkAddress) -> None:
    made.command(RemoveMembers(APP, TOWN, ["u3"], by="u3", request="c4", reply=sessions["u3"]))
    made.command(BanMembers(APP, TOWN, ["u4"], by="u5"))
    made.command(AddMembers(APP, TOWN, ["u3", "u4", "u9"], request="c5", reply=requester("r")))
    made.command(UnbanMembers(APP, TOWN, ["u4"]))
    made.command(CreateCode(APP, TOWN, "open-sesame", by="u5"))
    made.command(Join(APP, TOWN, "u4", "open-sesame", by="u4"))
    made.command(Invite(APP, TOWN, "i1", "u8", by="u1"))
    made.command(AnswerInvite(APP, TOWN, "i1", accept=True, by="u8"))
    made.command(UpdateMember(APP, TOWN, "u8", nick="eight", by="u8"))
    made.command(UpdateRole(APP, TOWN, "guard", priority=2))
    made.settle()
    made.up("u9", east)
    made.settle()
    _talk(made, sessions, "parted")
    made.command(DeleteRole(APP, TOWN, "guard"))
    made.command(DeleteChannel(APP, TOWN, "council"))
    made.command(CreateChannel(APP, TOWN, "council"))
    made.settle()
    _talk(made, sessions, "last")


def test_a_good_run_of_a_server_has_no_fault(world: World) -> None:
    report = judge(world, settled=True)
    assert report.rules == {}, report.examples
    assert {"not_visible", "not_permitted", "muted"} <= report.refused.keys()


def _members(edit: Callable[[BitMap], BitMap]) -> Callable[[Any], str]:
    """A set whose bitmap is another one."""

    def edited_members(told: AudienceSet) -> str:
        before = BitMap.deserialize(b64decode(told.members)) if told.members else BitMap()
        return b64encode(edit(before).serialize()).decode()

    return edited_members


def _sent(client_id: str) -> Callable[[Any], bool]:
    return lambda message: message.client_id == client_id


def _entered(delta: AudienceDelta) -> bool:
    return bool(delta.entered)


def _left(delta: AudienceDelta) -> bool:
    return bool(delta.left)


def _forget_deltas(which: Callable[[AudienceDelta], bool]) -> Mutation:
    return entry(DELIVERIES, AudienceDelta, lambda delta: [] if which(delta) else None)


def _hint(**fields: Any) -> Mutation:
    given: dict[str, Any] = {"version": 3, "since": 2, "what": ["roles"]} | fields
    hint = Changed(APP, TOWN, **given)

    def add(before: list[Any]) -> list[Any] | None:
        return [*before, hint] if any(isinstance(one, Message) for one in before) else None

    return entries(DELIVERIES, add)


SPOILT: dict[str, list[Mutation]] = {
    "sender_blind": [
        changed(HISTORY, Message, where=_sent("first-council-u1"), sender="u6"),
        changed(HISTORY, Message, where=_sent("changed-council-u3"), version=10),
    ],
    "sender_not_permitted": [changed(HISTORY, Message, where=_sent("muted-square-u3"), sender="u6")],
    "sender_muted": [changed(HISTORY, Message, where=_sent("muted-desk-u0"), sender="u3")],
    "heard_unseen": [
        # A member that lost its role is still named.
        _forget_deltas(_left),
        # All are named, though not all see it.
        changed(DELIVERIES, Message, where=_sent("first-council-u1"), audience=0),
        # One too many is named.
        changed(DELIVERIES, AudienceSet, skip=2, members=_members(lambda members: members | BitMap(range(8)))),
        # The message is of a version at which fewer saw it.
        changed(DELIVERIES, Message, where=_sent("changed-council-u3"), version=10),
    ],
    "seen_unheard": [
        _forget_deltas(_entered),
        changed(DELIVERIES, AudienceSet, members=_members(lambda members: members[:-1])),
        # A new listener is bound without the audiences that it is in.
        changed(DELIVERIES, Bound, where=lambda bound: any(bound.audiences), audiences=[]),
    ],
    "audience_unknown": [
        entry(DELIVERIES, AudienceSet, lambda _: []),
        entry(DELIVERIES, AudienceDelta, lambda delta: [delta, delta] if delta.ended else None),
        changed(DELIVERIES, Bound, audiences=lambda bound: [[99] for _ in bound.ordinals]),
    ],
    "audience_chain": [
        entry(DELIVERIES, AudienceDelta, lambda delta: [delta, delta] if _entered(delta) else None),
        entry(DELIVERIES, AudienceDelta, lambda delta: [delta, delta] if _left(delta) else None),
        entry(
            DELIVERIES,
            AudienceSet,
            lambda told: [told, AudienceSet(APP, TOWN, told.audience, told.version, "")] if told.members else None,
        ),
    ],
    "audience_version": [
        changed(DELIVERIES, Message, where=lambda message: message.audience > 0, audience_version=1),
        changed(DELIVERIES, Message, where=lambda message: message.audience > 0, audience_version=99),
        changed(DELIVERIES, AudienceDelta, version=1),
    ],
    "audience_unbound": [changed(DELIVERIES, AudienceSet, members=_members(lambda members: members | BitMap([77])))],
    "hint_wrong": [
        _hint(since=3),
        _hint(version=99),
        _hint(what=[]),
        _hint(channels=["council"]),
        _hint(members=b64encode(BitMap([77]).serialize()).decode()),
    ],
    "told_wrong": [
        changed(DELIVERIES, NoticeOut, user="u7"),
        changed(DELIVERIES, NoticeOut, slots=[99]),
        changed(DELIVERIES, NoticeOut, notice=lambda out: msgspec.structs.replace(out.notice, version=99)),
        changed(DELIVERIES, NoticeOut, notice=lambda out: msgspec.structs.replace(out.notice, group="village")),
    ],
    "told_twice": [doubled(DELIVERIES, lambda record: isinstance(record, NoticeLot))],
    "person_untold": [
        entry(NOTICES, Notice, lambda notice: [] if notice.kind == "banned" else None),
        entry(NOTICES, Notice, lambda notice: [] if notice.kind == "removed" else None),
        entry(NOTICES, Notice, lambda notice: [] if notice.kind == "invited" else None),
        changed(NOTICES, Notice, where=lambda notice: notice.kind == "roles_given", kind="roles_taken"),
    ],
    "person_misled": [
        changed(NOTICES, Notice, where=lambda notice: notice.kind == "roles_taken", users=["u2", "u6"]),
        changed(NOTICES, Notice, version=99),
        changed(NOTICES, Notice, where=lambda notice: notice.kind == "owner_changed", kind="group_changed"),
    ],
    "person_told_twice": [entry(NOTICES, Notice, lambda notice: [notice, notice])],
    "unreadable": [changed(DELIVERIES, AudienceSet, members="AAAA")],
    "nobody": [changed(DELIVERIES, AudienceSet, members="")],
    "link_missed": [
        entry(DELIVERIES, Message, lambda message: [] if _sent("first-council-u1")(message) else None),
        entry(DELIVERIES, Message, lambda message: [] if _sent("muted-desk-u0")(message) else None),
    ],
    "event_differs": [
        record(RELATION_EVENTS, RoleMembersRemoved, ordinals=[7]),
        record(RELATION_EVENTS, RoleMembersRemoved, role="guard"),
        record(RELATION_EVENTS, ListEdited, which="white"),
        record(RELATION_EVENTS, OverrideSet, channel="desk"),
        record(RELATION_EVENTS, OwnerChanged, owner="u6"),
        record(RELATION_EVENTS, Banned, users=["u6"]),
        record(RELATION_EVENTS, RoleDeleted, role="staff"),
        record(RELATION_EVENTS, MemberUpdated, user="u9"),
        record(RELATION_EVENTS, MembersRemoved, why="kicked"),
    ],
    "event_lost": [dropped(RELATION_EVENTS, lambda event: isinstance(event, RoleDeleted))],
}


@pytest.mark.parametrize(
    ("rule", "mutation"),
    [pytest.param(rule, one, id=f"{rule}-{i}") for rule, many in SPOILT.items() for i, one in enumerate(many)],
)
def test_a_spoilt_run_of_a_server_is_seen(world: World, rule: str, mutation: Mutation) -> None:
    report = judge(mutation(world), settled=True, examples=1_000)
    assert rule in report.rules
    assert report.faults[RULES[rule][0]] > 0
