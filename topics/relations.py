"""`relations`: commands on a group, keyed by `app:group`; what was applied becomes an event (`topics.events`).

A command that changes nothing is answered `applied` with `changed=0`, has no event and does not raise the version:
twice is harmless. A refused one changes nothing either. Of a changing command the fields that are absent stay as they
are.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from topics import limits
from topics.entities import (
    Avatar,
    ChannelKind,
    Custom,
    GroupKind,
    JoinMode,
    ListName,
    Name,
    Permissions,
    Priority,
    Topic,
    ViewMode,
    VisitorMode,
    Weight,
)
from topics.versions import FIRST, RelationsVersion
from topics.wire import Count, Id, Millis, ReplyTo, Wire

Users = Annotated[list[Id], Meta(max_length=limits.LOT_USERS)]
Lot = Annotated[list[Id], Meta(min_length=1, max_length=limits.LOT_USERS)]
Names = Annotated[list[Id], Meta(max_length=limits.LIST_ROLES)]
Text = Annotated[str, Meta(max_length=limits.REQUEST_CHARS)]
Part = Annotated[int, Meta(ge=1, le=limits.CHANGE_SET_PARTS)]


class Command(Wire, frozen=True):
    """Base of all commands.

    Attributes:
        app: the group's app.
        group: the group.
    """

    app: Id
    group: Id


class Asked(Command, frozen=True, kw_only=True):
    """How a command is asked for.

    Attributes:
        by: the user who asks, and whose permissions count; None: the app's back end, which may do everything.
        expected: the group's version that the caller knows; another one refuses the command.
        request: the caller's id of this command, returned in the answer.
        reply: where the answer goes; None: nobody waits.
    """

    by: Id | None = None
    expected: Count | None = None
    request: Id | None = None
    reply: ReplyTo | None = None
    v: RelationsVersion = FIRST


class Large(Asked, frozen=True, kw_only=True):
    """A command that may be a part of something larger than a record.

    Attributes:
        change_set: names the whole; its progress can be asked. None: this is all.
        part: which part, from 1.
        parts: how many there are. Parts may come in any order, and again.
    """

    change_set: Id | None = None
    part: Part = 1
    parts: Part = 1


class CreateGroup(Asked, tag="create_group", frozen=True):
    """A group comes to be, or, deleted before, comes to be again.

    Attributes:
        kind: `server`, `team`, `direct` (exactly two users, for good) or `room`.
        members: its first members; both users of a `direct` group.
        owner: one of them, who may do everything; None: nobody does.
        name: for people.
        topic: its classification in the square.
        avatar: a reference to a picture.
        custom: opaque.
        searchable: whether the square shows it.
        weight: its place there.
        join_mode: who may become a member of its own accord.
    """

    kind: GroupKind = "team"
    members: Users = []  # noqa: RUF012 -- msgspec copies an empty list
    owner: Id | None = None
    name: Name = ""
    topic: Topic = ""
    avatar: Avatar = ""
    custom: Custom = ""
    searchable: bool = False
    weight: Weight = 0
    join_mode: JoinMode = "invite"


class UpdateGroup(Asked, tag="update_group", frozen=True):
    """What a group says of itself changes."""

    name: Name | UnsetType = UNSET
    topic: Topic | UnsetType = UNSET
    avatar: Avatar | UnsetType = UNSET
    custom: Custom | UnsetType = UNSET
    searchable: bool | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET
    join_mode: JoinMode | UnsetType = UNSET


class TransferOwnership(Asked, tag="transfer_ownership", frozen=True):
    """Another member becomes the owner. Only the owner, or the back end, may ask for it."""

    to: Id


class DeleteGroup(Asked, tag="delete_group", frozen=True):
    """A group ends, its members and their bindings with it."""


class AddMembers(Large, tag="add_members", frozen=True):
    """Users become members; who is one already stays as is. Banned users are left out."""

    users: Lot


class RemoveMembers(Large, tag="remove_members", frozen=True):
    """Users are members no more; who was none stays out. By oneself alone: leaving."""

    users: Lot


class Join(Asked, tag="join", frozen=True):
    """A user becomes a member of its own accord: the group is open, or the code lets it in.

    Attributes:
        user: who; the same as `by` where that is given.
        code: an invite code; None: the group is open.
    """

    user: Id
    code: Id | None = None


class UpdateMember(Asked, tag="update_member", frozen=True):
    """A member's profile in the group changes."""

    user: Id
    nick: Name | UnsetType = UNSET
    avatar: Avatar | UnsetType = UNSET
    custom: Custom | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET


