"""The formula over bitmaps against an oracle of plain Python sets, one user at a time."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from tables.visibility import List, Rule, sees, visible, visible_among, visitor_sees, why, why_visitor
from topics.entities import ViewMode, VisitorMode

_ROLES = ["a", "b", "c"]
#: How many random worlds are tried; set it to millions for a long run.
_WORLDS = int(os.environ.get("LINKCAST_TEST_WORLDS", "5000"))


@dataclass
class _World:
    """A server with one place to look at, and what is asked about it."""

    members: set[int] = field(default_factory=set)
    owner: int | None = None
    mode: ViewMode = "public"
    roles: dict[str, set[int]] = field(default_factory=dict)
    black_users: set[int] = field(default_factory=set)
    white_users: set[int] = field(default_factory=set)
    black_roles: set[str] = field(default_factory=set)
    white_roles: set[str] = field(default_factory=set)

    def sees(self, user: int) -> bool:
        """The oracle: domain's words, for one user."""
        if user not in self.members:
            return False
        if user == self.owner:
            return True
        roles_of_user = {role for role in self.roles if user in self.roles[role]}
        if self.mode == "public":
            return not (user in self.black_users or bool(roles_of_user & self.black_roles))
        return user in self.white_users or bool(roles_of_user & self.white_roles)

    @property
    def rule(self) -> Rule:
        """The same as bitmaps."""
        return Rule(
            self.mode,
            List(BitMap(self.black_users), {role: BitMap(self.roles[role]) for role in sorted(self.black_roles)}),
            List(BitMap(self.white_users), {role: BitMap(self.roles[role]) for role in sorted(self.white_roles)}),
        )


def _some(rng: random.Random, of: range | set[int]) -> set[int]:
    share = rng.random()
    return {one for one in of if rng.random() < share}


def _random_world(rng: random.Random) -> _World:
    members = _some(rng, range(rng.randrange(1, 12)))
    world = _World(members, mode=rng.choice(get_args(ViewMode)))
    world.owner = rng.choice([None, *sorted(members)])
    world.roles = {role: _some(rng, members) for role in _ROLES}
    world.black_users, world.white_users = _some(rng, members), _some(rng, members)
    world.black_roles = {role for role in _ROLES if rng.random() < 0.3}
    world.white_roles = {role for role in _ROLES if rng.random() < 0.3}
    return world


def _change(rng: random.Random, world: _World) -> set[int]:
    """Change one thing; returns who may be affected."""
    users, role = _some(rng, world.members), rng.choice(_ROLES)
    match rng.randrange(6):
        case 0:
            world.roles[role] ^= users
            return users
        case 1:
            world.black_users ^= users
            return users
        case 2:
            world.white_users ^= users
            return users
        case 3:
            world.black_roles ^= {role}
            return set(world.roles[role])
        case 4:
            world.white_roles ^= {role}
            return set(world.roles[role])
        case _:
            world.mode = "private" if world.mode == "public" else "public"
            return set(world.members)


def _check(rng: random.Random, world: _World) -> int:
    """Everything that is asked of a world agrees with the oracle; returns how many answers were compared."""
    rule, members, owner = world.rule, BitMap(world.members), world.owner
    expected = {user for user in world.members if world.sees(user)}
    assert set(visible(rule, members, owner)) == expected
    among = _some(rng, world.members)
    assert set(visible_among(rule, BitMap(among), owner)) == expected & among
    for user in world.members:
        assert sees(rule, user, owner) == (user in expected)
        assert why(rule, user, owner).sees == (user in expected)
    affected = BitMap(_change(rng, world))
    after = {user for user in world.members if world.sees(user)}
    entered_or_left = visible_among(world.rule, affected, owner) ^ (BitMap(expected) & affected)
    assert set(entered_or_left) == expected ^ after
    return 2 * len(world.members) + 3


def test_visibility_is_the_formula_in_many_random_worlds() -> None:
    rng = random.Random(20_260_101)
    answers = sum(_check(rng, _random_world(rng)) for _ in range(_WORLDS))
    assert answers > 3 * _WORLDS


