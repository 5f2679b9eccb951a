"""Whether each person who took part in a change was told of it in person, once, and nobody else.

A change that names many, and a part of a change set, is told to who did it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from jobs.verify.findings import Findings
from jobs.verify.lives import Life
from jobs.verify.members import Group, Groups
from jobs.verify.policies import Policies
from jobs.verify.said import Said
from topics import events
from topics.entities import EVERYONE
from topics.events import Happened, RelationEvent
from topics.notices import NoticeKind


class Due(NamedTuple):
    """Who is told of an event.

    Attributes:
        kind: as what.
        named: whom it happened to: nobody of them is told where they are too many.
        others: who is told besides.
        some: of these, at least as many as the policy lets be told, if there are so many.
        operator: whether who did it is told.
    """

    kind: NoticeKind
    named: Iterable[str] = ()
    others: Iterable[str | None] = ()
    some: Iterable[str | None] = ()
    operator: bool = True


def judge_notices(said: Said, groups: Groups, policies: Policies, findings: Findings, due_before_ms: int) -> None:
    """Compares what persons were told with what happened."""
    told = dict(said.of_change)
    for group in groups.by_key.values():
        for event in group.events:
            heard = told.pop((*group.key, event.version), [])
            if event.at < due_before_ms:
                most = policies.of(group.key[0], event.at).notice_users
                _compare(group, event, heard, most, findings)
    for (app, name, version), heard in told.items():
        findings.add("person_misled", f"{app}:{name} version {version}, which is not: {heard[:3]}", len(heard))


def _compare(group: Group, event: RelationEvent, heard: list[tuple[str, str]], most: int, findings: Findings) -> None:
    where = f"{group} version {event.version}, {type(event).__name__}"
    due = _due(group, event)
    if due is None or not isinstance(event, Happened):
        if heard:
            findings.add("person_misled", f"{where}: {heard[:3]}", len(heard))
        return
    named = list(due.named)
    many = event.change_set is not None or len(named) > most
    must = {*due.others, *(() if many else named), event.by if due.operator or many else None} - {None}
    may = set(due.some)
    must |= may if len(may) <= most else set()
    users = [user for user, kind in heard if kind == due.kind]
    for rule, wrong in (
        ("person_untold", must - set(users)),
        ("person_misled", set(users) - must - may),
        ("person_misled", {user for user, kind in heard if kind != due.kind}),
        (
            "person_told_twice",
            {user for user in users if users.count(user) > 1} if len(users) > len(set(users)) else set(),
        ),
    ):
        if wrong:
            findings.add(rule, f"{where}: {sorted(map(str, wrong))[:5]}", len(wrong))


def _due(group: Group, event: RelationEvent) -> Due | None:
    table = _TABLE.get(type(event))
    return table(group, event) if table is not None else None


def _invite_ended(group: Group, event: events.InviteEnded) -> Due:
    life = group.relations.life.at(event.version)
    held = life.requests.get(("invite", event.invite)) if life is not None else None
    request = held.at(event.version) if held is not None else None
    inviter = request.by if request is not None else None
    if event.end == "accepted":  # who accepted is told of the joining
        return Due("invite_ended", [], [inviter], operator=False)
    return Due("invite_ended", [event.user], [inviter])


def _applied(group: Group, event: events.Applied) -> Due:
    if (life := group.relations.life.at(event.version)) is None:
        return Due("applied", [event.user])
    owner, approvers = life.owner.at(event.version), _approvers(life, event.version)
    return Due("applied", [event.user], [owner], approvers - {owner})


def _approvers(life: Life, version: int) -> set[str | None]:
    """Those who may approve."""
    found: set[str | None] = set()
    for name in life.roles:
        role = life.role(name, version)
        if role is not None and "approve" in role.role.at(version).allow:
            found |= set(life.members.at(version) if name == EVERYONE else role.members.at(version))
    return {user for user in found if user is not None and "approve" in life.permissions(user, version)}


def _none_if(ended: bool, due: Due) -> Due | None:
    return None if ended else due


def _place(kind: NoticeKind) -> Callable[[Group, Any], Due]:
    return lambda _, event: Due(kind, [*getattr(event, "added", ()), *getattr(event, "removed", ())])


def _override(_: Group, event: events.OverrideSet) -> Due:
    users = [] if event.override.user is None else [event.override.user]
    return Due("category_changed" if event.channel is None else "channel_changed", users)


_TABLE: Final[dict[type, Callable[[Group, Any], Due | None]]] = {
    events.Invited: lambda _, event: Due("invited", [event.user]),
    events.InviteEnded: _invite_ended,
    events.Applied: _applied,
    events.ApplicationEnded: lambda _, event: _none_if(event.end == "accepted", Due("application_ended", [event.user])),
    events.MembersAdded: lambda _, event: Due("joined", event.users),
    events.MembersRemoved: lambda _, event: _none_if(event.why == "banned", Due("removed", event.users)),
    events.Banned: lambda _, event: Due("banned", event.users),
    events.Unbanned: lambda _, event: Due("unbanned", event.users),
    events.Muted: lambda _, event: Due("muted", event.users),
    events.MemberUpdated: lambda _, event: Due("profile_changed", [event.user], operator=False),
    events.GroupCreated: lambda _, event: Due("group_created", [], [event.owner]),
    events.GroupUpdated: lambda _, __: Due("group_changed"),
    events.GroupDeleted: lambda _, __: Due("group_deleted"),
    events.OwnerChanged: lambda _, event: Due("owner_changed", [event.owner], [event.before]),
    events.ChannelCreated: _place("channel_created"),
    events.ChannelUpdated: _place("channel_changed"),
    events.ChannelDeleted: _place("channel_deleted"),
    events.CategoryCreated: _place("category_changed"),
    events.CategoryUpdated: _place("category_changed"),
    events.CategoryDeleted: _place("category_changed"),
    events.ListEdited: _place("list_changed"),
    events.OverrideSet: _override,
    events.RoleCreated: _place("role_changed"),
    events.RoleUpdated: _place("role_changed"),
    events.RoleDeleted: _place("role_changed"),
    events.RoleMembersAdded: lambda _, event: Due("roles_given", event.users, operator=False),
    events.RoleMembersRemoved: lambda _, event: Due("roles_taken", event.users, operator=False),
}
