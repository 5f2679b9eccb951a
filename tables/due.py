"""When users of a partition are to be looked at again: something of theirs ends, or is told, by time.

Rows by the moment, so that a take-over forgets none. Who needs no look any more by then is looked at in vain.
"""

from __future__ import annotations

from itertools import islice

from tables import keys
from tables.rows import Rows
from topics.keys import key_of

_MOMENT = slice(len(keys.DUE), len(keys.DUE) + 8)
_USER = slice(len(keys.DUE) + 8, None)


class Due:
    """The moments of one partition."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._from = keys.DUE  # nothing is before it
        self._next = self._find()

    def add(self, at: int, app: str, user: str) -> None:
        """Look at the user then."""
        moment = keys.DUE + keys.u64(at)
        self._rows.put(moment + key_of(app, user), b"")
        self._next = at if self._next is None else min(self._next, at)
        self._from = min(self._from, moment)

    def due_ms(self) -> int | None:
        """When the next one is to be looked at; None if none is."""
        return self._next

    def take(self, now_ms: int, count: int) -> list[tuple[str, str]]:
        """Up to `count` users, (app, user), whose moment has come; each moment is given once."""
        if self._next is None or self._next > now_ms:
            return []
        end = keys.DUE + keys.u64(now_ms + 1)
        taken = [key for key, _ in islice(self._rows.scan(keys.DUE, self._from), count) if key < end]
        for key in taken:
            self._rows.delete(key)
            self._from = key
        self._next = self._find()
        users: list[tuple[str, str]] = []
        for key in taken:
            app, _, user = key[_USER].decode().partition(":")
            users.append((app, user))
        return users

    def _find(self) -> int | None:
        key = next((key for key, _ in self._rows.scan(keys.DUE, self._from)), None)
        return None if key is None else int.from_bytes(key[_MOMENT], "big")
