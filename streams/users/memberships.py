"""Memberships change: a user's living sessions are bound to a group joined; one left ends its bindings itself."""

from __future__ import annotations

from streams.users import subscriptions
from streams.users.desk import Desk, partition_of_group
from topics.memberships import Barred, Joined, MembershipLot, Unheard


def lot(desk: Desk, lot: MembershipLot) -> None:
    """Remember who joined and left, and bind whoever is online."""
    for entry in lot.entries:
        if isinstance(entry, Unheard):
            subscriptions.unheard(desk, entry)
            continue
        if isinstance(entry, Barred):
            subscriptions.left(desk, entry.app, entry.user, entry.group)
            continue
        users = zip(entry.users, entry.ordinals, strict=True)
        if isinstance(entry, Joined):
            _joined(desk, entry.app, entry.group, desk.rolls.join(entry.app, entry.group, users))
        else:
            for user in desk.rolls.leave(entry.app, entry.group, users):
                subscriptions.left(desk, entry.app, user, entry.group)


def _joined(desk: Desk, app: str, group: str, users: list[tuple[str, int]]) -> None:
    for user, ordinal in users:
        for session in desk.sessions.of(app, user):
            if session.turned_at:  # its owner may be told of the session for the first time, or knows it as it was
                desk.grounded(session, [partition_of_group(app, group, desk.partitions)])
            desk.bind(app, user, session, group, ordinal)
