"""`relations`: commands on a group, keyed by `app:group`. `relation-events`: what was applied, and the group's version.

A command that changes nothing is answered `applied` with `changed=0`, has no event and does not raise the version:
twice is harmless.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from topics import limits
from topics.versions import FIRST, EventsVersion, RelationsVersion
from topics.wire import U32, Count, Id, Millis, ReplyTo, Wire

Lot = Annotated[list[Id], Meta(min_length=1, max_length=limits.LOT_USERS)]
Kind = Literal["team", "direct"]


class CreateGroup(Wire, tag="create_group", frozen=True):
    """A group comes to be, or, deleted before, comes to be again.

    Attributes:
        app: the group's app.
        group: its id.
        kind: `team` (one implicit channel, members come and go) or `direct` (exactly two users, for good).
        members: its first members; both users of a `direct` group.
        request: the caller's id of this command, returned in the answer.
        reply: where the answer goes; None: nobody waits.
    """

    app: Id
    group: Id
    kind: Kind = "team"
    members: Annotated[list[Id], Meta(max_length=limits.LOT_USERS)] = []  # noqa: RUF012 -- msgspec copies an empty list
    request: Id | None = None
    reply: ReplyTo | None = None
    v: RelationsVersion = FIRST


class DeleteGroup(Wire, tag="delete_group", frozen=True):
    """A group ends, its members and their bindings with it."""

    app: Id
    group: Id
    request: Id | None = None
    reply: ReplyTo | None = None
    v: RelationsVersion = FIRST


class AddMembers(Wire, tag="add_members", frozen=True):
    """Users become members; who is one already stays as is."""

    app: Id
    group: Id
    users: Lot
    request: Id | None = None
    reply: ReplyTo | None = None
    v: RelationsVersion = FIRST


class RemoveMembers(Wire, tag="remove_members", frozen=True):
    """Users are members no more; who was none stays out."""

    app: Id
    group: Id
    users: Lot
    request: Id | None = None
    reply: ReplyTo | None = None
    v: RelationsVersion = FIRST


RelationRecord = CreateGroup | DeleteGroup | AddMembers | RemoveMembers


class GroupCreated(Wire, tag="group_created", frozen=True):
    """A group came to be.

    Attributes:
        app: the group's app.
        group: its id.
        version: the group's version after this change; rises by one a change, also across deletion and re-creation.
        at: when the command was appended.
        kind: the group's kind.
        users: its first members, in the order of their ordinals.
        ordinals: their ordinals.
    """

    app: Id
    group: Id
    version: Count
    at: Millis
    kind: Kind
    users: list[Id]
    ordinals: list[U32]
    v: EventsVersion = FIRST


class GroupDeleted(Wire, tag="group_deleted", frozen=True):
    """A group ended; nobody is its member any more."""

    app: Id
    group: Id
    version: Count
    at: Millis
    v: EventsVersion = FIRST


class MembersAdded(Wire, tag="members_added", frozen=True):
    """Users became members, under these ordinals."""

    app: Id
    group: Id
    version: Count
    at: Millis
    users: list[Id]
    ordinals: list[U32]
    v: EventsVersion = FIRST


class MembersRemoved(Wire, tag="members_removed", frozen=True):
    """Users are members no more; their ordinals are not used again."""

    app: Id
    group: Id
    version: Count
    at: Millis
    users: list[Id]
    ordinals: list[U32]
    v: EventsVersion = FIRST


RelationEvent = GroupCreated | GroupDeleted | MembersAdded | MembersRemoved
