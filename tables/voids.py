"""Which registrations of links are dead, as one partition knows it."""

from __future__ import annotations

from tables import keys
from tables.rows import Rows


class Voids:
    """The highest void epoch of each link. Rises only; `changes` counts the rises."""

    def __init__(self, rows: Rows) -> None:
        self.changes = 0
        self._rows = rows
        self._epochs = {key[1:].decode(): int.from_bytes(value, "big") for key, value in rows.scan(keys.VOID)}

    def add(self, link: str, epoch: int) -> bool:
        """Every registration of `link` up to `epoch` is dead; False if that was known."""
        if epoch <= self._epochs.get(link, -1):
            return False
        self._epochs[link] = epoch
        self._rows.put(keys.VOID + link.encode(), keys.u64(epoch))
        self.changes += 1
        return True

    def newest(self, link: str) -> int:
        """The newest registration of a link that is dead; -1: none is."""
        return self._epochs.get(link, -1)

    def covers(self, link: str, epoch: int) -> bool:
        """Whether this registration is dead."""
        return epoch <= self._epochs.get(link, -1)
