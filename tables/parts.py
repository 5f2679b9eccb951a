"""Rows of one part of a group's life: its bans, its profiles, ...

Their keys lead with the group and the first ordinal of its life, so nothing of an earlier life is ever seen, whether or
not its clean-up got that far. How many there are stands in a row of its own: a part that is empty, as most are, costs
one look.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from tables import keys
from tables.rows import Rows


class PartRows:
    """The rows of one part. A row's key here is what follows the group and its life; it is never empty."""

    def __init__(self, rows: Rows, prefix: bytes, group: bytes, first: int) -> None:
        self._rows = rows
        self._base = keys.name(prefix, group) + keys.u32(first)
        self._count = int.from_bytes(rows.get(self._base) or b"", "big")

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        return self._rows.get(self._base + key) if self._count else None

    def put(self, key: bytes, value: bytes) -> None:
        """Set the row under `key`."""
        if self.get(key) is None:
            self._counted(self._count + 1)
        self._rows.put(self._base + key, value)

    def delete(self, key: bytes) -> bool:
        """Remove the row under `key`; whether there was one."""
        if self.get(key) is None:
            return False
        self._counted(self._count - 1)
        self._rows.delete(self._base + key)
        return True

    def scan(self, prefix: bytes = b"", after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value) whose key starts with `prefix`, by key, after the key `after`."""
        if not self._count:
            return
        skip = len(self._base)
        for key, value in self._rows.scan(self._base + prefix, self._base + after + b"\0" if after else b""):
            if len(key) > skip:  # not that of the count
                yield key[skip:], value

    def page(self, count: int, prefix: bytes = b"", after: bytes = b"") -> list[tuple[bytes, bytes]]:
        """Up to `count` of these."""
        return list(islice(self.scan(prefix, after), count))

    def _counted(self, count: int) -> None:
        self._count = count
        self._rows.set(self._base, count.to_bytes(4, "big") if count else None)
