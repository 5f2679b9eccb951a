"""Channels that had a message of late: each head is told again once quiet, so that a lost last one is noticed."""

from __future__ import annotations

from collections import OrderedDict

from tables import keys
from tables.rows import Rows
from topics import limits
from topics.keys import key_of
from topics.messages import MAIN


class Quiet:
    """Which groups' channels are to be announced, and when. Stored, so that a take-over forgets none."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        prefix = len(keys.QUIET)
        self._due = OrderedDict((key[prefix:], 0) for key, _ in rows.scan(keys.QUIET))

    def heard(self, app: str, group: str, channel: str, now_ms: int) -> None:
        """A channel had a message now."""
        key = _key(app, group, channel)
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


def _key(app: str, group: str, channel: str) -> bytes:
    """A group's key, and the channel where the group has more than the implicit one."""
    key = key_of(app, group)
    return key if channel == MAIN else key + keys.END + channel.encode()
