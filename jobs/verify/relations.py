"""What a group's events made of it, at every version: who sees which channel, who may do what, who is muted.

Plain sets of names, one user at a time, straight from the rules; it shares no thought with what computes audiences.
Everything can be asked at any version, as each value knows since when it was so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, NamedTuple, TypeVar

import msgspec

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
    CodeCreated,
    CodeEnded,
    End,
    GroupCreated,
    GroupDeleted,
    GroupUpdated,
    Invited,
    InviteEnded,
    ListEdited,
    MembersAdded,
    MembersRemoved,
    MemberUpdated,
    Muted,
    OverrideSet,
    OwnerChanged,
    RelationEvent,
    RoleCreated,
    RoleDeleted,
    RoleMembersAdded,
    RoleMembersRemoved,
    RoleUpdated,
    Unbanned,
)
from topics.messages import MAIN

T = TypeVar("T")
RequestKind = Literal["invite", "application"]

ALL: Final[frozenset[Permission]] = frozenset(PERMISSIONS)
#: What every member may do where nobody said otherwise.
DEFAULT: Final[list[Permission]] = ["send", "invite"]
#: A ban without an end.
FOREVER_MS: Final = 1 << 62


class Ever(Generic[T]):
    """A value, now and at every earlier version."""

    __slots__ = ("_since", "_values")

    def __init__(self, value: T) -> None:
        self._since = [0]
        self._values = [value]

    def set(self, version: int, value: T) -> None:
        """So from this version on."""
        self._since.append(version)
        self._values.append(value)

    def at(self, version: int) -> T:
        """How it was at a version."""
        return self._values[bisect_right(self._since, version) - 1]

    @property
    def now(self) -> T:
        """How it is after the last event."""
        return self._values[-1]


class Names:
    """A set of names, now and at every earlier version.

    Attributes:
        now: the names after the last event.
    """

    __slots__ = ("_turns", "now")

    def __init__(self) -> None:
        self.now: set[str] = set()
        self._turns: dict[str, tuple[int, ...]] = {}  # versions at which a name came and went, by turns

    def add(self, version: int, names: Iterable[str]) -> None:
        """They are in it from this version on."""
        for name in names:
            if name not in self.now:
                self.now.add(name)
                self._turns[name] = (*self._turns.get(name, ()), version)

    def remove(self, version: int, names: Collection[str]) -> None:
        """They are in it no more."""
        for name in names if len(names) < len(self.now) else [one for one in self.now if one in names]:
            if name in self.now:
                self.now.discard(name)
                self._turns[name] = (*self._turns[name], version)

    def has(self, name: str, version: int) -> bool:
        """Whether a name was in it at a version."""
        turns = self._turns.get(name)
        return turns is not None and bisect_right(turns, version) % 2 == 1

    def at(self, version: int) -> Iterator[str]:
        """All names at a version. O(all that ever were)."""
        return (name for name in self._turns if self.has(name, version))


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


@dataclass(slots=True)
class Relations:
    """All lives of one group."""

    life: Ever[Life | None] = field(default_factory=lambda: Ever(None))
    #: (version, ordinals whose view of some channel may have changed by it; None: anybody's). Others changed nobody's.
    touched: list[tuple[int, list[int] | None]] = field(default_factory=list)

    # -- what is asked -----------------------------------------------------------------------------------------------

    def is_channel(self, channel: str, version: int) -> bool:
        """Whether there was such a channel."""
        life = self.life.at(version)
        return life is not None and life.channel(channel, version) is not None

    def sees(self, user: str, channel: str, version: int) -> bool:
        """Whether a user, being a member, saw a channel."""
        life = self.life.at(version)
        found = life.channel(channel, version) if life is not None else None
        if life is None or found is None or not life.members.has(user, version):
            return False
        if life.owner.at(version) == user:
            return True
        place = life.place(found, version)
        private = place.mode.at(version) == "private"
        listed = place.lists["white" if private else "black"]
        named = listed.users.has(user, version) or any(
            life.holds(user, role, version) for role in listed.roles.at(version)
        )
        return named == private

    def permissions(self, user: str, channel: str | None, version: int) -> frozenset[Permission]:
        """What a member might do: on the group's level, or in a channel."""
        life = self.life.at(version)
        if life is None:
            return frozenset()
        found = life.channel(channel, version) if channel is not None else None
        return life.permissions(user, version, life.levels(found, version))

    def may(self, user: str, permission: Permission, channel: str | None, version: int) -> bool:
        """Whether a member might do that."""
        return permission in self.permissions(user, channel, version)

    def muted(self, user: str, channel: str, version: int, at_ms: int) -> bool:
        """Whether a member's sends into a channel were refused at a moment."""
        life = self.life.at(version)
        if life is None:
            return False
        if (mute := life.mutes.get(user)) is not None and mute.at(version) > at_ms:
            return True
        found = life.channel(channel, version)
        until_ms = life.muted_until.at(version)
        if found is not None:
            until_ms = max(until_ms, found.channel.at(version).muted_until)
        return until_ms > at_ms and not self.may(user, "mute", channel, version)

    def might_send(self, user: str, channel: str, version: int, at_ms: int) -> bool:
        """Whether nothing was against a member's message."""
        return (
            self.sees(user, channel, version)
            and self.may(user, "send", channel, version)
            and not self.muted(user, channel, version, at_ms)
        )

    # -- what happened -----------------------------------------------------------------------------------------------

    def apply(self, event: RelationEvent) -> None:
        """The next event."""
        if isinstance(event, GroupCreated):
            self.life.set(event.version, Life(event))
            self.touched.append((event.version, None))
        elif isinstance(event, GroupDeleted):
            self.life.set(event.version, None)
            self.touched.append((event.version, None))
        elif (life := self.life.now) is not None and (apply := _APPLY.get(type(event))) is not None:
            apply(life, event)
            if type(event) in _TOUCHES:
                self.touched.append((event.version, _TOUCHES[type(event)](event)))


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


