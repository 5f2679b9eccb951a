"""Changes that come in parts: which parts were applied, and what they changed.

A part counts once, in whatever order they come. The progress of the CHANGE_SETS newest is kept; the oldest finished go
first. A change set that got no part for CHANGE_SET_IDLE_MS is no longer under way: its caller gave it up.
"""

from __future__ import annotations

import msgspec
from pyroaring import BitMap

from tables import keys
from tables.parts import PartRows
from tables.rows import Rows
from topics import limits


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far a change set got.

    Attributes:
        parts: how many parts there are.
        came: how many were applied.
        changed: users and things that they changed.
        before: the group's version before the first of them: what changed since is told from here.
        version: the group's version after the newest.
        begun_at: when the first was applied.
        last_at: when the newest was.
    """

    parts: int
    came: int
    changed: int
    before: int
    version: int
    begun_at: int
    last_at: int

    @property
    def finished(self) -> bool:
        """Whether all came."""
        return self.came == self.parts

    def under_way(self, now_ms: int) -> bool:
        """Whether more are to be expected."""
        return not self.finished and now_ms < self.last_at + limits.CHANGE_SET_IDLE_MS


class _Row(msgspec.Struct, array_like=True):
    progress: Progress
    which: bytes  # the parts that came, as a bitmap


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode


class ChangeSets:
    """The change sets of one group's life."""

    def __init__(self, rows: Rows, group: bytes, first: int) -> None:
        self._rows = PartRows(rows, keys.CHANGE_SET, group, first)
        found = [(key.decode(), _decode(value)) for key, value in self._rows.scan()]
        self._sets = {name: (row.progress, BitMap.deserialize(row.which)) for name, row in found}

    def fits(self, change_set: str, part: int, parts: int) -> bool:
        """Whether a part agrees with itself and with those that came before."""
        known = self.progress(change_set)
        return part <= parts and (known is None or known.parts == parts)

    def begins(self, change_set: str, part: int) -> bool:
        """Whether this part is to be applied; False: it was."""
        return change_set not in self._sets or part not in self._sets[change_set][1]

    def done(self, change_set: str, part: int, parts: int, *, changed: int, before: int, version: int, at: int) -> None:
        """A part was applied.

        Args:
            change_set: of which change set.
            part: which part.
            parts: how many it has.
            changed: users and things that it changed.
            before: the group's version before it.
            version: the group's version after it.
            at: when.
        """
        known, which = self._sets.get(change_set, (Progress(parts, 0, 0, before, version, at, at), BitMap()))
        which.add(part)
        progress = Progress(parts, len(which), known.changed + changed, known.before, version, known.begun_at, at)
        self._sets[change_set] = progress, which
        self._rows.put(change_set.encode(), _encode(_Row(progress, which.serialize())))
        while len(self._sets) > limits.CHANGE_SETS:
            self._forget_one()

    def progress(self, change_set: str) -> Progress | None:
        """How far it got; None if it is not known (any more)."""
        known = self._sets.get(change_set)
        return known[0] if known is not None else None

    def open(self, now_ms: int) -> bool:
        """Whether any is under way."""
        return any(progress.under_way(now_ms) for progress, _ in self._sets.values())

    @property
    def memory_bytes(self) -> int:
        """About what they take in memory."""
        return 600 * len(self._sets)

    def _forget_one(self) -> None:
        oldest = min(self._sets, key=lambda name: (not self._sets[name][0].finished, self._sets[name][0].last_at))
        del self._sets[oldest]
        self._rows.delete(oldest.encode())
