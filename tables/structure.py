"""The structure of one group's life: its roles, channels and categories, their lists and overrides.

A *place* has a view mode, lists and overrides of its own: a category, or a channel. The place of a channel, E(c), is
the category that it follows, else itself. Every change says whose visibility it may have changed, and where: `Touched`.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import Final, NamedTuple

import msgspec
from pyroaring import BitMap

from tables import keys
from tables.grants import Grant
from tables.ordinals import StoredSet
from tables.roles import Roles
from tables.rows import Rows
from tables.visibility import List, Rule
from topics.entities import Category, Channel, ListName, ViewMode

#: A channel, by its id, or a category: see `category_place`.
Place = str
#: Where a change may have changed who sees what: of each place, the members who may be affected; its rule may be a new
#: one, also where nobody is. A channel that came, went, or follows another category than before is named itself. Places
#: share bitmaps: they are to be read.
Touched = dict[Place, BitMap]
#: For whom an override is: a role, or a member's ordinal.
Holder = str | int

LISTS: Final[tuple[ListName, ...]] = ("black", "white")
#: The list that a view mode picks.
ACTIVE: Final[dict[ViewMode, ListName]] = {"public": "black", "private": "white"}
NOBODY: Final = BitMap()
_NO_LIST: Final = List(NOBODY, {})
_NO_GRANT: Final = Grant(0, 0)
# What they take in memory, measured.
_BYTES_PER_PLACE: Final = 2_000
_BYTES_PER_OVERRIDE: Final = 120


def category_place(category: str) -> Place:
    """A category as a place: no channel's id has a colon."""
    return f"category:{category}"


def category_of(place: Place) -> str:
    """The category that such a place is."""
    return place.partition(":")[2]


class ListChange(NamedTuple):
    """What became of a list.

    Attributes:
        cleared: whether everything on it went first.
        added_roles: roles put on it.
        removed_roles: roles taken off it, but by clearing.
        added: users put on it.
        removed: users taken off it, but by clearing.
        changed: how many users and roles are on it that were not, or were and are not.
        touched: who may be affected.
    """

    cleared: bool
    added_roles: list[str]
    removed_roles: list[str]
    added: BitMap
    removed: BitMap
    changed: int
    touched: Touched


class _Row(msgspec.Struct, array_like=True):
    channel: Channel | None
    category: Category | None
    roles: tuple[list[str], list[str]]  # on the lists, in the order of LISTS
    users: tuple[bool, bool]  # whether there may be any on them
    overrides: list[tuple[Holder, int, int]]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Row).decode


class _Site:
    """What one place has of its own."""

    __slots__ = ("info", "overrides", "roles", "rule", "users")

    def __init__(self, info: Channel | Category) -> None:
        self.info = info
        self.roles: dict[ListName, dict[str, None]] = {"black": {}, "white": {}}
        self.users: dict[ListName, StoredSet] = {}  # but for lists without users
        self.overrides: dict[Holder, Grant] = {}
        self.rule: Rule | None = None  # as long as it is the same

    @property
    def active(self) -> ListName:
        """The list that its mode picks."""
        return ACTIVE[self.info.view_mode]