def _set(ever: dict[str, Ever[T | None]], name: str, version: int, value: T | None) -> None:
    ever.setdefault(name, Ever(None)).set(version, value)


def _add_members(life: Life, event: MembersAdded) -> None:
    life.members.add(event.version, event.users)
    life.count.set(event.version, len(life.members.now))


def _remove_members(life: Life, event: MembersRemoved) -> None:
    """Who is a member no more leaves roles, lists, overrides and mutes."""
    version, gone = event.version, set(event.users)
    life.members.remove(version, gone)
    life.count.set(version, len(life.members.now))
    for role in life.roles.values():
        if role.now is not None:
            role.now.members.remove(version, gone)
    for place in life.places():
        for listed in place.lists.values():
            listed.users.remove(version, gone)
        for user in [user for user in place.of_users if user in gone]:
            place.of_users[user].set(version, None)
    for user in [user for user in life.mutes if user in gone]:
        life.mutes[user].set(version, 0)
    for user in [user for user in life.profiles if user in gone]:
        life.profiles[user].set(version, MemberProfile())


def _update_member(life: Life, event: MemberUpdated) -> None:
    life.profiles.setdefault(event.user, Ever(MemberProfile())).set(event.version, event.profile)


def _mute(life: Life, event: Muted) -> None:
    if event.users:
        for user in event.users:
            life.mutes.setdefault(user, Ever(0)).set(event.version, event.until)
    elif event.channel is None:
        life.muted_until.set(event.version, event.until)
    elif (found := life.channel(event.channel, event.version)) is not None:
        muted = msgspec.structs.replace(found.channel.now, muted_until=event.until)
        found.channel.set(event.version, muted)


def _ban(life: Life, event: Banned) -> None:
    for user in event.users:
        life.bans.setdefault(user, Ever(0)).set(event.version, FOREVER_MS if event.until is None else event.until)


def _unban(life: Life, event: Unbanned) -> None:
    for user in event.users:
        life.bans.setdefault(user, Ever(0)).set(event.version, 0)


def _ask(life: Life, event: Invited | Applied) -> None:
    kind: RequestKind = "invite" if isinstance(event, Invited) else "application"
    name = event.invite if isinstance(event, Invited) else event.application
    request = Request(event.user, event.by, event.expires_at)
    life.requests.setdefault((kind, name), Ever(None)).set(event.version, request)


def _end_request(life: Life, event: InviteEnded | ApplicationEnded) -> None:
    kind: RequestKind = "invite" if isinstance(event, InviteEnded) else "application"
    name = event.invite if isinstance(event, InviteEnded) else event.application
    if (found := life.requests.get((kind, name))) is not None and found.now is not None:
        found.set(event.version, found.now._replace(end=event.end, ended_ms=event.at))


def _create_channel(life: Life, event: ChannelCreated) -> None:
    place = Place(event.channel.view_mode, event.version, event.black_roles, event.white_roles)
    _set(life.channels, event.channel.channel, event.version, ChannelLife(event.channel, place))


def _update_channel(life: Life, event: ChannelUpdated) -> None:
    if (found := life.channel(event.channel.channel, event.version)) is not None:
        found.channel.set(event.version, event.channel)
        found.place.mode.set(event.version, event.channel.view_mode)


def _create_category(life: Life, event: CategoryCreated) -> None:
    place = Place(event.category.view_mode, event.version, event.black_roles, event.white_roles)
    _set(life.categories, event.category.category, event.version, CategoryLife(event.category, place))


def _update_category(life: Life, event: CategoryUpdated) -> None:
    if (found := life.category(event.category.category, event.version)) is not None:
        found.category.set(event.version, event.category)
        found.place.mode.set(event.version, event.category.view_mode)


