"""Who may do what in a group."""

from __future__ import annotations

from tables.groups import Group
from topics.entities import Permission


def may(group: Group, ordinal: int, permission: Permission) -> bool:
    """Whether a member may do this on the group's level."""
    return group.owner == ordinal or not group.ruled


def may_in(group: Group, ordinal: int, channel: str, permission: Permission) -> bool:
    """Whether a member may do this in a channel."""
    return may(group, ordinal, permission) or channel != ""
