"""Memberships change: a user's living sessions are bound to a group joined; one left ends its bindings itself."""

from __future__ import annotations

from streams.users.desk import Desk
from topics.memberships import Joined, MembershipLot


def lot(desk: Desk, lot: MembershipLot) -> None:
    """Remember who joined and left, and bind whoever is online."""
    for entry in lot.entries:
        users = zip(entry.users, entry.ordinals, strict=True)
        if isinstance(entry, Joined):
            for user, ordinal in desk.rolls.join(entry.app, entry.group, users):
                for session in desk.sessions.of(entry.app, user):
                    desk.bind(entry.app, user, session, entry.group, ordinal)
        else:
            desk.rolls.leave(entry.app, entry.group, users)
