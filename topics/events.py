"""`relation-events`: what was applied, keyed by `app:group`, each with the group's next version.

A reader that applies them in the order of their versions holds the whole of each group's metadata. What follows by rule
has no event of its own: who is a member no more leaves roles, lists and overrides; a deleted role leaves every list and
override; the channels of a deleted category stand alone.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from topics.entities import (
    Category,
    Channel,
    Code,
    GroupKind,
    ListName,
    MemberProfile,
    Override,
    Profile,
    Role,
)
from topics.versions import FIRST, EventsVersion
from topics.wire import U32, Count, Id, Millis, Wire

#: How users became members.
How = Literal["added", "joined", "code", "invite", "application"]
#: Why they ceased to be.
Why = Literal["removed", "left", "kicked", "banned"]
#: How an invite or application ended.
End = Literal["accepted", "declined", "withdrawn", "expired"]


class Event(Wire, frozen=True):
    """Base of all events.

    Attributes:
        app: the group's app.
        group: the group.
        version: the group's version after this change; rises by one a change, also across deletion and re-creation.
        at: when the command was appended.
    """

    app: Id
    group: Id
    version: Count
    at: Millis


class Happened(Event, frozen=True, kw_only=True):
    """By whom.

    Attributes:
        by: the user who asked for it; None: the app's back end, or time.
        change_set: the larger change that it is a part of.
    """

    by: Id | None = None
    change_set: Id | None = None
    v: EventsVersion = FIRST


class GroupCreated(Happened, tag="group_created", frozen=True):
    """A group came to be.

    Attributes:
        kind: the group's kind.
        users: its first members, in the order of their ordinals.
        ordinals: their ordinals.
        owner: its owner.
        profile: what it says of itself.
    """

    kind: GroupKind
    users: list[Id]
    ordinals: list[U32]
    owner: Id | None = None
    profile: Profile = Profile()


class GroupUpdated(Happened, tag="group_updated", frozen=True):
    """What a group says of itself changed; the whole of it as it is now."""

    profile: Profile


class OwnerChanged(Happened, tag="owner_changed", frozen=True):
    """Another member is the owner.

    Attributes:
        owner: who.
        before: who was until now; None: nobody.
    """

    owner: Id
    before: Id | None = None


class GroupDeleted(Happened, tag="group_deleted", frozen=True):
    """A group ended; nobody is its member any more."""


class MembersAdded(Happened, tag="members_added", frozen=True):
    """Users became members, under these ordinals."""

    users: list[Id]
    ordinals: list[U32]
    how: How = "added"


class MembersRemoved(Happened, tag="members_removed", frozen=True):
    """Users are members no more; their ordinals are not used again."""

    users: list[Id]
    ordinals: list[U32]
    why: Why = "removed"


class MemberUpdated(Happened, tag="member_updated", frozen=True):
    """A member's profile changed; the whole of it as it is now."""

    user: Id
    ordinal: U32
    profile: MemberProfile


class Muted(Happened, tag="muted", frozen=True):
    """Sends are refused until a moment; lifted where that is 0.

    Attributes:
        until: up to when.
        users: whose sends; none: those of everybody.
        ordinals: theirs.
        channel: in which channel; None: in all.
    """

    until: Millis
    users: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list
    ordinals: list[U32] = []  # noqa: RUF012 -- msgspec copies an empty list
    channel: Id | None = None


class Banned(Happened, tag="banned", frozen=True):
    """Users are kept out. Those of them who were members are removed by the event that follows."""

    users: list[Id]
    until: Millis | None = None


class Unbanned(Happened, tag="unbanned", frozen=True):
    """Users may come in again."""

    users: list[Id]


class Invited(Happened, tag="invited", frozen=True):
    """A user was invited."""

    invite: Id
    user: Id
    expires_at: Millis
    text: str = ""


class InviteEnded(Happened, tag="invite_ended", frozen=True):
    """An invite is no longer open. If it was accepted, the event that follows makes its user a member."""

    invite: Id
    user: Id
    end: End


class Applied(Happened, tag="applied_for", frozen=True):
    """A user asked to become a member."""

    application: Id
    user: Id
    expires_at: Millis
    text: str = ""


class ApplicationEnded(Happened, tag="application_ended", frozen=True):
    """An application is no longer open. If it was accepted, the event that follows makes its user a member."""

    application: Id
    user: Id
    end: End


class CodeCreated(Happened, tag="code_created", frozen=True):
    """An invite code came to be."""

    code: Code


class CodeEnded(Happened, tag="code_ended", frozen=True):
    """An invite code was revoked, used up, or has expired."""

    code: Id


