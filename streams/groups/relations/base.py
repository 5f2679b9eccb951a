"""What all handlers of commands share: refusing, and telling what was applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from streams.groups.desk import Desk
from streams.groups.refusal import RefusalError
from tables.groups import Group
from tables.permissions import may
from topics.entities import Permission
from topics.events import Happened
from topics.relations import Asked, Large

#: Applies a command of one type: (desk, group, command) -> how many users or things it changed. Raises RefusalError
#: before anything is changed. Any: each takes its own type of command.
Handler = Callable[[Desk, Group, Any], int]

#: A user and its ordinal.
Pairs = Sequence[tuple[str, int]]

_SYSTEM: Final = None


def publish(desk: Desk, group: Group, command: Asked | None, event: Callable[..., Happened], **fields: Any) -> int:
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


def columns(pairs: Pairs) -> tuple[list[str], list[int]]:
    """Users and ordinals apart, as events hold them."""
    return [user for user, _ in pairs], [ordinal for _, ordinal in pairs]