def _delete_category(life: Life, event: CategoryDeleted) -> None:
    """Each channel in it stands alone from here on."""
    _set(life.categories, event.category, event.version, None)
    for channel in life.channels.values():
        if channel.now is not None and channel.now.channel.now.category == event.category:
            alone = msgspec.structs.replace(channel.now.channel.now, category=None, sync=False)
            channel.now.channel.set(event.version, alone)


def _edit_list(life: Life, event: ListEdited) -> None:
    version = event.version
    found: ChannelLife | CategoryLife | None = (
        life.category(event.category, version) if event.channel is None else life.channel(event.channel, version)
    )
    if found is None:
        return
    listed = found.place.lists[event.which]
    for names, added, removed in (
        (listed.roles, event.added_roles, event.removed_roles),
        (listed.users, event.added, event.removed),
    ):
        names.remove(version, set(names.now) if event.cleared else set(removed))
        names.add(version, added)


def _set_override(life: Life, event: OverrideSet) -> None:
    version, override = event.version, event.override
    found: ChannelLife | CategoryLife | None = (
        life.category(event.category, version) if event.channel is None else life.channel(event.channel, version)
    )
    if found is None:
        return
    value = override if override.allow or override.deny else None
    if override.role is not None:
        _set(found.place.of_roles, override.role, version, value)
    elif override.user is not None:
        _set(found.place.of_users, override.user, version, value)


def _create_role(life: Life, event: RoleCreated) -> None:
    _set(life.roles, event.role.role, event.version, RoleLife(event.role))


def _update_role(life: Life, event: RoleUpdated) -> None:
    if (found := life.role(event.role.role, event.version)) is not None:
        found.role.set(event.version, event.role)


def _delete_role(life: Life, event: RoleDeleted) -> None:
    """Its members leave it, lists and overrides name it no more."""
    _set(life.roles, event.role, event.version, None)
    for place in life.places():
        for listed in place.lists.values():
            listed.roles.remove(event.version, [event.role])
        if event.role in place.of_roles:
            place.of_roles[event.role].set(event.version, None)


def _add_role_members(life: Life, event: RoleMembersAdded) -> None:
    if (found := life.role(event.role, event.version)) is not None:
        found.members.add(event.version, event.users)


def _remove_role_members(life: Life, event: RoleMembersRemoved) -> None:
    if (found := life.role(event.role, event.version)) is not None:
        found.members.remove(event.version, set(event.users))


def _touched_by_list(event: ListEdited) -> list[int] | None:
    if event.cleared or event.added_roles or event.removed_roles:
        return None
    return event.added_ordinals + event.removed_ordinals


_APPLY: Final[dict[type, Callable[..., None]]] = {
    GroupUpdated: lambda life, event: life.profile.set(event.version, event.profile),
    OwnerChanged: lambda life, event: life.owner.set(event.version, event.owner),
    MembersAdded: _add_members,
    MembersRemoved: _remove_members,
    Invited: _ask,
    Applied: _ask,
    InviteEnded: _end_request,
    ApplicationEnded: _end_request,
    CodeCreated: lambda life, event: _set(
        life.codes, event.code.code, event.version, Minted(event.code, event.version)
    ),
    CodeEnded: lambda life, event: _set(life.codes, event.code, event.version, None),
    MemberUpdated: _update_member,
    Muted: _mute,
    Banned: _ban,
    Unbanned: _unban,
    ChannelCreated: _create_channel,
    ChannelUpdated: _update_channel,
    ChannelDeleted: lambda life, event: _set(life.channels, event.channel, event.version, None),
    CategoryCreated: _create_category,
    CategoryUpdated: _update_category,
    CategoryDeleted: _delete_category,
    ListEdited: _edit_list,
    OverrideSet: _set_override,
    RoleCreated: _create_role,
    RoleUpdated: _update_role,
    RoleDeleted: _delete_role,
    RoleMembersAdded: _add_role_members,
    RoleMembersRemoved: _remove_role_members,
}


def _of_all(_: RelationEvent) -> None:
    return None


#: Events that may change who sees what, and for whom: the ordinals, or None for anybody.
_TOUCHES: Final[dict[type, Callable[..., list[int] | None]]] = {
    MembersAdded: lambda event: event.ordinals,
    MembersRemoved: lambda event: event.ordinals,
    RoleMembersAdded: lambda event: event.ordinals,
    RoleMembersRemoved: lambda event: event.ordinals,
    ListEdited: _touched_by_list,
    OwnerChanged: _of_all,
    ChannelCreated: _of_all,
    ChannelUpdated: _of_all,
    ChannelDeleted: _of_all,
    CategoryUpdated: _of_all,
    CategoryDeleted: _of_all,
    RoleDeleted: _of_all,
}
