"""What changed in groups and is still to be told to those who listen: merged, so that many changes are one hint.

The first change after a pause is told at once, with its batch; what follows inside the app's window is told as one when
the window is over. What waits for that is a row a group: a take-over tells it at once.

Whose visibility changed is in memory only, by link: it may be as large as the group. After a take-over everybody who
listens is told instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final, get_args

import msgspec
from pyroaring import BitMap

from tables import keys
from tables.outbox import Outlet
from tables.rows import Rows
from topics import limits
from topics.deliveries import What

_ORDER: Final[tuple[What, ...]] = get_args(What)


class _Row(msgspec.Struct, array_like=True):
    since: int
    what: list[What]
    channels: list[str]
    flipped: bool


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Row).decode


class Pending:
    """What changed in one group since it was last told.

    Attributes:
        since: the group's version before the first of these changes.
        due_ms: when it is to be told.
        channels: channels that are other than they were, for those who see them when it is told.
        flipped: by link, the members who see other channels than before.
    """

    def __init__(self, since: int, due_ms: int) -> None:
        self.since = since
        self.due_ms = due_ms
        self.channels: dict[str, None] = {}
        self.flipped: dict[Outlet, BitMap] = {}
        self._what: set[What] = set()

    @property
    def what(self) -> list[What]:
        """What changed for everybody, always in the same order."""
        return [what for what in _ORDER if what in self._what]

    def add(self, what: Iterable[What]) -> None:
        """This changed for everybody."""
        self._what.update(what)

    def add_channels(self, channels: Iterable[str]) -> None:
        """These channels changed; too many to name are told to everybody without a name."""
        self.channels.update(dict.fromkeys(channels))
        if len(self.channels) > limits.NOTICE_CHANNELS:
            self.channels = {}
            self._what.add("channels")

    def add_flipped(self, outlet: Outlet, ordinals: BitMap) -> None:
        """These members on a link see other channels than before."""
        self.flipped[outlet] = self.flipped.get(outlet, _NOBODY) | ordinals

    def row(self) -> bytes:
        """As it is stored."""
        return _encode(_Row(self.since, self.what, list(self.channels), bool(self.flipped)))


_NOBODY: Final = BitMap()


def _pending(stored: bytes) -> Pending:
    row = _decode(stored)
    pending = Pending(row.since, due_ms=0)
    pending.add(row.what)
    pending.add_channels(row.channels)
    if row.flipped:
        pending.add(["visibility"])
    return pending


class Windows:
    """The groups of one partition with something to be told, and those told a moment ago."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._pending = {key[len(keys.CHANGED) :]: _pending(row) for key, row in rows.scan(keys.CHANGED)}
        self._due = [(pending.due_ms, group) for group, pending in self._pending.items()]  # a heap
        self._stored = set(self._pending)
        self._changed: dict[bytes, None] = {}
        self._closed_until: dict[bytes, int] = {}
        self._closing: list[tuple[int, bytes]] = []  # a heap

    def of(self, group: bytes, since: int, now_ms: int) -> Pending:
        """What of a group is to be told, to be added to; `since` is its version before what changes now."""
        self._changed[group] = None
        if (found := self._pending.get(group)) is None:
            due_ms = max(now_ms, self._closed_until.get(group, 0))
            found = self._pending[group] = Pending(since, due_ms)
            heappush(self._due, (due_ms, group))
        return found

    def due_ms(self) -> int | None:
        """When the next group is to be told; None if none is."""
        while self._due:
            due_ms, group = self._due[0]
            if (pending := self._pending.get(group)) is not None and pending.due_ms == due_ms:
                return due_ms
            heappop(self._due)  # it was told
        return None

    def due(self, now_ms: int) -> list[bytes]:
        """The groups that are to be told now."""
        if (due_ms := self.due_ms()) is None or due_ms > now_ms:
            return []
        return [group for group, pending in self._pending.items() if pending.due_ms <= now_ms]

    def take(self, group: bytes, now_ms: int, window_ms: int) -> Pending:
        """What is to be told of one of `due`; what follows within the window waits for its end."""
        pending = self._pending.pop(group)
        self._changed.pop(group, None)
        if group in self._stored:
            self._stored.discard(group)
            self._rows.delete(keys.CHANGED + group)
        self._closed_until[group] = now_ms + window_ms
        heappush(self._closing, (now_ms + window_ms, group))
        return pending

    def flush(self, now_ms: int) -> None:
        """Write what waits to the rows; forget windows that are over."""
        for group in self._changed:
            self._rows.put(keys.CHANGED + group, self._pending[group].row())
            self._stored.add(group)
        self._changed = {}
        while self._closing and self._closing[0][0] <= now_ms:
            until_ms, group = heappop(self._closing)
            if self._closed_until.get(group) == until_ms:
                del self._closed_until[group]
