"""What the sessions of a group's members hear of its channels unasked."""

from __future__ import annotations

from topics import limits
from topics.entities import GroupKind
from topics.policy import Policy
from topics.subscriptions import DriveMode, Joined


def joined_of(kind: GroupKind, members: int, policy: Policy, before: Joined) -> Joined:
    """By the group's kind and size, and its app's policy.

    Args:
        kind: the group's.
        members: how many it has.
        policy: the app's.
        before: what it was: a server near the size from which on it is subscribed to explicitly stays as it is.
    """
    match _mode_of(kind, policy):
        case "message":
            return "messages"
        case "session":
            return "unread_count"
        case "subscription" if kind != "server":
            return "messages"
    most = policy.subscribe_members * (limits.SUBSCRIBE_AGAIN if before == "none" else 1)
    return "messages" if members <= most else "none"


def _mode_of(kind: GroupKind, policy: Policy) -> DriveMode:
    match kind:
        case "server":
            return policy.drive_server
        case "team":
            return policy.drive_team
        case "direct":
            return policy.drive_direct
        case "room":
            return policy.drive_room
