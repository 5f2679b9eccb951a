"""The structure of a group against an oracle of plain Python sets: what it holds, who sees what, what is touched."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, get_args

import msgspec
import pytest
from pyroaring import BitMap

from tables import keys
from tables.grants import Grant
from tables.rows import Rows
from tables.structure import LISTS, Place, Structure, Touched, category_place
from tables.visibility import sees, visible, visible_among
from tests.cores import Memory, commit
from topics.entities import Category, Channel, ListName, Role, ViewMode

_MEMBERS = set(range(8))
_OWNER = 0
_ROLES, _CHANNELS, _CATEGORIES = ["r", "s", "t"], ["a", "b", "c", "x"], ["x", "y"]


@dataclass
class _Site:
    mode: ViewMode
    roles: dict[ListName, set[str]] = field(default_factory=lambda: {"black": set(), "white": set()})
    users: dict[ListName, set[int]] = field(default_factory=lambda: {"black": set(), "white": set()})
    overrides: dict[str | int, Grant] = field(default_factory=dict)


@dataclass
class _Oracle:
    """All of it in sets."""

    members: set[int] = field(default_factory=lambda: set(_MEMBERS))
    roles: dict[str, set[int]] = field(default_factory=dict)
    sites: dict[Place, _Site] = field(default_factory=dict)
    category: dict[str, str | None] = field(default_factory=dict)  # of each channel
    sync: dict[str, bool] = field(default_factory=dict)

    def place_of(self, channel: str) -> Place:
        category = self.category[channel]
        return category_place(category) if self.sync[channel] and category is not None else channel

    def sees(self, user: int, channel: str) -> bool:
        return self.sees_place(user, self.place_of(channel))

    def sees_place(self, user: int, place: Place) -> bool:
        site = self.sites[place]
        if user not in self.members:
            return False
        if user == _OWNER:
            return True
        roles_of_user = {role for role, held in self.roles.items() if user in held}
        if site.mode == "public":
            return not (user in site.users["black"] or bool(roles_of_user & site.roles["black"]))
        return user in site.users["white"] or bool(roles_of_user & site.roles["white"])

    def views(self) -> dict[Place, set[int]]:
        """Who sees each place."""
        places = set(self.sites) - {channel for channel in self.category if self.place_of(channel) != channel}
        return {place: {user for user in self.members if self.sees_place(user, place)} for place in places}


class _Kept:
    """A structure with its rows."""

    def __init__(self) -> None:
        self.store = Memory()
        self.load()

    def load(self) -> None:
        self.rows = Rows(self.store)
        self.structure = Structure(self.rows, b"app:g", 0)

    def flush(self) -> None:
        self.structure.flush()
        commit(self.rows, self.store)


class _Both:
    """A structure and its oracle, changed alike at random."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.kept = _Kept()
        self.oracle = _Oracle()

    def some(self, of: Collection[Any]) -> set[Any]:
        return set(self.rng.sample(sorted(of), self.rng.randrange(min(4, len(of) + 1))))

    def step(self) -> Touched:
        """One change of any kind; says what it touched."""
        often = [self.create, self.update, self.edit_list, self.role_members] * 2
        return self.rng.choice([*often, self.delete, self.role, self.delete_role, self.override, self.leave])()

    def create(self) -> Touched:
        roles = {which: self.some(self.oracle.roles) for which in LISTS}
        mode = self.rng.choice(get_args(ViewMode))
        structure, members = self.kept.structure, BitMap(self.oracle.members)
        if self.rng.random() < 0.4:
            category = self.rng.choice(_CATEGORIES)
            if category in structure.categories:
                return {}
            self.oracle.sites[category_place(category)] = _Site(mode, roles)
            info = Category(category, view_mode=mode)
            return structure.create_category(info, sorted(roles["black"]), sorted(roles["white"]), members)
        channel = self.rng.choice(_CHANNELS)
        if channel in structure.channels:
            return {}
        self.oracle.sites[channel] = _Site(mode, roles)
        self.oracle.category[channel], self.oracle.sync[channel] = None, False
        placed = self.placed(Channel(channel, view_mode=mode))
        return structure.create_channel(placed, sorted(roles["black"]), sorted(roles["white"]), members)

    def placed(self, info: Channel) -> Channel:
        """The same in some category, or in none."""
        category = self.rng.choice([None, *sorted(self.kept.structure.categories)])
        sync = category is not None and self.rng.random() < 0.5
        self.oracle.category[info.channel], self.oracle.sync[info.channel] = category, sync
        return msgspec.structs.replace(info, category=category, sync=sync)

    def update(self) -> Touched:
        if not self.oracle.sites:
            return {}
        structure, members = self.kept.structure, BitMap(self.oracle.members)
        place = self.rng.choice(sorted(self.oracle.sites))
        site = self.oracle.sites[place]
        site.mode = self.rng.choice(get_args(ViewMode))
        if place in structure.channels:
            info = self.placed(structure.channels[place])
            return structure.update_channel(msgspec.structs.replace(info, view_mode=site.mode), members)
        category = place.removeprefix("category:")
        return structure.update_category(Category(category, view_mode=site.mode, name="new"), members)

    def delete(self) -> Touched:
        if not self.oracle.sites or self.rng.random() < 0.5:
            return {}
        place = self.rng.choice(sorted(self.oracle.sites))
        del self.oracle.sites[place]
        members = BitMap(self.oracle.members)
        if place in self.oracle.category:
            del self.oracle.category[place], self.oracle.sync[place]
            return self.kept.structure.delete_channel(place, members)
        category = place.removeprefix("category:")
        for channel in self.oracle.category:
            if self.oracle.category[channel] == category:
                self.oracle.category[channel], self.oracle.sync[channel] = None, False
        return self.kept.structure.delete_category(category, members)

    def edit_list(self) -> Touched:
        if not self.oracle.sites:
            return {}
        place, which = self.rng.choice(sorted(self.oracle.sites)), self.rng.choice(LISTS)
        site, clear = self.oracle.sites[place], self.rng.random() < 0.2
        add_roles, remove_roles = self.some([*_ROLES, "none"]), self.some(_ROLES)
        add, remove = self.some(self.oracle.members), self.some(self.oracle.members)
        roles, users = site.roles[which], site.users[which]
        site.roles[which] = ((set() if clear else roles) | (add_roles & set(self.oracle.roles))) - remove_roles
        site.users[which] = ((set() if clear else users) | add) - remove
        change = self.kept.structure.edit_list(
            place,
            which,
            clear=clear,
            add_roles=sorted(add_roles),
            remove_roles=sorted(remove_roles),
            add=BitMap(add),
            remove=BitMap(remove),
        )
        # Whoever follows the event comes to the same.
        followed = (set() if change.cleared else roles) - set(change.removed_roles) | set(change.added_roles)
        assert followed == site.roles[which]
        assert (set() if change.cleared else users) - set(change.removed) | set(change.added) == site.users[which]
        assert change.changed == len(roles ^ site.roles[which]) + len(users ^ site.users[which])
        assert change.changed or not (change.cleared or change.added or change.removed or change.added_roles)
        return change.touched

    def role(self) -> Touched:
        role = self.rng.choice(_ROLES)
        self.oracle.roles.setdefault(role, set())
        self.kept.structure.roles.put(Role(role, priority=self.rng.randrange(1, 4)))
        return {}

    def role_members(self) -> Touched:
        if not self.oracle.roles:
            return {}
        role, users = self.rng.choice(sorted(self.oracle.roles)), self.some(self.oracle.members)
        held = self.oracle.roles[role]
        if self.rng.random() < 0.6:
            changed, touched = self.kept.structure.add_role_members(role, BitMap(users))
            assert set(changed) == users - held
            held |= users
        else:
            changed, touched = self.kept.structure.remove_role_members(role, BitMap(users))
            assert set(changed) == users & held
            held -= users
        return touched

    def delete_role(self) -> Touched:
        if not self.oracle.roles or self.rng.random() < 0.5:
            return {}
        role = self.rng.choice(sorted(self.oracle.roles))
        held = self.oracle.roles.pop(role)
        for site in self.oracle.sites.values():
            site.overrides.pop(role, None)
            for which in LISTS:
                site.roles[which].discard(role)
        holders, touched = self.kept.structure.delete_role(role)
        assert set(holders) == held
        return touched

    def override(self) -> Touched:
        if not self.oracle.sites:
            return {}
        place = self.rng.choice(sorted(self.oracle.sites))
        holders: list[str | int] = [*sorted(self.oracle.roles), *sorted(self.oracle.members), "everyone"]
        holder = self.rng.choice(holders)
        grant = Grant(self.rng.randrange(3), self.rng.randrange(3))
        overrides = self.oracle.sites[place].overrides
        changed = overrides.get(holder, Grant(0, 0)) != grant
        overrides[holder] = grant
        if grant == (0, 0):
            del overrides[holder]
        assert self.kept.structure.set_override(place, holder, grant) == changed
        return {}

    def leave(self) -> Touched:
        gone = self.some(self.oracle.members - {_OWNER})
        if len(self.oracle.members) < 5:
            return {}
        self.oracle.members -= gone
        for held in self.oracle.roles.values():
            held.difference_update(gone)
        for site in self.oracle.sites.values():
            for which in LISTS:
                site.users[which].difference_update(gone)
            for ordinal in gone:
                site.overrides.pop(ordinal, None)
        self.kept.structure.forget(BitMap(gone))
        return {}

    def check(self) -> None:
        """Everything that is asked agrees with the oracle."""
        structure, oracle = self.kept.structure, self.oracle
        members = BitMap(oracle.members)
        views = oracle.views()
        assert set(structure.places()) == set(views)
        assert set(structure.channels) == set(oracle.category)
        for place, view in views.items():
            rule = structure.rule(place)
            assert set(visible(rule, members, _OWNER)) == view
            assert {user for user in oracle.members if sees(rule, user, _OWNER)} == view
        for channel in structure.channels:
            assert structure.place_of(channel) == oracle.place_of(channel)
            category = oracle.category[channel]
            above = () if category is None else (category_place(category),)
            assert structure.levels(channel) == above + (() if oracle.sync[channel] else (channel,))
        for place, site in oracle.sites.items():
            assert structure.overrides(place) == site.overrides
            for which in LISTS:
                assert set(structure.listed_roles(place, which)) == site.roles[which]
                assert set(structure.listed_users(place, which)) == site.users[which]
        for user in oracle.members:
            held = structure.roles.of(user)
            assert set(held) == {role for role, users in oracle.roles.items() if user in users}
            priorities = [structure.roles.infos[role].priority for role in held]
            assert priorities == sorted(priorities, reverse=True)
        by_signature: dict[Any, set[int]] = {}
        for place, view in views.items():
            assert by_signature.setdefault(structure.signature(place), view) == view