@given(st.integers(0, 2**63), st.lists(st.integers(0, 2**32 - 1), max_size=8, unique=True))
def test_visibility_is_the_formula_whatever_the_ordinals(seed: int, ordinals: list[int]) -> None:
    rng = random.Random(seed)
    world = _World(set(ordinals), mode=rng.choice(get_args(ViewMode)))
    world.roles = {role: _some(rng, world.members) for role in _ROLES}
    world.black_users, world.white_users = _some(rng, world.members), _some(rng, world.members)
    world.black_roles, world.white_roles = {rng.choice(_ROLES)}, {rng.choice(_ROLES)}
    _check(rng, world)


def test_asking_changes_nothing() -> None:
    world = _World({1, 2, 3}, mode="private", roles={"a": {1}, "b": set(), "c": set()}, white_roles={"a"})
    rule, members = world.rule, BitMap(world.members)
    visible(rule, members, 3)
    why(rule, 1, 3)
    assert members == BitMap([1, 2, 3])
    assert rule.white.roles == {"a": BitMap([1])}
    assert rule.white.users == BitMap()


@pytest.mark.parametrize("mode", get_args(ViewMode))
def test_the_owner_sees_every_channel(mode: ViewMode) -> None:
    world = _World({1, 2}, 1, mode, {"a": {1, 2}}, black_users={1, 2}, black_roles={"a"})
    assert list(visible(world.rule, BitMap([1, 2]), 1)) == [1]
    assert sees(world.rule, 1, 1)
    assert not sees(world.rule, 2, 1)


@pytest.mark.parametrize("mode", get_args(ViewMode))
def test_only_members_are_ever_visible(mode: ViewMode) -> None:
    everyone = set(range(10))
    world = _World({1, 2}, 9, mode, {"a": everyone}, white_users=everyone, white_roles={"a"})
    assert list(visible(world.rule, BitMap([1, 2]), 9)) == [1, 2]


def test_the_list_that_is_not_of_the_mode_lies_dormant() -> None:
    world = _World({1, 2, 3}, mode="public", black_users={1}, white_users={1, 2})
    assert list(visible(world.rule, BitMap([1, 2, 3]), None)) == [2, 3]
    world.mode = "private"
    assert list(visible(world.rule, BitMap([1, 2, 3]), None)) == [1, 2]


def test_why_names_every_word_that_decides() -> None:
    world = _World({1, 2, 3, 4}, 4, "public", {"a": {1, 4}, "b": {1}, "c": {2}})
    world.black_roles, world.black_users, world.white_users = {"a", "b"}, {1, 3}, {1}
    rule = world.rule
    assert why(rule, 1, 4) == (False, ("black_user", "black_role"), ("a", "b"))
    assert why(rule, 2, 4) == (True, ("public",), ())
    assert why(rule, 3, 4) == (False, ("black_user",), ())
    assert why(rule, 4, 4) == (True, ("owner", "black_role"), ("a",))
    world.mode, world.white_roles = "private", {"c"}
    rule = world.rule
    assert why(rule, 1, 4) == (True, ("white_user",), ())
    assert why(rule, 2, 4) == (True, ("white_role",), ("c",))
    assert why(rule, 3, 4) == (False, ("not_on_white_list",), ())
    assert why(rule, 4, 4) == (True, ("owner", "not_on_white_list"), ())


@pytest.mark.parametrize(
    ("visitor_mode", "view_mode", "seen"),
    [
        ("hidden", "public", False),
        ("hidden", "private", False),
        ("visible", "public", True),
        ("visible", "private", True),
        ("follow", "public", True),
        ("follow", "private", False),
    ],
)
def test_a_visitor_sees_what_the_visitor_mode_says(visitor_mode: VisitorMode, view_mode: ViewMode, seen: bool) -> None:
    assert visitor_sees(visitor_mode, view_mode) == seen
    assert why_visitor(visitor_mode, view_mode).sees == seen
