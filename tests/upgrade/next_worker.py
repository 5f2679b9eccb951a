"""A worker of a release to come, whose groups role keeps its groups under other keys: rows of version 3.

Run: python -m tests.upgrade.next_worker --role ROLE --name NAME.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from streams.batches.kind import LaneKind
from tables import keys
from tables.batch import MakeCore
from tables.rows import Rows
from tables.versions import StateVersion
from tests.faults.worker import FaultyWorker, main

_MOVED: Final = b"G"
_PIECE: Final = 2  # rows a transaction: several are needed for each partition


def leave(_: Rows, __: bytes) -> bytes | None:
    """From version 1 to 2: they are the same, but for what version 1 has none of."""


def move(rows: Rows, _: bytes) -> bytes | None:
    """From version 2 to 3; what is moved is not met again, so no place has to be remembered."""
    for key, value in list(islice(rows.scan(keys.GROUP), _PIECE)):
        rows.delete(key)
        rows.put(_MOVED + key[1:], value)
    return None if next(rows.scan(keys.GROUP), None) is None else b""


class MovedRows(Rows):
    """Rows of version 3 to state machines that know those of versions 1 and 2."""

    def __init__(self, rows: Rows) -> None:
        super().__init__(rows)
        self._rows = rows

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(_place(key))

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._rows.scan(_place(prefix), _place(start)):
            yield prefix + key[len(prefix) :], value

    def put(self, key: bytes, value: bytes) -> None:
        self._rows.put(_place(key), value)

    def set(self, key: bytes, value: bytes | None) -> None:
        self._rows.set(_place(key), value)

    def delete(self, key: bytes) -> None:
        self._rows.delete(_place(key))


def _place(key: bytes) -> bytes:
    return _MOVED + key[1:] if key.startswith(keys.GROUP) else key


class NextWorker(FaultyWorker):
    """The release to come."""

    def _kinds(self) -> list[LaneKind]:
        return [_next(kind) if kind.name == "groups" else kind for kind in super()._kinds()]


def _next(kind: LaneKind) -> LaneKind:
    make_core: MakeCore = kind.make_core
    return replace(
        kind,
        make_core=lambda rows, partition: make_core(MovedRows(rows), partition),
        version=StateVersion(3, {2: leave, 3: move}),
    )


if __name__ == "__main__":
    main(NextWorker)