@pytest.mark.parametrize("seed", range(150))
def test_what_a_change_flips_is_among_what_it_touches_and_all_agrees_with_the_oracle(seed: int) -> None:
    both = _Both(seed)
    for _ in range(60):
        before = both.oracle.views()
        structure = both.kept.structure
        signatures = {place: structure.signature(place) for place in before}
        place_of = {channel: both.oracle.place_of(channel) for channel in both.oracle.category}
        touched = both.step()
        after = both.oracle.views()
        members = both.oracle.members
        assert all(set(among) <= members for among in touched.values())
        for place in before.keys() | after.keys():
            among = set(touched.get(place, BitMap()))
            if place in before and place in after:
                assert (before[place] & members) ^ after[place] <= among
                assert structure.signature(place) == signatures[place] or place in touched
            else:
                assert among == members  # it came or went
        for channel in both.oracle.category:
            if channel in place_of and place_of[channel] != both.oracle.place_of(channel):
                assert set(touched[channel]) == members
        if both.rng.random() < 0.3:
            both.check()
        if both.rng.random() < 0.3:
            both.kept.flush()
            if both.rng.random() < 0.6:
                before_load = {place: both.kept.structure.signature(place) for place in after}
                both.kept.load()
                assert before_load == {place: both.kept.structure.signature(place) for place in after}
    both.check()


