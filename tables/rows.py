"""The rows of one partition, as its state machines see them.

Reads fall through three layers: what this batch changed, what a commit under way carries, what the store holds. A row
is bytes under a key of bytes; each noun has its own key prefix. Rows become durable with the batch that changed them or
not at all: the lane takes the changes into the transaction and, after the commit, into the store.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

#: A row's new value; None deletes it.
Changes = Mapping[bytes, bytes | None]


#: Rows under this prefix stay in the local store: an index makes them anew from the others, and they are never logged.
LOCAL: Final = b"~"

#: The local rows that a change of a row brings with it: (key, old value, new value, reads local rows) -> changes.
Index = Callable[[bytes, bytes | None, bytes | None, Callable[[bytes], bytes | None]], Changes]


class Store(Protocol):
    """Committed rows: an ordered map of bytes."""

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value) whose key starts with `prefix`, in the order of keys, from the key `start` on."""


class _Layer:
    """Changed rows, scanned in the order of keys at a cost of what is found, not of what there is."""

    def __init__(self) -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self._sorted: list[bytes] = []
        self._fresh: list[bytes] = []  # not among the sorted yet

    def set(self, key: bytes, value: bytes | None) -> None:
        """Change the row under `key`."""
        if key not in self.changes:
            self._fresh.append(key)
        self.changes[key] = value

    def under(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """The changed rows whose key starts with `prefix`, in the order of keys, from the key `start` on."""
        if len(self._fresh) > _FEW:
            self._sorted = sorted(self.changes)
        else:
            for key in self._fresh:
                insort(self._sorted, key)
        self._fresh.clear()
        for at in range(bisect_left(self._sorted, max(prefix, start)), len(self._sorted)):
            if not (key := self._sorted[at]).startswith(prefix):
                return
            yield key, self.changes[key]


_FEW: Final = 64


class Rows:
    """Reads committed and pending rows; gathers what a batch changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: list[_Layer] = []
        self._dirty = _Layer()

    def get(self, key: bytes) -> bytes | None:
        """The newest value under `key`, or None."""
        for layer in (self._dirty, *reversed(self._pending)):
            if key in layer.changes:
                return layer.changes[key]
        return self._store.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every (key, newest value) whose key starts with `prefix`, in the order of keys, as of the first step.

        From the key `start` on, at a cost of what is found there.
        """
        changed: dict[bytes, bytes | None] = {}
        for layer in (*self._pending, self._dirty):
            changed.update(layer.under(prefix, start))
        waiting = sorted(changed.items(), reverse=True)
        for key, value in self._store.scan(prefix, start):
            while waiting and waiting[-1][0] < key:
                yield from _present(waiting.pop())
            if waiting and waiting[-1][0] == key:
                yield from _present(waiting.pop())
            else:
                yield key, value
        while waiting:
            yield from _present(waiting.pop())

    def put(self, key: bytes, value: bytes) -> None:
        """Set the row under `key`."""
        self._dirty.set(key, value)

    def set(self, key: bytes, value: bytes | None) -> None:
        """Set or, with None, remove the row under `key`."""
        self._dirty.set(key, value)

    def delete(self, key: bytes) -> None:
        """Remove the row under `key`."""
        self._dirty.set(key, None)

    def take(self) -> Changes:
        """What changed since the last take; it stays visible here as pending until `settled`."""
        taken, self._dirty = self._dirty, _Layer()
        self._pending.append(taken)
        return taken.changes

    def settled(self) -> None:
        """The oldest pending changes are in the store now."""
        self._pending.pop(0)

    def discard(self) -> None:
        """Forget what changed since the last take."""
        self._dirty = _Layer()


def _present(row: tuple[bytes, bytes | None]) -> Iterator[tuple[bytes, bytes]]:
    if row[1] is not None:
        yield row[0], row[1]