class Mute(Asked, tag="mute", frozen=True):
    """Sends are refused until a moment; one that has passed lifts the mute.

    Attributes:
        until: up to when.
        users: whose sends; none: those of everybody.
        channel: in which channel; None: in all. Not together with `users`.
    """

    until: Millis
    users: Users = []  # noqa: RUF012 -- msgspec copies an empty list
    channel: Id | None = None


class BanMembers(Large, tag="ban_members", frozen=True):
    """Users are kept out; those who are members are so no more.

    Attributes:
        users: who.
        until: up to when; None: until the ban is lifted.
    """

    users: Lot
    until: Millis | None = None


class UnbanMembers(Large, tag="unban_members", frozen=True):
    """Users may come in again."""

    users: Lot


class Invite(Asked, tag="invite", frozen=True):
    """A user is invited.

    Attributes:
        invite: the id of it.
        user: who.
        text: for the user.
        expires_at: up to when it may be accepted; None: as long as the app's policy lets it.
    """

    invite: Id
    user: Id
    text: Text = ""
    expires_at: Millis | None = None


class AnswerInvite(Asked, tag="answer_invite", frozen=True):
    """The invited user accepts, and so becomes a member, or declines."""

    invite: Id
    accept: bool


class Apply(Asked, tag="apply", frozen=True):
    """A user asks to become a member.

    Attributes:
        application: the id of it.
        user: who.
        text: for those who approve.
        expires_at: up to when it may be approved; None: as long as the app's policy lets it.
    """

    application: Id
    user: Id
    text: Text = ""
    expires_at: Millis | None = None


class AnswerApplication(Asked, tag="answer_application", frozen=True):
    """An application is approved, and its user so becomes a member, or declined."""

    application: Id
    accept: bool


class Withdraw(Asked, tag="withdraw", frozen=True):
    """An open invite or application is taken back.

    Attributes:
        invite: which; None where `application` says it.
        application: which.
    """

    invite: Id | None = None
    application: Id | None = None


class CreateCode(Asked, tag="create_code", frozen=True):
    """An invite code comes to be.

    Attributes:
        code: it; the caller makes one that nobody guesses.
        uses: how many users it lets in.
        expires_at: up to when; None: as long as the app's policy lets it.
    """

    code: Id
    uses: Annotated[int, Meta(ge=1, le=limits.CODE_USES)] = 1
    expires_at: Millis | None = None


class RevokeCode(Asked, tag="revoke_code", frozen=True):
    """An invite code ends."""

    code: Id


class CreateChannel(Asked, tag="create_channel", frozen=True):
    """A channel of a server comes to be. See `topics.entities.Channel`.

    Attributes:
        black_roles: roles on its black list from the beginning.
        white_roles: roles on its white list.
    """

    channel: Id
    kind: ChannelKind = "text"
    name: Name = ""
    topic: Topic = ""
    category: Id | None = None
    sync: bool = False
    view_mode: ViewMode = "public"
    visitor_mode: VisitorMode = "hidden"
    weight: Weight = 0
    custom: Custom = ""
    black_roles: Names = []  # noqa: RUF012 -- msgspec copies an empty list
    white_roles: Names = []  # noqa: RUF012 -- msgspec copies an empty list


class UpdateChannel(Asked, tag="update_channel", frozen=True):
    """A channel changes. Without a category it follows none."""

    channel: Id
    name: Name | UnsetType = UNSET
    topic: Topic | UnsetType = UNSET
    category: Id | UnsetType | None = UNSET
    sync: bool | UnsetType = UNSET
    view_mode: ViewMode | UnsetType = UNSET
    visitor_mode: VisitorMode | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET
    custom: Custom | UnsetType = UNSET


class DeleteChannel(Asked, tag="delete_channel", frozen=True):
    """A channel ends."""

    channel: Id