class Structure:
    """The structure of a group.

    Attributes:
        roles: the roles and who holds them.
        channels: what each channel is, by its id.
        categories: what each category is, by its id.
    """

    def __init__(self, rows: Rows, group: bytes, first: int) -> None:
        self.roles = Roles(rows, group, first)
        self.channels: dict[str, Channel] = {}
        self.categories: dict[str, Category] = {}
        self._rows = rows
        self._group = group
        self._first = first
        self._sites: dict[Place, _Site] = {}
        self._naming: dict[str, dict[tuple[Place, ListName], None]] = {}  # the lists that name a role
        self._dirty: dict[Place, None] = {}
        self._dirty_users: dict[StoredSet, None] = {}
        prefix = self._key(keys.PLACE)
        for key, row in rows.scan(prefix):
            self._load(key[len(prefix) :].decode(), _decode(row))

    # What is asked.

    def places(self) -> list[Place]:
        """Every category, and every channel that follows none."""
        return [place for place in self._sites if self.is_place(place)]

    def is_place(self, place: Place) -> bool:
        """Whether it is one of `places`."""
        return place in self._sites and (place not in self.channels or self.place_of(place) == place)

    def place_of(self, channel: str) -> Place:
        """E(c): the place whose mode, lists and overrides count for a channel."""
        info = self.channels[channel]
        return category_place(info.category) if info.sync and info.category is not None else channel

    def levels(self, place: Place) -> tuple[Place, ...]:
        """The places whose overrides count in a channel or category: of a channel, its category's, then its own.

        None where there are no channels but the implicit one.
        """
        if (info := self.channels.get(place)) is None:
            return (place,) if place in self._sites else ()
        if info.category is None:
            return (place,)
        above = category_place(info.category)
        return (above,) if info.sync else (above, place)

    def followers(self, category: str) -> list[str]:
        """The channels that follow a category."""
        return [channel for channel, info in self.channels.items() if info.sync and info.category == category]

    def view_mode(self, place: Place) -> ViewMode:
        """A place's own view mode."""
        return self._sites[place].info.view_mode

    def rule(self, place: Place) -> Rule:
        """What decides who sees a place. The list that lies dormant is not read: it is empty here."""
        site = self._sites[place]
        if site.rule is None:
            active = site.active
            users = site.users[active].bits if active in site.users else NOBODY
            listed = List(users, {role: self.roles.members(role) for role in site.roles[active]})
            black, white = (listed, _NO_LIST) if active == "black" else (_NO_LIST, listed)
            site.rule = Rule(site.info.view_mode, black, white)
        return site.rule

    def signature(self, place: Place) -> Hashable:
        """Equal for two places only if the same members see them, for as long as it stays so."""
        site = self._sites[place]
        alone = place if site.active in site.users else None
        return site.info.view_mode, frozenset(site.roles[site.active]), alone

    def listed_roles(self, place: Place, which: ListName) -> list[str]:
        """The roles on a list, in the order in which they were put there."""
        return list(self._sites[place].roles[which])

    def listed_users(self, place: Place, which: ListName) -> BitMap:
        """The ordinals of the users on a list; to be read."""
        users = self._sites[place].users.get(which)
        return users.bits if users is not None else NOBODY

    def overrides(self, place: Place) -> dict[Holder, Grant]:
        """The overrides of a place; to be read."""
        return self._sites[place].overrides

    def everywhere(self, ordinals: BitMap) -> Touched:
        """These members may see other places than before: one is the owner, or was."""
        return dict.fromkeys(self.places(), ordinals)

    # Channels and categories.

    def create_channel(self, info: Channel, black: Iterable[str], white: Iterable[str], members: BitMap) -> Touched:
        """A channel comes to be, with these roles on its lists."""
        self.channels[info.channel] = info
        self._begin(info.channel, info, black, white)
        return {info.channel: members}

    def update_channel(self, info: Channel, members: BitMap) -> Touched:
        """A channel is another one now."""
        channel = info.channel
        place, before = self.place_of(channel), self.channels[channel]
        self.channels[channel] = info
        self._update(channel, info)
        if self.place_of(channel) != place:
            return {channel: members}
        return {channel: members} if before.view_mode != info.view_mode and place == channel else {}

    def delete_channel(self, channel: str, members: BitMap) -> Touched:
        """A channel ends."""
        del self.channels[channel]
        self._end(channel)
        return {channel: members}

    def create_category(self, info: Category, black: Iterable[str], white: Iterable[str], members: BitMap) -> Touched:
        """A category comes to be, with these roles on its lists."""
        place = category_place(info.category)
        self.categories[info.category] = info
        self._begin(place, info, black, white)
        return {place: members}

    def update_category(self, info: Category, members: BitMap) -> Touched:
        """A category is another one now."""
        place, before = category_place(info.category), self.categories[info.category]
        self.categories[info.category] = info
        self._update(place, info)
        return {place: members} if before.view_mode != info.view_mode else {}

    def delete_category(self, category: str, members: BitMap) -> Touched:
        """A category ends; each channel in it stands alone, with its own mode, lists and overrides."""
        place = category_place(category)
        touched = dict.fromkeys([place, *self.followers(category)], members)
        for channel, info in self.channels.items():
            if info.category == category:
                self.channels[channel] = alone = msgspec.structs.replace(info, category=None, sync=False)
                self._update(channel, alone)
        del self.categories[category]
        self._end(place)
        return touched

    # Lists and overrides.

    def edit_list(
        self,
        place: Place,
        which: ListName,
        *,
        clear: bool = False,
        add_roles: Collection[str] = (),
        remove_roles: Collection[str] = (),
        add: BitMap = NOBODY,
        remove: BitMap = NOBODY,
    ) -> ListChange:
        """A list is first cleared if so asked, then changed; who is named both to be added and removed is not on it."""
        before, signature = self.listed_roles(place, which), self.signature(place)
        after = self.roles_after(place, which, clear=clear, add_roles=add_roles, remove_roles=remove_roles)
        self._name_roles(place, which, after)
        new_roles = [role for role in after if role not in before]
        gone_roles = [role for role in before if role not in after]
        users = self._users(place, which)
        removed = users.clear() if clear else users.remove(remove)
        added = users.add(add - remove)
        self._keep_users(place, which, users)
        flipped = added ^ removed
        changed = len(flipped) + len(new_roles) + len(gone_roles)
        touched: Touched = {}
        if self._decides(place, which) and (changed or self.signature(place) != signature):
            touched[place] = flipped.union(*[self.roles.members(role) for role in (*new_roles, *gone_roles)])
        if clear and (before or removed) and changed:
            return ListChange(True, list(after), [], added, NOBODY, changed, touched)
        return ListChange(False, new_roles, gone_roles, flipped & added, flipped & removed, changed, touched)

    def roles_after(
        self, place: Place, which: ListName, *, clear: bool, add_roles: Collection[str], remove_roles: Collection[str]
    ) -> dict[str, None]:
        """The roles that would be on a list after such an edit; what is no role is left out."""
        kept = {} if clear else self._sites[place].roles[which]
        named = [*kept, *(role for role in add_roles if self.roles.given(role))]
        return dict.fromkeys(role for role in named if role not in remove_roles)

    def set_override(self, place: Place, holder: Holder, grant: Grant) -> bool:
        """What a role or a member may do in a place; an empty grant is none. Returns whether it was another one."""
        overrides = self._sites[place].overrides
        if overrides.get(holder, _NO_GRANT) == grant:
            return False
        if grant == _NO_GRANT:
            del overrides[holder]
        else:
            overrides[holder] = grant
        self._dirty[place] = None
        return True

    # Roles.

    def delete_role(self, role: str) -> tuple[BitMap, Touched]:
        """A role ends: its members leave it, lists and overrides name it no more. Returns who held it."""
        holders = BitMap(self.roles.members(role))
        touched = self._touched_by(role, holders)
        for place, which in list(self._naming.get(role, ())):
            self._name_roles(place, which, [other for other in self._sites[place].roles[which] if other != role])
        for place, site in self._sites.items():
            if site.overrides.pop(role, None) is not None:
                self._dirty[place] = None
        self._naming.pop(role, None)
        self.roles.delete(role)
        return holders, touched

    def add_role_members(self, role: str, ordinals: BitMap) -> tuple[BitMap, Touched]:
        """Members get a role; returns those who had it not."""
        added = self.roles.add(role, ordinals)
        return added, self._touched_by(role, added) if added else {}

    def remove_role_members(self, role: str, ordinals: BitMap) -> tuple[BitMap, Touched]:
        """Members lose a role; returns those who had it."""
        removed = self.roles.remove(role, ordinals)
        return removed, self._touched_by(role, removed) if removed else {}

    # Members.

    def forget(self, ordinals: BitMap) -> None:
        """These are members no more: no role, list or override is about them. Nothing is touched: they see nothing."""
        self.roles.forget(ordinals)
        for place, site in self._sites.items():
            for users in site.users.values():
                if users.remove(ordinals):
                    self._dirty_users[users] = None
            if gone := [holder for holder in site.overrides if isinstance(holder, int) and holder in ordinals]:
                self._dirty[place] = None
                for holder in gone:
                    del site.overrides[holder]

    def flush(self) -> None:
        """Write what changed to the rows."""
        self.roles.flush()
        for users in self._dirty_users:
            users.flush()
        for place in self._dirty:
            self._rows.put(self._key(keys.PLACE) + place.encode(), _encode(self._row(self._sites[place])))
        self._dirty, self._dirty_users = {}, {}

    @property
    def memory_bytes(self) -> int:
        """About what it takes in memory. O(roles and places)."""
        users = sum([one.memory_bytes for site in self._sites.values() for one in site.users.values()])
        overrides = sum([len(site.overrides) for site in self._sites.values()])
        places = _BYTES_PER_PLACE * len(self._sites) + _BYTES_PER_OVERRIDE * overrides
        return self.roles.memory_bytes + places + users

    def _decides(self, place: Place, which: ListName) -> bool:
        """Whether a list decides who sees something: its mode picks it, and no category stands in for the place."""
        site = self._sites[place]
        return site.active == which and (place not in self.channels or self.place_of(place) == place)

    def _touched_by(self, role: str, ordinals: BitMap) -> Touched:
        """Where it decides whether these members hold a role. O(lists that name it)."""
        naming = self._naming.get(role, ())
        return {place: ordinals for place, which in naming if self._decides(place, which)}

    def _begin(self, place: Place, info: Channel | Category, black: Iterable[str], white: Iterable[str]) -> None:
        self._sites[place] = _Site(info)
        self._name_roles(place, "black", black)
        self._name_roles(place, "white", white)
        self._dirty[place] = None

    def _update(self, place: Place, info: Channel | Category) -> None:
        site = self._sites[place]
        site.info, site.rule = info, None
        self._dirty[place] = None

    def _end(self, place: Place) -> None:
        for which in LISTS:
            self._name_roles(place, which, ())
        for users in self._sites.pop(place).users.values():
            users.drop()
            self._dirty_users.pop(users, None)
        self._dirty.pop(place, None)
        self._rows.delete(self._key(keys.PLACE) + place.encode())

    def _name_roles(self, place: Place, which: ListName, roles: Iterable[str]) -> None:
        """These roles, and no others, are on a list."""
        site = self._sites[place]
        before, site.roles[which] = site.roles[which], dict.fromkeys(roles)
        if before == site.roles[which]:
            return
        site.rule = None
        self._dirty[place] = None
        for role in before:
            self._naming[role].pop((place, which), None)
        for role in site.roles[which]:
            self._naming.setdefault(role, {})[place, which] = None

    def _users(self, place: Place, which: ListName) -> StoredSet:
        """The users on a list, to be changed."""
        return self._sites[place].users.get(which) or self._stored(place, which)

    def _keep_users(self, place: Place, which: ListName, users: StoredSet) -> None:
        """A list's users were changed; where none is left there is no set."""
        site = self._sites[place]
        self._dirty_users[users] = None
        if bool(users.bits) == (which in site.users):
            return
        site.rule = None
        self._dirty[place] = None
        if users.bits:
            site.users[which] = users
        else:
            users.flush()
            del site.users[which], self._dirty_users[users]

    def _stored(self, place: Place, which: ListName) -> StoredSet:
        prefix = self._key(keys.LISTED) + keys.name(b"", place.encode(), which.encode())
        return StoredSet(self._rows, prefix)

    def _load(self, place: Place, row: _Row) -> None:
        if row.channel is not None:
            self.channels[row.channel.channel] = row.channel
            site = _Site(row.channel)
        elif row.category is not None:
            self.categories[row.category.category] = row.category
            site = _Site(row.category)
        else:
            raise ValueError(f"place {place} is neither a channel nor a category")
        for which, roles, users in zip(LISTS, row.roles, row.users, strict=True):
            site.roles[which] = dict.fromkeys(roles)
            for role in roles:
                self._naming.setdefault(role, {})[place, which] = None
            if users:
                site.users[which] = self._stored(place, which)
        site.overrides = {holder: Grant(allow, deny) for holder, allow, deny in row.overrides}
        self._sites[place] = site

    def _row(self, site: _Site) -> _Row:
        channel, category = (site.info, None) if isinstance(site.info, Channel) else (None, site.info)
        black, white = (list(site.roles[which]) for which in LISTS)
        overrides = [(holder, *grant) for holder, grant in site.overrides.items()]
        return _Row(channel, category, (black, white), ("black" in site.users, "white" in site.users), overrides)

    def _key(self, prefix: bytes) -> bytes:
        return keys.name(prefix, self._group) + keys.u32(self._first)
