"""What views answer about groups, as far as a gateway needs it. Written by hand, as `wire` is.

Each answer is exact when it is given, and names the group's `version` that it is of.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from linkcast_gateway.wire import Notice


class Member(Struct, frozen=True):
    """A member: its number, and who it is."""

    ordinal: int
    user: str


class Members(Struct, frozen=True):
    """A page of members, of a group, a channel or a role.

    Attributes:
        version: the group's version.
        count: how many there are in all.
        members: those of this page.
        next: the cursor of the next page; None: this is the last one.
    """

    version: int
    count: int
    members: list[Member]
    next: str | None = None


class MemberOf(Struct, frozen=True):
    """One member: its roles, the highest first, and what it may do on the group's level."""

    version: int
    ordinal: int
    user: str
    owner: bool
    roles: list[str]
    permissions: list[str]


class Channel(Struct, frozen=True):
    """A channel of a server."""

    channel: str
    kind: str = "text"
    name: str = ""
    topic: str = ""
    category: str | None = None
    sync: bool = False
    view_mode: str = "public"
    weight: int = 0
    custom: str = ""
    muted_until: int = 0


class ChannelSeen(Struct, frozen=True):
    """A channel, its newest seq, and what the user asked about may do there."""

    channel: Channel
    head: int
    first: int
    permissions: list[str] = []


class Channels(Struct, frozen=True):
    """A page of the channels that a user sees, by id."""

    version: int
    channels: list[ChannelSeen]
    next: str | None = None


class Role(Struct, frozen=True):
    """A role."""

    role: str
    name: str = ""
    priority: int = 1
    allow: list[str] = []
    deny: list[str] = []
    custom: str = ""


class RoleHeld(Struct, frozen=True):
    """A role, and how many hold it."""

    role: Role
    members: int


class Roles(Struct, frozen=True):
    """All roles of a group, the highest first; the last one is `everyone`."""

    version: int
    roles: list[RoleHeld]


class Decided(Struct, frozen=True):
    """Whether a user may do something in a channel, and whose grant decides: `owner`, `roles`, `member`, `nothing`."""

    permission: str
    may: bool
    by: str
    roles: list[str] = []


class Access(Struct, frozen=True):
    """Whether a user sees a channel, what it may do there, and why.

    Attributes:
        version: the group's version.
        member: whether the user is one.
        sees: whether it sees the channel.
        words: which words of the rule decide: `owner`, `public`, `white_role`, `not_on_white_list`, ...
        roles: the roles that decide.
        view_mode: the mode that counts: the category's where the channel follows it.
        permissions: each permission, and what decides.
    """

    version: int
    member: bool
    sees: bool
    words: list[str]
    roles: list[str] = []
    view_mode: str = "public"
    permissions: list[Decided] = []

    def may(self, permission: str) -> bool:
        """Whether the user may do this there."""
        return any(one.permission == permission and one.may for one in self.permissions)


class Changes(Struct, frozen=True):
    """What changed in a group after a version.

    Attributes:
        version: the group's version now.
        upto: the changes reach up to this version: ask from here on.
        more: whether there are further ones.
        changes: events, as they stand on `relation-events`.
        snapshot: too much happened since: read the group anew.
        alive: whether the group lives.
    """

    version: int
    upto: int
    more: bool
    changes: list[dict[str, Any]]
    snapshot: bool = False
    alive: bool = True


class Notices(Struct, frozen=True):
    """Notices of a user's inbox, by number.

    Attributes:
        newest: the number of the newest one; 0 if there never was one.
        first: those numbered below are gone.
        notices: the oldest first.
        more: there are further ones: go on after the last of these.
    """

    newest: int
    first: int
    notices: list[Notice]
    more: bool
