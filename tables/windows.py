"""What is merged over a while before it is told, under a key each: the windows of one partition.

The first thing after a pause is told at once, with its batch; what follows inside the window is told as one when the
window is over. What waits for that is a row each: a take-over tells it at once.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar

from tables.rows import Rows


class Waiting(Protocol):
    """What waits to be told under one key.

    Attributes:
        due_ms: when it is to be told.
    """

    due_ms: int

    def row(self) -> bytes:
        """As it is stored."""


W = TypeVar("W", bound=Waiting)


class Windows(Generic[W]):
    """What waits, and what was told a moment ago."""

    def __init__(self, rows: Rows, prefix: bytes, load: Callable[[bytes], W]) -> None:
        """Begin from the rows.

        Args:
            rows: the partition's.
            prefix: what the keys of its rows begin with.
            load: makes what a row holds, due at once.
        """
        self._rows = rows
        self._prefix = prefix
        self._waiting = {key[len(prefix) :]: load(row) for key, row in rows.scan(prefix)}
        self._due = [(waiting.due_ms, key) for key, waiting in self._waiting.items()]  # a heap
        self._stored = set(self._waiting)
        self._changed: dict[bytes, None] = {}
        self._closed_until: dict[bytes, int] = {}
        self._closing: list[tuple[int, bytes]] = []  # a heap

    def waiting(self, key: bytes, now_ms: int, make: Callable[[int], W]) -> W:
        """What waits under a key, to be added to; made if nothing does, of when it is due."""
        self._changed[key] = None
        if (found := self._waiting.get(key)) is None:
            due_ms = max(now_ms, self._closed_until.get(key, 0))
            found = self._waiting[key] = make(due_ms)
            heappush(self._due, (due_ms, key))
        return found

    def due_ms(self) -> int | None:
        """When the next is to be told; None if none is."""
        while self._due:
            due_ms, key = self._due[0]
            if (waiting := self._waiting.get(key)) is not None and waiting.due_ms == due_ms:
                return due_ms
            heappop(self._due)  # it was told
        return None

    def due(self, now_ms: int) -> list[bytes]:
        """What is to be told now."""
        found: dict[bytes, None] = {}
        while (due_ms := self.due_ms()) is not None and due_ms <= now_ms:
            found[heappop(self._due)[1]] = None
        return list(found)

    def take(self, key: bytes, now_ms: int, window_ms: int) -> W:
        """What is to be told of one of `due`; what follows within the window waits for its end."""
        waiting = self._waiting.pop(key)
        self._changed.pop(key, None)
        if key in self._stored:
            self._stored.discard(key)
            self._rows.delete(self._prefix + key)
        self._closed_until[key] = now_ms + window_ms
        heappush(self._closing, (now_ms + window_ms, key))
        return waiting

    def flush(self, now_ms: int) -> None:
        """Write what waits to the rows; forget windows that are over."""
        for key in self._changed:
            self._rows.put(self._prefix + key, self._waiting[key].row())
            self._stored.add(key)
        self._changed = {}
        while self._closing and self._closing[0][0] <= now_ms:
            until_ms, key = heappop(self._closing)
            if self._closed_until.get(key) == until_ms:
                del self._closed_until[key]
