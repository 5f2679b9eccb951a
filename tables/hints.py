"""What changed in groups and is still to be told to those who listen: merged, so that many changes are one hint.

What waits for the end of its window is a row a group. Whose visibility changed is in memory only, by link: it may be as
large as the group. After a take-over everybody who listens is told instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, get_args

import msgspec
from pyroaring import BitMap

from tables import keys
from tables.outbox import Outlet
from tables.rows import Rows
from tables.windows import Windows
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


class Hints(Windows[Pending]):
    """The groups of one partition with something to be told, and those told a moment ago."""

    def __init__(self, rows: Rows) -> None:
        super().__init__(rows, keys.CHANGED, _pending)

    def of(self, group: bytes, since: int, now_ms: int) -> Pending:
        """What of a group is to be told, to be added to; `since` is its version before what changes now."""
        return self.waiting(group, now_ms, lambda due_ms: Pending(since, due_ms))
