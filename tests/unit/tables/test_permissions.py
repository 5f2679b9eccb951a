"""Who may do what: levels, ranks and reasons, against an oracle that asks for one permission of one member."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import get_args

import pytest
from pyroaring import BitMap

from tables.grants import ALL, BIT, Grant, mask_of, names_of
from tables.groups import Group, Groups
from tables.outbox import Outbox
from tables.permissions import OWNER_RANK, held, holders, may, may_in, outranks, outranks_role, rank, why
from tables.rows import Rows
from tables.structure import Place, category_place
from tables.voids import Voids
from tests.cores import Memory
from topics import limits
from topics.entities import EVERYONE, PERMISSIONS, Category, Channel, Permission, Role

_PERMISSIONS: tuple[Permission, ...] = get_args(Permission)
_OWNER = 5
_HOLDERS: list[str | int] = ["r", "s", EVERYONE, 0, 1, _OWNER]


def _group(members: int = 6, *, owner: bool = True) -> Group:
    rows = Rows(Memory())
    voids = Voids(rows)
    groups = Groups(rows, Outbox(rows, 0, voids), voids, 0, 1, budget_bytes=1 << 30)
    group = groups.touch("app", "g")
    users = [f"u{at}" for at in range(members)]
    group.create("server", users, users[_OWNER] if owner else None)
    group.ruled = True
    return group


def _give(
    group: Group,
    role: str,
    priority: int,
    members: Iterable[int] = (),
    *,
    allow: Sequence[Permission] = (),
    deny: Sequence[Permission] = (),
) -> None:
    group.structure.roles.put(Role(role, priority=priority, allow=list(allow), deny=list(deny)))
    group.structure.roles.add(role, BitMap(members))


def _override(group: Group, place: Place, holder: str | int, **grant: list[Permission]) -> None:
    masks = Grant(mask_of(grant.get("allow", [])), mask_of(grant.get("deny", [])))
    group.structure.set_override(place, holder, masks)


def _channels(group: Group) -> None:
    """`own` stands alone; `in` stands in the category; `follows` follows it."""
    structure, nobody = group.structure, BitMap()
    structure.create_category(Category("cat"), [], [], nobody)
    structure.create_channel(Channel("own"), [], [], nobody)
    structure.create_channel(Channel("in", category="cat"), [], [], nobody)
    structure.create_channel(Channel("follows", category="cat", sync=True), [], [], nobody)


_LEVELS: dict[Place | None, list[Place]] = {
    None: [],
    "own": ["own"],
    "in": [category_place("cat"), "in"],
    "follows": [category_place("cat")],
    category_place("cat"): [category_place("cat")],
}


def _oracle(group: Group, ordinal: int, permission: Permission, place: Place | None) -> bool:
    """One permission, in words."""
    if ordinal == group.owner:
        return True
    roles = group.structure.roles
    mine = [role for role in roles.infos if role == EVERYONE or ordinal in roles.members(role)]
    allowed = any(permission in roles.infos[role].allow for role in mine)
    denied = any(permission in roles.infos[role].deny for role in mine)
    may_it = allowed and not denied
    for at in _LEVELS[place]:
        overrides = group.structure.overrides(at)
        of_roles = [overrides[role] for role in mine if role in overrides]
        for grants in (of_roles, [overrides[ordinal]] if ordinal in overrides else []):
            if any(permission in names_of(grant.deny) for grant in grants):
                may_it = False
            elif any(permission in names_of(grant.allow) for grant in grants):
                may_it = True
    return may_it


def _some(rng: random.Random) -> list[Permission]:
    return [permission for permission in _PERMISSIONS if rng.random() < 0.2]


@pytest.mark.parametrize("seed", range(200))
def test_permissions_are_what_the_levels_say(seed: int) -> None:
    rng = random.Random(seed)
    group = _group()
    _channels(group)
    for role in ["r", "s", "t"]:
        members = [at for at in range(6) if rng.random() < 0.5]
        _give(group, role, rng.randrange(1, 4), members, allow=_some(rng), deny=_some(rng))
    if rng.random() < 0.5:
        group.structure.roles.put(Role(EVERYONE, priority=0, allow=_some(rng), deny=_some(rng)))
    for place in ["own", "in", "follows", category_place("cat")]:
        for holder in _HOLDERS:
            if rng.random() < 0.5:
                _override(group, place, holder, allow=_some(rng), deny=_some(rng))
    for ordinal in range(6):
        for at in _LEVELS:
            expected = {permission for permission in _PERMISSIONS if _oracle(group, ordinal, permission, at)}
            assert set(names_of(held(group, ordinal, at))) == expected
            for permission in _PERMISSIONS:
                asked = may(group, ordinal, permission) if at is None else may_in(group, ordinal, at, permission)
                assert why(group, ordinal, permission, at).may == asked == (permission in expected)
    for permission in _PERMISSIONS:
        assert list(holders(group, permission)) == [one for one in range(6) if may(group, one, permission)]


def test_every_permission_has_a_bit_that_never_changes() -> None:
    """Rows hold the bits: a new permission goes to the end of PERMISSIONS."""
    assert [*PERMISSIONS][:12] == [
        "send", "manage_messages", "mention_all", "manage_group", "manage_channels", "manage_roles", "manage_members",
        "mute", "invite", "approve", "kick", "ban",
    ]  # fmt: skip
    assert set(PERMISSIONS) == set(_PERMISSIONS)
    assert [BIT[permission] for permission in PERMISSIONS] == [1 << at for at in range(len(PERMISSIONS))]
    assert names_of(ALL) == [*PERMISSIONS]


@pytest.mark.parametrize("ruled", [True, False])
def test_everyone_may_send_and_invite_until_somebody_changes_it(ruled: bool) -> None:
    group = _group()
    group.ruled = ruled
    assert names_of(held(group, 0)) == ["send", "invite"]
    assert names_of(held(group, 0, "main")) == ["send", "invite"]
    group.ruled = True
    group.structure.roles.put(Role(EVERYONE, priority=0, allow=["send", "kick"]))
    assert names_of(held(group, 0)) == ["send", "kick"]


@pytest.mark.parametrize("ruled", [True, False])
def test_the_owner_holds_all(ruled: bool) -> None:
    group = _group()
    group.ruled = ruled
    assert held(group, _OWNER) == ALL
    assert rank(group, _OWNER) == OWNER_RANK
    assert why(group, _OWNER, "ban") == (True, "owner", None, ())
    assert outranks(group, _OWNER, BitMap(range(6)))


def test_deny_beats_allow_inside_one_level_and_a_later_level_beats_an_earlier() -> None:
    group = _group()
    _channels(group)
    _give(group, "yes", 2, [0, 1, 2], allow=["kick"])
    _give(group, "no", 1, [1, 2], deny=["kick"])
    assert [may(group, at, "kick") for at in range(3)] == [True, False, False]
    _override(group, "own", 2, allow=["kick"])
    assert [may_in(group, at, "own", "kick") for at in range(3)] == [True, False, True]
    _override(group, "own", "yes", deny=["kick"])
    assert [may_in(group, at, "own", "kick") for at in range(3)] == [False, False, True]
    _override(group, category_place("cat"), "yes", allow=["kick"])
    assert [may_in(group, at, "in", "kick") for at in range(3)] == [True, True, True]
    _override(group, "in", EVERYONE, deny=["kick"])
    assert [may_in(group, at, "in", "kick") for at in range(3)] == [False, False, False]
    assert [may_in(group, at, "follows", "kick") for at in range(3)] == [True, True, True]


def test_own_overrides_of_a_channel_lie_dormant_while_it_follows_its_category() -> None:
    group = _group()
    _channels(group)
    _override(group, "follows", 0, deny=["send"])
    _override(group, category_place("cat"), 1, deny=["send"])
    assert [may_in(group, at, "follows", "send") for at in range(2)] == [True, False]
    group.structure.delete_category("cat", BitMap())
    assert [may_in(group, at, "follows", "send") for at in range(2)] == [False, True]


def test_why_names_the_level_and_the_roles_that_decide() -> None:
    group = _group()
    _channels(group)
    _give(group, "a", 1, [0], allow=["kick"])
    _give(group, "b", 2, [0, 1], allow=["kick"])
    assert why(group, 0, "kick") == (True, "roles", None, ("b", "a"))
    assert why(group, 0, "send") == (True, "roles", None, (EVERYONE,))
    assert why(group, 2, "kick") == (False, "nothing", None, ())
    _override(group, category_place("cat"), "b", deny=["kick"])
    assert why(group, 0, "kick", "in") == (False, "roles", category_place("cat"), ("b",))
    _override(group, "in", 0, allow=["kick"])
    assert why(group, 0, "kick", "in") == (True, "member", "in", ())
    assert why(group, 1, "kick", "in") == (False, "roles", category_place("cat"), ("b",))


def test_only_the_highest_roles_of_a_member_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROLES_OF_MEMBER", 2)
    group = _group()
    _give(group, "low", 1, [0], allow=["kick"])
    _give(group, "mid", 2, [0], allow=["ban"])
    _give(group, "high", 3, [0], allow=["mute"])
    assert names_of(held(group, 0)) == ["send", "mute", "invite", "ban"]


def test_who_asks_ranks_above_those_whose_highest_role_is_lower() -> None:
    group = _group()
    _give(group, "low", 1, [0, 1, 2])
    _give(group, "mid", 5, [1, 2])
    _give(group, "high", 9, [2, 3])
    assert [rank(group, at) for at in range(5)] == [1, 5, 9, 9, 0]
    for asker in range(6):
        for other in range(6):
            below = asker == _OWNER or (other != _OWNER and rank(group, other) < rank(group, asker))
            assert outranks(group, asker, BitMap([other])) == below
    assert outranks(group, 2, BitMap([0, 1, 4]))
    assert not outranks(group, 2, BitMap([0, 1, 3]))
    assert outranks(group, 4, BitMap())
    assert [outranks_role(group, 1, role) for role in ("low", "mid", "high", EVERYONE)] == [True, False, False, True]
    assert not outranks_role(group, 4, EVERYONE)


def test_a_group_without_an_owner_has_nobody_above_the_highest_role() -> None:
    group = _group(owner=False)
    _give(group, "high", 2**31 - 1, [0, 1], allow=["ban"])
    assert not outranks(group, 0, BitMap([1]))
    assert outranks(group, 0, BitMap([2]))