def test_when_all_is_deleted_no_row_is_left() -> None:
    both = _Both(7)
    for _ in range(120):
        both.step()
    both.kept.flush()
    assert both.kept.store.rows
    structure, nobody = both.kept.structure, BitMap()
    for category in list(structure.categories):
        structure.delete_category(category, nobody)
    for channel in list(structure.channels):
        structure.delete_channel(channel, nobody)
    for role in [role for role in structure.roles.infos if structure.roles.given(role)]:
        structure.delete_role(role)
    both.kept.flush()
    assert both.kept.store.rows == {}


def test_an_earlier_life_is_not_seen() -> None:
    kept = _Kept()
    kept.structure.create_channel(Channel("a"), [], [], BitMap())
    kept.structure.roles.put(Role("r"))
    kept.flush()
    later = Structure(Rows(kept.store), b"app:g", 256)
    assert (later.channels, len(later.roles)) == ({}, 0)
    other = Structure(Rows(kept.store), b"app:gg", 0)
    assert (other.channels, len(other.roles)) == ({}, 0)


def _large(roles: int, channels: int, holders: BitMap) -> _Kept:
    """A server where every role has these members, and every channel has all lists."""
    kept = _Kept()
    structure = kept.structure
    for at in range(roles):
        structure.roles.put(Role(f"r{at}", priority=at + 1))
        structure.add_role_members(f"r{at}", holders)
    everyone = BitMap(range(10_000))
    for at in range(channels):
        info = Channel(f"c{at}", view_mode="private")
        structure.create_channel(info, [f"r{at % roles}"], ["r0", f"r{at % roles}"], everyone)
    kept.flush()
    return kept


