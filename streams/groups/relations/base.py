"""What all handlers of commands share: refusing, and telling what was applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from pyroaring import BitMap

from streams.groups.desk import Desk
from streams.groups.refusal import RefusalError
from tables.groups import Group
from tables.permissions import held, may, may_in, outranks, outranks_role
from tables.structure import Place
from topics.entities import Permission
from topics.events import RelationEvent
from topics.relations import Asked, Large

#: Applies a command of one type: (desk, group, command) -> how many users or things it changed. Raises RefusalError
#: before anything is changed. Any: each takes its own type of command.
Handler = Callable[[Desk, Group, Any], int]

#: A user and its ordinal.
Pairs = Sequence[tuple[str, int]]

_SYSTEM: Final = None


def publish(desk: Desk, group: Group, command: Asked | None, event: Callable[..., RelationEvent], **fields: Any) -> int:
    """Raise the group's version by one and tell what was applied; returns the version.

    Args:
        desk: the partition.
        group: what changed.
        command: what asked for it; None: time did.
        event: the type of event.
        **fields: its own fields, without those of `Happened` and `Event`.
    """
    version = group.changed()
    by = command.by if command is not None else None
    change_set = command.change_set if isinstance(command, Large) else None
    desk.publish(group, event(group.app, group.group, version, desk.now_ms, by=by, change_set=change_set, **fields))
    return version


def require(group: Group, by: str | None, permission: Permission) -> int | None:
    """The ordinal of who asks, if it is a member that may do this on the group's level; None for the back end.

    Raises:
        RefusalError: not_permitted.
    """
    if by is _SYSTEM:
        return None
    ordinal = group.members.ordinal_of(by)
    if ordinal is None or not may(group, ordinal, permission):
        raise RefusalError("not_permitted")
    return ordinal


def require_in(group: Group, by: str | None, place: Place, permission: Permission) -> int | None:
    """The ordinal of who asks, if it is a member that may do this in a channel or category; None for the back end.

    Raises:
        RefusalError: not_permitted.
    """
    if by is _SYSTEM:
        return None
    ordinal = group.members.ordinal_of(by)
    if ordinal is None or not may_in(group, ordinal, place, permission):
        raise RefusalError("not_permitted")
    return ordinal


def require_above(group: Group, asker: int | None, others: BitMap) -> None:
    """Refuse who asks, unless it ranks above each of these members; the back end does.

    Raises:
        RefusalError: not_permitted.
    """
    if asker is not None and not outranks(group, asker, others):
        raise RefusalError("not_permitted")


def require_above_role(group: Group, asker: int | None, role: str) -> None:
    """Refuse who asks, unless it ranks above a role; the back end does.

    Raises:
        RefusalError: not_permitted.
    """
    if asker is not None and not outranks_role(group, asker, role):
        raise RefusalError("not_permitted")


def require_held(group: Group, asker: int | None, given: int, place: Place | None = None) -> None:
    """Refuse who asks, unless it holds the permissions that it gives, as bits; the back end holds all.

    Raises:
        RefusalError: not_permitted.
    """
    if asker is not None and given & ~held(group, asker, place):
        raise RefusalError("not_permitted")


def ordinals_of(pairs: Pairs) -> BitMap:
    """The ordinals alone."""
    return BitMap([ordinal for _, ordinal in pairs])


def only(pairs: Pairs, ordinals: BitMap) -> list[tuple[str, int]]:
    """Those of the pairs whose ordinals these are."""
    return [pair for pair in pairs if pair[1] in ordinals]


def columns(pairs: Pairs) -> tuple[list[str], list[int]]:
    """Users and ordinals apart, as events hold them."""
    return [user for user, _ in pairs], [ordinal for _, ordinal in pairs]
