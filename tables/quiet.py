"""Channels that had a message of late: each head is told again once quiet, so that a lost last one is noticed."""

from __future__ import annotations

from collections import OrderedDict

from tables import keys
from tables.rows import Rows
from topics import limits


class Quiet:
    """Which groups' channels are to be announced, and when. Stored, so that a take-over forgets none."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        prefix = len(keys.QUIET)
        self._due = OrderedDict((key[prefix:], 0) for key, _ in rows.scan(keys.QUIET))

    def heard(self, group: bytes, now_ms: int) -> None:
        """The group's channel had a message now."""
        if group not in self._due:
            self._rows.put(keys.QUIET + group, b"")
        self._due[group] = now_ms + limits.QUIET_MS
        self._due.move_to_end(group)

    def due_ms(self) -> int | None:
        """When the next one is due; None if none is waiting."""
        return next(iter(self._due.values()), None)

    def take(self, now_ms: int) -> list[bytes]:
        """The groups whose channels have been quiet long enough; each is given once."""
        taken: list[bytes] = []
        while (due := self.due_ms()) is not None and due <= now_ms:
            group, _ = self._due.popitem(last=False)
            self._rows.delete(keys.QUIET + group)
            taken.append(group)
        return taken