def test_u_leaves_a_role_that_500_channels_name_and_leaves_only_those_where_nothing_else_admits_them() -> None:
    kept = _large(10, 500, BitMap(range(100)))
    u = BitMap([42])
    for role in range(2, 10):
        kept.structure.remove_role_members(f"r{role}", u)
    kept.structure.edit_list("c17", "white", add=u)
    before = {place for place in kept.structure.places() if sees(kept.structure.rule(place), 42, None)}
    removed, touched = kept.structure.remove_role_members("r0", u)
    assert removed == u
    assert len(touched) == len(before) == 500
    after = {place for place, among in touched.items() if visible_among(kept.structure.rule(place), among, None)}
    assert after == {f"c{at}" for at in range(500) if at % 10 == 1} | {"c17"}


def test_a_change_of_one_member_writes_a_row_a_set() -> None:
    kept = _large(5, 20, BitMap(range(0, 100_000, 3)))
    kept.load()
    kept.structure.forget(BitMap([3]))
    kept.structure.flush()
    assert {key[:1] for key in kept.rows.take()} == {keys.HOLDERS}
    kept.structure.edit_list("c1", "black", add=BitMap([7]))
    kept.structure.flush()
    assert {key[:1] for key in kept.rows.take()} == {keys.PLACE, keys.LISTED}
    kept.structure.edit_list("c1", "black", add=BitMap([8]))
    kept.structure.flush()
    assert {key[:1] for key in kept.rows.take()} == {keys.LISTED}


@pytest.mark.parametrize("which", LISTS)
def test_a_list_of_a_place_that_follows_touches_nothing(which: ListName) -> None:
    structure, members = _Kept().structure, BitMap(range(5))
    structure.roles.put(Role("r"))
    structure.create_category(Category("y"), [], [], members)
    structure.create_channel(Channel("a", category="y", sync=True), [], [], members)
    assert structure.edit_list("a", which, add_roles=["r"], add=BitMap([1])).touched == {}
    assert structure.add_role_members("r", BitMap([2]))[1] == {}
    structure.edit_list(category_place("y"), "black", add_roles=["r"])
    assert structure.add_role_members("r", BitMap([3]))[1] == {category_place("y"): BitMap([3])}


def test_it_is_known_what_it_takes_in_memory() -> None:
    small, large = _large(1, 1, BitMap(range(10))), _large(50, 500, BitMap(range(0, 1_000_000, 5)))
    assert small.structure.memory_bytes < 20_000
    assert 5_000_000 < large.structure.memory_bytes < 20_000_000