class CreateCategory(Asked, tag="create_category", frozen=True):
    """A category comes to be. See `topics.entities.Category`."""

    category: Id
    name: Name = ""
    view_mode: ViewMode = "public"
    weight: Weight = 0
    custom: Custom = ""
    black_roles: Names = []  # noqa: RUF012 -- msgspec copies an empty list
    white_roles: Names = []  # noqa: RUF012 -- msgspec copies an empty list


class UpdateCategory(Asked, tag="update_category", frozen=True):
    """A category changes, and all channels that follow it."""

    category: Id
    name: Name | UnsetType = UNSET
    view_mode: ViewMode | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET
    custom: Custom | UnsetType = UNSET


class DeleteCategory(Asked, tag="delete_category", frozen=True):
    """A category ends; each channel in it stands alone from here on, with its own mode, lists and overrides."""

    category: Id


class EditList(Large, tag="edit_list", frozen=True):
    """A white or black list changes. Users who are no members, and roles that are none, are left out.

    Attributes:
        which: which list.
        channel: whose; None where `category` says it.
        category: whose.
        clear: everything on it goes first.
        add_roles: roles put on it.
        remove_roles: roles taken off it.
        add_users: users put on it.
        remove_users: users taken off it.
    """

    which: ListName
    channel: Id | None = None
    category: Id | None = None
    clear: bool = False
    add_roles: Names = []  # noqa: RUF012 -- msgspec copies an empty list
    remove_roles: Names = []  # noqa: RUF012 -- msgspec copies an empty list
    add_users: Users = []  # noqa: RUF012 -- msgspec copies an empty list
    remove_users: Users = []  # noqa: RUF012 -- msgspec copies an empty list


class SetOverride(Asked, tag="set_override", frozen=True):
    """What a role or a member may do in one channel or category; nothing allowed and nothing denied removes it.

    Attributes:
        channel: where; None where `category` says it.
        category: where.
        role: for whom; None where `user` says it.
        user: for whom.
        allow: permissions given there.
        deny: permissions taken there.
    """

    channel: Id | None = None
    category: Id | None = None
    role: Id | None = None
    user: Id | None = None
    allow: Permissions = []  # noqa: RUF012 -- msgspec copies an empty list
    deny: Permissions = []  # noqa: RUF012 -- msgspec copies an empty list


class CreateRole(Asked, tag="create_role", frozen=True):
    """A role comes to be. See `topics.entities.Role`."""

    role: Id
    name: Name = ""
    priority: Priority = 1
    allow: Permissions = []  # noqa: RUF012 -- msgspec copies an empty list
    deny: Permissions = []  # noqa: RUF012 -- msgspec copies an empty list
    custom: Custom = ""


class UpdateRole(Asked, tag="update_role", frozen=True):
    """A role changes; of EVERYONE only `allow` and `deny` do."""

    role: Id
    name: Name | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    allow: Permissions | UnsetType = UNSET
    deny: Permissions | UnsetType = UNSET
    custom: Custom | UnsetType = UNSET


class DeleteRole(Asked, tag="delete_role", frozen=True):
    """A role ends: its members leave it, lists and overrides name it no more."""

    role: Id


class AddRoleMembers(Large, tag="add_role_members", frozen=True):
    """Members get a role; users who are no members are left out."""

    role: Id
    users: Lot


class RemoveRoleMembers(Large, tag="remove_role_members", frozen=True):
    """Members lose a role."""

    role: Id
    users: Lot


RelationRecord = (
    CreateGroup
    | UpdateGroup
    | TransferOwnership
    | DeleteGroup
    | AddMembers
    | RemoveMembers
    | Join
    | UpdateMember
    | Mute
    | BanMembers
    | UnbanMembers
    | Invite
    | AnswerInvite
    | Apply
    | AnswerApplication
    | Withdraw
    | CreateCode
    | RevokeCode
    | CreateChannel
    | UpdateChannel
    | DeleteChannel
    | CreateCategory
    | UpdateCategory
    | DeleteCategory
    | EditList
    | SetOverride
    | CreateRole
    | UpdateRole
    | DeleteRole
    | AddRoleMembers
    | RemoveRoleMembers
)
