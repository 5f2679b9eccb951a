"""What is allowed and denied, as bits: one for each permission."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from topics.entities import PERMISSIONS, Permission

#: A permission's bit is its place in PERMISSIONS. Rows hold it, so new ones are added at the end.
BIT: Final[dict[Permission, int]] = {permission: 1 << at for at, permission in enumerate(PERMISSIONS)}
ALL: Final = (1 << len(PERMISSIONS)) - 1


class Grant(NamedTuple):
    """What a role, or an override, allows and denies."""

    allow: int
    deny: int


def mask_of(permissions: Iterable[Permission]) -> int:
    """These permissions as bits."""
    mask = 0
    for permission in permissions:
        mask |= BIT[permission]
    return mask


def names_of(mask: int) -> list[Permission]:
    """The permissions of these bits."""
    return [permission for permission, bit in BIT.items() if mask & bit]


def level(held: int, grants: Iterable[Grant]) -> int:
    """What is held after one level over what was held before it: of two grants on a level, a denial beats."""
    allow = deny = 0
    for grant in grants:
        allow |= grant.allow
        deny |= grant.deny
    return (held | allow) & ~deny
