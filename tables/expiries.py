"""What ends by time in the groups of a partition, by the moment: rows, so that a take-over forgets none.

Those of a group that ended meanwhile stay until their moment, and then find nothing.
"""

from __future__ import annotations

from itertools import islice
from typing import Literal, NamedTuple

from tables import keys
from tables.rows import Rows

_KINDS = {"invite": b"i", "application": b"a", "code": b"c"}
_NAMES = {kind: name for name, kind in _KINDS.items()}

ExpiryKind = Literal["invite", "application", "code"]


class Expiry(NamedTuple):
    """What ends.

    Attributes:
        group: of which group, by its key.
        first: of which life of it.
        kind: an invite, application or code.
        id: which.
    """

    group: bytes
    first: int
    kind: ExpiryKind
    id: str


class Expiries:
    """The moments of one partition."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._from = keys.EXPIRY  # nothing is before it
        self._next = self._find()

    def add(self, at: int, expiry: Expiry) -> None:
        """It ends at that moment."""
        self._rows.put(_key(at, expiry), b"")
        self._next = at if self._next is None else min(self._next, at)
        self._from = min(self._from, _moment(at))

    def drop(self, at: int, expiry: Expiry) -> None:
        """It ended otherwise."""
        if self._rows.get(key := _key(at, expiry)) is None:
            return  # it was taken
        self._rows.delete(key)
        if at == self._next:
            self._next = self._find()

    def due_ms(self) -> int | None:
        """When the next one is due; None if none is waiting."""
        return self._next

    def take(self, now_ms: int, count: int) -> list[Expiry]:
        """Up to `count` of those whose moment has come; each is given once."""
        if self._next is None or self._next > now_ms:
            return []
        end = _moment(now_ms + 1)
        taken = [key for key, _ in islice(self._rows.scan(keys.EXPIRY, self._from), count) if key < end]
        for key in taken:
            self._rows.delete(key)
        if taken:
            self._from = taken[-1]
        self._next = self._find()
        return [_expiry(key) for key in taken]

    def _find(self) -> int | None:
        key = next((key for key, _ in self._rows.scan(keys.EXPIRY, self._from)), None)
        return int.from_bytes(key[len(keys.EXPIRY) :][:8], "big") if key is not None else None


def _moment(at: int) -> bytes:
    return keys.EXPIRY + keys.u64(at)


def _key(at: int, expiry: Expiry) -> bytes:
    life = keys.name(b"", expiry.group) + keys.u32(expiry.first)
    return _moment(at) + life + _KINDS[expiry.kind] + expiry.id.encode()


def _expiry(key: bytes) -> Expiry:
    group, _, rest = key[len(keys.EXPIRY) + 8 :].partition(keys.END)
    return Expiry(group, int.from_bytes(rest[:4], "big"), _NAMES[rest[4:5]], rest[5:].decode())  # type: ignore[arg-type]
