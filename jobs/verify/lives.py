"""A group from its creation to its end, as its events made it: plain sets of names, at every version.

What one user may see and do is taken straight from the rules; it shares no thought with what computes audiences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple, TypeVar

from jobs.verify.ever import Ever, Names
from topics import limits
from topics.entities import (
    EVERYONE,
    PERMISSIONS,
    Category,
    Channel,
    Code,
    GroupKind,
    ListName,
    MemberProfile,
    Override,
    Permission,
    Profile,
    Role,
    ViewMode,
)
from topics.events import End, GroupCreated
from topics.messages import MAIN

T = TypeVar("T")
RequestKind = Literal["invite", "application"]

ALL: Final[frozenset[Permission]] = frozenset(PERMISSIONS)
#: What every member may do where nobody said otherwise.
DEFAULT: Final[list[Permission]] = ["send", "invite"]


class List:
    """A white or black list."""

    def __init__(self, roles: Iterable[str] = (), version: int = 0) -> None:
        self.roles = Names()
        self.users = Names()
        self.roles.add(version, roles)


class Place:
    """A channel or a category: what decides who sees it, and who may do what in it."""

    def __init__(self, mode: ViewMode, version: int, black_roles: Iterable[str], white_roles: Iterable[str]) -> None:
        self.mode: Ever[ViewMode] = Ever(mode)
        self.lists: dict[ListName, List] = {"black": List(black_roles, version), "white": List(white_roles, version)}
        self.of_roles: dict[str, Ever[Override | None]] = {}
        self.of_users: dict[str, Ever[Override | None]] = {}


class ChannelLife:
    """A channel from its creation to its end."""

    def __init__(self, channel: Channel, place: Place) -> None:
        self.channel = Ever(channel)
        self.place = place


class CategoryLife:
    """A category from its creation to its end."""

    def __init__(self, category: Category, place: Place) -> None:
        self.category = Ever(category)
        self.place = place


class RoleLife:
    """A role from its creation to its end."""

    def __init__(self, role: Role) -> None:
        self.role = Ever(role)
        self.members = Names()


class Request(NamedTuple):
    """An invite or application; `end` is None while it is open."""

    user: str
    by: str | None
    expires_at: int
    end: End | None = None
    ended_ms: int = 0


class Minted(NamedTuple):
    """An invite code, as it was created at a version."""

    code: Code
    version: int


class Life:
    """A group from its creation to its end."""

    def __init__(self, event: GroupCreated) -> None:
        self.kind: GroupKind = event.kind
        self.owner: Ever[str | None] = Ever(event.owner)
        self.profile: Ever[Profile] = Ever(event.profile)
        self.muted_until: Ever[int] = Ever(0)
        self.members = Names()
        self.members.add(event.version, event.users)
        self.count = Ever(len(self.members.now))
        self.mutes: dict[str, Ever[int]] = {}
        self.profiles: dict[str, Ever[MemberProfile]] = {}
        self.bans: dict[str, Ever[int]] = {}  # up to when; 0: not banned
        self.requests: dict[tuple[RequestKind, str], Ever[Request | None]] = {}
        self.codes: dict[str, Ever[Minted | None]] = {}
        everyone = Role(EVERYONE, priority=0, allow=DEFAULT)
        self.roles: dict[str, Ever[RoleLife | None]] = {EVERYONE: Ever(RoleLife(everyone))}
        self.categories: dict[str, Ever[CategoryLife | None]] = {}
        self.channels: dict[str, Ever[ChannelLife | None]] = {}
        if event.kind != "server":
            self.channels[MAIN] = Ever(ChannelLife(Channel(MAIN), Place("public", event.version, (), ())))

    def channel(self, name: str, version: int) -> ChannelLife | None:
        """A channel, if there was one of this name."""
        return found.at(version) if (found := self.channels.get(name)) else None

    def category(self, name: str | None, version: int) -> CategoryLife | None:
        """A category, if there was one of this name."""
        return found.at(version) if name is not None and (found := self.categories.get(name)) else None

    def role(self, name: str, version: int) -> RoleLife | None:
        """A role, if there was one of this name."""
        return found.at(version) if (found := self.roles.get(name)) else None

    def holds(self, user: str, role: str, version: int) -> bool:
        """Whether a member held a role."""
        found = self.role(role, version)
        return found is not None and (role == EVERYONE or found.members.has(user, version))

    def held(self, user: str, version: int) -> list[Role]:
        """All roles of a member, EVERYONE among them."""
        lives = [self.role(name, version) for name in self.roles if self.holds(user, name, version)]
        return [life.role.at(version) for life in lives if life is not None]

    def highest(self, user: str, version: int) -> int:
        """The highest priority among a member's roles."""
        return max(role.priority for role in self.held(user, version))

    def place(self, channel: ChannelLife, version: int) -> Place:
        """E(c): the category's where the channel follows one, else its own."""
        told = channel.channel.at(version)
        category = self.category(told.category, version) if told.sync else None
        return category.place if category is not None else channel.place

    def levels(self, at: ChannelLife | CategoryLife | None, version: int) -> list[Place]:
        """Whose overrides count in a channel or category: a channel's category's, then its own if it follows none."""
        if not isinstance(at, ChannelLife):
            return [] if at is None else [at.place]
        told = at.channel.at(version)
        category = self.category(told.category, version)
        if category is None:
            return [at.place]
        return [category.place] if told.sync else [category.place, at.place]

    def permissions(self, user: str, version: int, levels: Iterable[Place] = ()) -> frozenset[Permission]:
        """What a user may do as a member, on the group's level, then under the overrides of these places."""
        if not self.members.has(user, version):
            return frozenset()
        if self.owner.at(version) == user:
            return ALL
        held = _counting(self.held(user, version))
        may = {one for role in held for one in role.allow} - {one for role in held for one in role.deny}
        for place in levels:
            may = _over(may, place, user, held, version)
        return frozenset(may)

    def places(self) -> Iterator[Place]:
        """Those of all channels and categories that live."""
        for channel in self.channels.values():
            if channel.now is not None:
                yield channel.now.place
        for category in self.categories.values():
            if category.now is not None:
                yield category.now.place


def _counting(roles: list[Role]) -> list[Role]:
    """Those of a member's roles whose permissions count: the highest, and EVERYONE."""
    given = sorted((role for role in roles if role.role != EVERYONE), key=lambda role: (-role.priority, role.role))
    return [*given[: limits.ROLES_OF_MEMBER], *(role for role in roles if role.role == EVERYONE)]


def _over(may: set[Permission], place: Place, user: str, held: list[Role], version: int) -> set[Permission]:
    """One level of overrides: those of roles, then the member's; a denial beats."""
    of_roles = [found for role in held if (found := _override(place.of_roles, role.role, version))]
    of_user = [found] if (found := _override(place.of_users, user, version)) else []
    for overrides in (of_roles, of_user):
        may = may | {one for override in overrides for one in override.allow}
        may = may - {one for override in overrides for one in override.deny}
    return may


def _override(of: dict[str, Ever[Override | None]], name: str, version: int) -> Override | None:
    return found.at(version) if (found := of.get(name)) else None
