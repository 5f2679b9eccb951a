"""A set of ordinals that is kept: a role's members, the users on a list.

In memory it is one roaring bitmap. Rows hold SET_CHUNK ordinals each, as the shorter of a roaring bitmap and plain
bits: a change of one member rewrites at most a kilobyte, and a million members are 123 rows. Rows are read when they
are first needed: a change reads those that it touches, only a look at the whole set reads all.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from pyroaring import BitMap

from tables import keys
from tables.rows import Rows
from topics import limits

_PLAIN_BYTES: Final = limits.SET_CHUNK // 8
_FEW_CHUNKS: Final = 8  # more are read together with all others: a scan is cheaper than so many look-ups
#: What a set takes in memory beside its bits, and what each 65,536 ordinals do, measured.
_BYTES_PER_SET: Final = 900
_BYTES_PER_CONTAINER: Final = 80


def chunks_of(ordinals: BitMap) -> Iterator[int]:
    """The numbers of the chunks in which the set has any. Costs a step a chunk, not a member."""
    last: int = ordinals.max() if ordinals else -1
    at = 0
    while at <= last:
        chunk: int = ordinals.next_set_bit(at) // limits.SET_CHUNK
        yield chunk
        at = (chunk + 1) * limits.SET_CHUNK


def _encode(chunk: int, bits: BitMap) -> bytes:
    """A chunk's row: plain bits if they are not longer than a roaring bitmap; told apart by the length."""
    bits.run_optimize()
    packed: bytes = bits.serialize()
    if len(packed) < _PLAIN_BYTES:
        return packed
    plain = np.zeros(limits.SET_CHUNK, np.uint8)
    plain[np.asarray(bits.to_array()) - chunk * limits.SET_CHUNK] = 1
    return np.packbits(plain).tobytes()


def _decode(rows: Iterable[tuple[int, bytes]]) -> BitMap:
    """What rows hold, each with its chunk: all plain bits together, as one by one takes four times as long."""
    bits, chunks, plain = BitMap(), array("I"), bytearray()
    for chunk, row in rows:
        if len(row) == _PLAIN_BYTES:
            chunks.append(chunk)
            plain += row
        else:
            bits |= BitMap.deserialize(row)
    (found,) = np.nonzero(np.unpackbits(np.frombuffer(plain, np.uint8)))
    at, inside = np.divmod(found, limits.SET_CHUNK)
    ordinals = array("I")
    ordinals.frombytes((np.asarray(chunks, np.uint32)[at] * limits.SET_CHUNK + inside).astype(np.uint32).tobytes())
    bits |= BitMap(ordinals)
    return bits


class StoredSet:
    """A set of u32 ordinals with its rows.

    Attributes:
        whole: whether all of it is in memory.
    """

    def __init__(self, rows: Rows, prefix: bytes) -> None:
        """Nothing is read yet.

        Args:
            rows: the partition's.
            prefix: what the keys of its rows, and of none but its rows, begin with.
        """
        self.whole = False
        self._rows = rows
        self._prefix = prefix
        self._bits = BitMap()
        self._read: set[int] = set()  # the chunks in memory, while not all are
        self._dirty: set[int] = set()
        self._bytes: int | None = None

    @property
    def bits(self) -> BitMap:
        """All of it: always the same object, to be read, not changed."""
        if not self.whole:
            self._bits |= _decode(self._unread())
            self.whole = True
            self._read.clear()
            self._bytes = None
        return self._bits

    def __contains__(self, ordinal: int) -> bool:
        """Whether it is in; reads its row at most."""
        if not self.whole:
            self._need(BitMap([ordinal]))
        return ordinal in self._bits

    def add(self, ordinals: BitMap) -> BitMap:
        """Put these in; returns those that were not."""
        self._need(ordinals)
        added = ordinals - self._bits
        self._bits |= added
        self._changed(added)
        return added

    def remove(self, ordinals: BitMap) -> BitMap:
        """Take these out; returns those that were in."""
        self._need(ordinals)
        removed = ordinals & self._bits
        self._bits -= removed
        self._changed(removed)
        return removed

    def clear(self) -> BitMap:
        """Take all out; returns them."""
        return self.remove(BitMap(self.bits))

    def drop(self) -> None:
        """Remove its rows: there is no such set any more."""
        for key, _ in list(self._rows.scan(self._prefix)):
            self._rows.delete(key)

    def flush(self) -> None:
        """Write what changed to the rows."""
        for chunk in self._dirty:
            start = chunk * limits.SET_CHUNK
            bits = self._bits & BitMap(range(start, start + limits.SET_CHUNK))
            self._rows.set(self._prefix + keys.u32(chunk), _encode(chunk, bits) if bits else None)
        self._dirty.clear()

    @property
    def memory_bytes(self) -> int:
        """About what it takes in memory. O(1) unless it changed."""
        if self._bytes is None:
            held = self._bits.get_statistics()
            self._bytes = _BYTES_PER_SET + _BYTES_PER_CONTAINER * held["n_containers"] + held["n_bytes_run_containers"]
            self._bytes += held["n_bytes_array_containers"] + held["n_bytes_bitset_containers"]
        return self._bytes

    def _need(self, ordinals: BitMap) -> None:
        """Read the rows of the chunks that these are in; all, if these are many."""
        if self.whole:
            return
        missing = [chunk for chunk in chunks_of(ordinals) if chunk not in self._read]
        if len(missing) > _FEW_CHUNKS:
            _ = self.bits
            return
        for chunk in missing:
            self._read.add(chunk)
            if (row := self._rows.get(self._prefix + keys.u32(chunk))) is not None:
                self._bits |= _decode([(chunk, row)])
                self._bytes = None

    def _unread(self) -> Iterator[tuple[int, bytes]]:
        """The rows that are not in memory, each with its chunk."""
        for key, row in self._rows.scan(self._prefix):
            if (chunk := int.from_bytes(key[len(self._prefix) :], "big")) not in self._read:
                yield chunk, row

    def _changed(self, ordinals: BitMap) -> None:
        if ordinals:
            self._dirty.update(chunks_of(ordinals))
            self._bytes = None
