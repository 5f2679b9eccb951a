"""Participants: persons who are told in person of what they took part in, online or later.

`_told` is the table: of each event, whom it happened to, who else takes part, and whether the user who did it is told
as well. A change of more users than the app's policy names, or one in several parts, is told to none of them, only to
who did it: they find it by version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from pyroaring import BitMap

from tables.groups import Group
from tables.permissions import holders, may
from topics.codec import encode
from topics.events import (
    ApplicationEnded,
    Applied,
    Banned,
    CategoryCreated,
    CategoryDeleted,
    CategoryUpdated,
    ChannelCreated,
    ChannelDeleted,
    ChannelUpdated,
    GroupCreated,
    GroupDeleted,
    GroupUpdated,
    Happened,
    Invited,
    InviteEnded,
    ListEdited,
    MembersAdded,
    MembersRemoved,
    MemberUpdated,
    Muted,
    OverrideSet,
    OwnerChanged,
    RoleCreated,
    RoleDeleted,
    RoleMembersAdded,
    RoleMembersRemoved,
    RoleUpdated,
    Unbanned,
)
from topics.keys import key_of, partition_of
from topics.notices import Notice, NoticeKind

if TYPE_CHECKING:
    from streams.groups.desk import Desk


class _Told(NamedTuple):
    """Who is told of an event.

    Attributes:
        kind: what happened.
        users: whom it happened to.
        others: who else takes part: the inviter, those who may approve, the owners.
        about: whom the others are told that it happened to; None: it is the only one of `users`.
        operator: whether the user who did it is told.
        subject: what it happened to or by.
        end: how it ended.
    """

    kind: NoticeKind
    users: list[str]
    others: Iterable[str | None] = ()
    about: str | None = None
    operator: bool = True
    subject: str | None = None
    end: str = ""


def of_event(desk: Desk, group: Group, event: Happened) -> None:
    """Tell the participants of an event."""
    if (told := _told(desk, group, event)) is None:
        return
    many = event.change_set is not None or len(told.users) > desk.policies.of(group.app).notice_users
    users = {} if many else dict.fromkeys(told.users)
    others = dict.fromkeys([*told.others, event.by if told.operator or many else None])
    _tell(desk, event, told, users, None)
    about = told.about or (told.users[0] if len(told.users) == 1 else None)
    _tell(desk, event, told, [user for user in others if user is not None and user not in users], about)


def _tell(desk: Desk, event: Happened, told: _Told, users: Collection[str], about: str | None) -> None:
    """One entry a users partition."""
    by_partition: dict[int, list[str]] = {}
    for user in users:
        by_partition.setdefault(partition_of(key_of(event.app, user), desk.partitions), []).append(user)
    for partition, names in by_partition.items():
        notice = Notice(
            event.app,
            names,
            event.group,
            event.version,
            event.at,
            told.kind,
            event.by,
            about,
            told.subject,
            told.end,
        )
        desk.notices.add(partition, encode(notice))


def _told(desk: Desk, group: Group, event: Happened) -> _Told | None:  # noqa: C901, PLR0911, PLR0912 -- the table
    match event:
        case Invited(user=user, invite=invite):
            return _Told("invited", [user], subject=invite)
        case InviteEnded(user=user, invite=invite, end="accepted"):
            # Who accepted is told of the joining.
            return _Told("invite_ended", [], [_inviter(group, invite)], user, False, invite, "accepted")
        case InviteEnded(user=user, invite=invite, end=end):
            return _Told("invite_ended", [user], [_inviter(group, invite)], subject=invite, end=end)
        case Applied(user=user, application=application):
            return _Told("applied", [user], _approvers(desk, group), subject=application)
        case ApplicationEnded(end="accepted"):
            return None  # told by the joining
        case ApplicationEnded(user=user, application=application, end=end):
            return _Told("application_ended", [user], subject=application, end=end)
        case MembersAdded(users=users):
            return _Told("joined", users)
        case MembersRemoved(why="banned"):
            return None  # told by the ban
        case MembersRemoved(users=users, why=why):
            return _Told("removed", users, end=why)
        case Banned(users=users):
            return _Told("banned", users)
        case Unbanned(users=users):
            return _Told("unbanned", users)
        case Muted(users=users, channel=channel):
            return _Told("muted", users, subject=channel)
        case MemberUpdated(user=user):
            return _Told("profile_changed", [user], operator=False)
        case GroupCreated(owner=owner):
            return _Told("group_created", [], [owner])
        case GroupUpdated():
            return _Told("group_changed", [])
        case GroupDeleted():
            return _Told("group_deleted", [])
        case OwnerChanged(owner=owner, before=before):
            return _Told("owner_changed", [owner], [before])
        case ChannelCreated(channel=info):
            return _Told("channel_created", [], subject=info.channel)
        case ChannelUpdated(channel=info):
            return _Told("channel_changed", [], subject=info.channel)
        case ChannelDeleted(channel=channel):
            return _Told("channel_deleted", [], subject=channel)
        case CategoryCreated(category=category_info) | CategoryUpdated(category=category_info):
            return _Told("category_changed", [], subject=category_info.category)
        case CategoryDeleted(category=category):
            return _Told("category_changed", [], subject=category)
        case ListEdited(channel=channel, category=category, added=added, removed=removed):
            return _Told("list_changed", [*added, *removed], subject=channel or category)
        case OverrideSet(channel=channel, category=category, override=override):
            users = [] if override.user is None else [override.user]
            return _Told(
                "category_changed" if channel is None else "channel_changed", users, subject=channel or category
            )
        case RoleCreated(role=role) | RoleUpdated(role=role):
            return _Told("role_changed", [], subject=role.role)
        case RoleDeleted(role=name):
            return _Told("role_changed", [], subject=name)
        case RoleMembersAdded(role=name, users=users):
            return _Told("roles_given", users, operator=False, subject=name)
        case RoleMembersRemoved(role=name, users=users):
            return _Told("roles_taken", users, operator=False, subject=name)
        case _:
            return None  # of codes nobody is told


def _inviter(group: Group, invite: str) -> str | None:
    request = group.requests.get("invite", invite)
    return request.by if request is not None else None


def _approvers(desk: Desk, group: Group) -> list[str]:
    """The owner and others who may approve, at most as many as the policy lets be told."""
    most = desk.policies.of(group.app).notice_users
    first = [] if group.owner is None else [group.owner]
    others = (ordinal for ordinal in holders(group, "approve") - BitMap(first) if may(group, ordinal, "approve"))
    return group.members.users_at([*first, *islice(others, max(0, most - len(first)))])
