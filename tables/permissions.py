"""Who may do what in a group.

The group's level: the union over the member's roles, EVERYONE among them. Then, in a channel, its category's overrides
and its own (only the category's where it follows it), each level first for roles, then for the member. Of two on one
level a denial beats; a later level beats an earlier one. The owner holds all.

Who asks manages only roles and members below its own highest role; nobody but the owner is above the highest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pyroaring import BitMap

from tables.grants import ALL, BIT, Grant, level, mask_of
from tables.roles import DEFAULT
from tables.structure import Place
from topics import limits
from topics.entities import EVERYONE, Permission

if TYPE_CHECKING:
    from tables.groups import Group

#: The rank of the owner: above every priority.
OWNER_RANK: Final = 2**31

_DEFAULT: Final = mask_of(DEFAULT.allow)


class Step(NamedTuple):
    """Grants of one level that count for a member.

    Attributes:
        place: whose overrides they are; None: the group's level.
        of: whether they are of roles or the member's own.
        grants: each with its role, or with no name where it is the member's.
    """

    place: Place | None
    of: Literal["roles", "member"]
    grants: list[tuple[str, Grant]]


class Why(NamedTuple):
    """Whether a member may do something, and what decides.

    Attributes:
        may: whether.
        by: `owner`; `roles` or `member`, whose grant on the deciding level it is; `nothing`: nobody grants it.
        place: where that level is: a category or channel; None: the group.
        roles: the roles that decide there.
    """

    may: bool
    by: Literal["owner", "roles", "member", "nothing"]
    place: Place | None = None
    roles: tuple[str, ...] = ()


def may(group: Group, ordinal: int, permission: Permission) -> bool:
    """Whether a member may do this on the group's level."""
    return bool(held(group, ordinal) & BIT[permission])


def may_in(group: Group, ordinal: int, place: Place, permission: Permission) -> bool:
    """Whether a member may do this in a channel or category."""
    return bool(held(group, ordinal, place) & BIT[permission])


def held(group: Group, ordinal: int, place: Place | None = None) -> int:
    """All that a member may do on the group's level, or in a channel or category, as bits."""
    if ordinal == group.owner:
        return ALL
    if not group.ruled:
        return _DEFAULT
    mask = 0
    for step in _steps(group, ordinal, place):
        mask = level(mask, [grant for _, grant in step.grants])
    return mask


def why(group: Group, ordinal: int, permission: Permission, place: Place | None = None) -> Why:
    """Whether a member may do something, on the group's level or in a channel or category, and what decides."""
    if ordinal == group.owner:
        return Why(may=True, by="owner")
    bit = BIT[permission]
    found = Why(may=False, by="nothing")
    for step in _steps(group, ordinal, place):
        denying = tuple(name for name, grant in step.grants if grant.deny & bit)
        allowing = tuple(name for name, grant in step.grants if grant.allow & bit)
        if denying or allowing:
            roles = (denying or allowing) if step.of == "roles" else ()
            found = Why(not denying, step.of, step.place, roles)
    return found


def holders(group: Group, permission: Permission) -> BitMap:
    """The members who may do this on the group's level, the owner among them. Costs roles, not members.

    All roles of a member are taken to count: ask `may` of one that may have more than ROLES_OF_MEMBER.
    """
    bit = BIT[permission]
    if group.ruled:
        roles, grants = group.structure.roles, group.structure.roles.grants
        allowed, denied = (
            BitMap().union(*[group.members.bits if role == EVERYONE else roles.members(role) for role in named])
            for named in (
                [role for role, grant in grants.items() if grant.allow & bit],
                [role for role, grant in grants.items() if grant.deny & bit],
            )
        )
        found = allowed - denied
    else:
        found = BitMap(group.members.bits) if _DEFAULT & bit else BitMap()
    if group.owner is not None:
        found.add(group.owner)
    return found


def rank(group: Group, ordinal: int) -> int:
    """A member's highest priority; 0 without a role."""
    if ordinal == group.owner:
        return OWNER_RANK
    roles = group.structure.roles.of(ordinal) if group.ruled else ()
    return group.structure.roles.infos[roles[0]].priority if roles else 0


def outranks(group: Group, ordinal: int, others: BitMap) -> bool:
    """Whether each of these members stands below a member. Costs roles, not members."""
    own = rank(group, ordinal)
    if own == OWNER_RANK or not others:
        return True
    if own == 0 or (group.owner is not None and group.owner in others):
        return False
    roles = group.structure.roles
    return not any(
        info.priority >= own and others.intersect(roles.members(role))
        for role, info in roles.infos.items()
        if role != EVERYONE
    )


def outranks_role(group: Group, ordinal: int, role: str) -> bool:
    """Whether a role's priority is below a member's highest."""
    return group.structure.roles.infos[role].priority < rank(group, ordinal)


def _steps(group: Group, ordinal: int, place: Place | None) -> Iterator[Step]:
    """The levels that count, in their order."""
    structure = group.structure
    roles = (EVERYONE, *structure.roles.of(ordinal)[: limits.ROLES_OF_MEMBER])
    yield Step(None, "roles", [(role, structure.roles.grants[role]) for role in roles])
    for at in structure.levels(place) if place is not None else ():
        overrides = structure.overrides(at)
        if overrides:
            yield Step(at, "roles", [(role, overrides[role]) for role in roles if role in overrides])
            if ordinal in overrides:
                yield Step(at, "member", [("", overrides[ordinal])])
