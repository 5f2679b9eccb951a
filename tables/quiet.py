"""Channels that had a message of late: each head is told again once quiet, so that a lost last one is noticed."""

from __future__ import annotations

from collections import OrderedDict

from tables import keys
from tables.rows import Rows
from topics import limits
from topics.messages import MAIN


class Quiet:
    """Which groups' channels are to be announced, and when. Stored, so that a take-over forgets none."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        prefix = len(keys.QUIET)
        self._due = OrderedDict((key[prefix:], 0) for key, _ in rows.scan(keys.QUIET))

    def heard(self, group: bytes, channel: str, now_ms: int) -> None:
        """A channel of the group with this key had a message now."""
        key = group if channel == MAIN else group + keys.END + channel.encode()
        if key not in self._due:
            self._rows.put(keys.QUIET + key, b"")
        self._due[key] = now_ms + limits.QUIET_MS
        self._due.move_to_end(key)

    def due_ms(self) -> int | None:
        """When the next one is due; None if none is waiting."""
        return next(iter(self._due.values()), None)

    def take(self, now_ms: int) -> list[tuple[str, str, str]]:
        """The channels, (app, group, channel), that have been quiet long enough; each is given once."""
        taken: list[tuple[str, str, str]] = []
        while (due := self.due_ms()) is not None and due <= now_ms:
            key, _ = self._due.popitem(last=False)
            self._rows.delete(keys.QUIET + key)
            group, _, channel = key.decode().partition("\0")
            taken.append((*group.split(":"), channel or MAIN))  # type: ignore[arg-type]  # ids hold no colon
        return taken
