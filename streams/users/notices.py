"""Notices to persons: into each user's inbox, and to the sessions that the user has now."""

from __future__ import annotations

from streams.users.desk import Desk
from topics.notices import PersonLot


def lot(desk: Desk, lot: PersonLot) -> None:
    """Keep each notice for each of its users; whoever is online hears of it with this batch."""
    for notice in lot.entries:
        for user in notice.users:
            if (taken := desk.inboxes.put(notice, user)) is not None:
                desk.told.add(notice.app, user, taken)