class ChannelCreated(Happened, tag="channel_created", frozen=True):
    """A channel came to be.

    Attributes:
        channel: it.
        black_roles: roles on its black list.
        white_roles: roles on its white list.
    """

    channel: Channel
    black_roles: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list
    white_roles: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list


class ChannelUpdated(Happened, tag="channel_updated", frozen=True):
    """A channel changed; the whole of it as it is now."""

    channel: Channel


class ChannelDeleted(Happened, tag="channel_deleted", frozen=True):
    """A channel ended."""

    channel: Id


class CategoryCreated(Happened, tag="category_created", frozen=True):
    """A category came to be."""

    category: Category
    black_roles: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list
    white_roles: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list


class CategoryUpdated(Happened, tag="category_updated", frozen=True):
    """A category changed; the whole of it as it is now."""

    category: Category


class CategoryDeleted(Happened, tag="category_deleted", frozen=True):
    """A category ended."""

    category: Id


class ListEdited(Happened, tag="list_edited", frozen=True):
    """A white or black list changed, first cleared if `cleared`, then by what is named.

    Attributes:
        which: which list.
        channel: whose; None where `category` says it.
        category: whose.
        cleared: everything on it went.
        added_roles: roles put on it.
        removed_roles: roles taken off it.
        added: users put on it.
        added_ordinals: theirs.
        removed: users taken off it.
        removed_ordinals: theirs.
    """

    which: ListName
    channel: Id | None = None
    category: Id | None = None
    cleared: bool = False
    added_roles: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list
    removed_roles: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list
    added: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list
    added_ordinals: list[U32] = []  # noqa: RUF012 -- msgspec copies an empty list
    removed: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list
    removed_ordinals: list[U32] = []  # noqa: RUF012 -- msgspec copies an empty list


class OverrideSet(Happened, tag="override_set", frozen=True):
    """What a role or a member may do in one channel or category; an empty override is none."""

    override: Override
    channel: Id | None = None
    category: Id | None = None


class RoleCreated(Happened, tag="role_created", frozen=True):
    """A role came to be."""

    role: Role


class RoleUpdated(Happened, tag="role_updated", frozen=True):
    """A role changed; the whole of it as it is now."""

    role: Role


class RoleDeleted(Happened, tag="role_deleted", frozen=True):
    """A role ended."""

    role: Id


class RoleMembersAdded(Happened, tag="role_members_added", frozen=True):
    """Members got a role."""

    role: Id
    users: list[Id]
    ordinals: list[U32]


class RoleMembersRemoved(Happened, tag="role_members_removed", frozen=True):
    """Members lost a role."""

    role: Id
    users: list[Id]
    ordinals: list[U32]


RelationEvent = (
    GroupCreated
    | GroupUpdated
    | OwnerChanged
    | GroupDeleted
    | MembersAdded
    | MembersRemoved
    | MemberUpdated
    | Muted
    | Banned
    | Unbanned
    | Invited
    | InviteEnded
    | Applied
    | ApplicationEnded
    | CodeCreated
    | CodeEnded
    | ChannelCreated
    | ChannelUpdated
    | ChannelDeleted
    | CategoryCreated
    | CategoryUpdated
    | CategoryDeleted
    | ListEdited
    | OverrideSet
    | RoleCreated
    | RoleUpdated
    | RoleDeleted
    | RoleMembersAdded
    | RoleMembersRemoved
)


class Flips(Wire, tag="flips", frozen=True):
    """Who entered and who left one channel's view by one change: for the sorted member list of a channel.

    Attributes:
        app: the group's app.
        group: the group.
        channel: the channel.
        version: the group's version that made it so.
        entered: users who see it now and did not.
        entered_ordinals: theirs.
        left: users who saw it and do so no more.
        left_ordinals: theirs.
        whole: the list is given anew: who is not named is not on it.
        ended: no list is kept of the channel from here on: it is gone, or too many see it.
    """

    app: Id
    group: Id
    channel: Id
    version: Count
    entered: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list
    entered_ordinals: list[U32] = []  # noqa: RUF012 -- msgspec copies an empty list
    left: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list
    left_ordinals: list[U32] = []  # noqa: RUF012 -- msgspec copies an empty list
    whole: bool = False
    ended: bool = False


class FlipLot(Struct, tag_field="t", tag="channel_members", omit_defaults=True, frozen=True, gc=False):
    """A record of `channel-members`: what one batch of one groups partition changed, in order."""

    source: U32
    entries: list[Flips]
    v: EventsVersion = FIRST
