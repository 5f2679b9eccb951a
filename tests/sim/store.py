"""A worker's local copy of a partition's rows, as a sorted map that can be copied, and lost."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from tables.rows import Changes


class SimStore:
    """Rows and the changelog offset that they go up to, written together."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.offset = 0
        self._keys: list[bytes] = []

    def copy(self) -> SimStore:
        """As it is now."""
        other = SimStore()
        other.rows, other.offset, other._keys = dict(self.rows), self.offset, list(self._keys)
        return other

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        keys, at = self._keys, bisect_left(self._keys, max(prefix, start))
        while at < len(keys) and keys[at].startswith(prefix):
            yield keys[at], self.rows[keys[at]]
            at += 1

    def write(self, changes: Changes, offset: int) -> None:
        for key, value in changes.items():
            if value is None:
                if self.rows.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
            else:
                if key not in self.rows:
                    insort(self._keys, key)
                self.rows[key] = value
        self.offset = offset
