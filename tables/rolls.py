"""Which groups a user of this partition is in, and under which ordinals.

Users who joined a group together stand on one roll, a row of up to ROLL_ENTRIES, so that an import of a million members
is some thousand rows. What finds a user's rolls is an index of rows that stay in the local store: `index` makes them
from a roll's old and new value, for a change as for a recovery.

Ordinals of a group rise with each joining, so they tell old news: a joining with a lower ordinal than the known one, or
a leaving of another ordinal, changes nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from tables import keys
from tables.rows import Changes, Rows
from topics import limits
from topics.keys import key_of


class Membership(NamedTuple):
    """A user's place in a group: the member's ordinal, and the roll that holds it."""

    ordinal: int
    roll: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, str]]).decode
_PLACE = struct.Struct(">II")


class Rolls:
    """The memberships of the users of one partition."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def groups_of(self, app: str, user: str, after: str = "") -> Iterator[tuple[str, int]]:
        """Every (group, ordinal) of a user, by name, after that name."""
        prefix = keys.name(keys.GROUPS_OF, key_of(app, user))
        for key, value in self._rows.scan(prefix, prefix + key_of(app, after) + keys.END):
            yield key[len(prefix) :].decode().partition(":")[2], _PLACE.unpack(value)[0]

    def has(self, app: str, user: str, group: str) -> bool:
        """Whether a user is in a group."""
        return self._place(app, group, user) is not None

    def join(self, app: str, group: str, users: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
        """Users became members; returns those for whom this is news."""
        news: list[tuple[str, int]] = []
        replaced: list[tuple[str, Membership]] = []
        for user, ordinal in users:
            known = self._place(app, group, user)
            if known is not None and known.ordinal >= ordinal:
                continue
            if known is not None:
                replaced.append((user, known))
            news.append((user, ordinal))
        self._strike(app, group, replaced)
        for i in range(0, len(news), limits.ROLL_ENTRIES):
            run = [(ordinal, user) for user, ordinal in news[i : i + limits.ROLL_ENTRIES]]
            self._put(_roll_key(app, group, run[0][0]), run)
        return news

    def leave(self, app: str, group: str, users: Iterable[tuple[str, int]]) -> list[str]:
        """Users are members no more, under these ordinals; returns those for whom this is news."""
        gone: list[tuple[str, Membership]] = []
        for user, ordinal in users:
            known = self._place(app, group, user)
            if known is not None and known.ordinal == ordinal:
                gone.append((user, known))
        self._strike(app, group, gone)
        return [user for user, _ in gone]

    def _strike(self, app: str, group: str, gone: list[tuple[str, Membership]]) -> None:
        by_roll: dict[int, set[int]] = {}
        for _, place in gone:
            by_roll.setdefault(place.roll, set()).add(place.ordinal)
        for roll, ordinals in by_roll.items():
            key = _roll_key(app, group, roll)
            held = _decode(self._rows.get(key) or b"\x90")
            self._put(key, [(ordinal, user) for ordinal, user in held if ordinal not in ordinals])

    def _put(self, key: bytes, entries: list[tuple[int, str]]) -> None:
        new = _encode(entries) if entries else None
        for index_key, value in index(key, self._rows.get(key), new, self._rows.get).items():
            self._rows.set(index_key, value)
        self._rows.set(key, new)

    def _place(self, app: str, group: str, user: str) -> Membership | None:
        stored = self._rows.get(keys.name(keys.GROUPS_OF, key_of(app, user)) + key_of(app, group))
        return Membership(*_PLACE.unpack(stored)) if stored else None


def index(key: bytes, old: bytes | None, new: bytes | None, get: Callable[[bytes], bytes | None]) -> Changes:
    """The local rows that a change of a row brings with it; none for rows that are no roll.

    `get` reads local rows: one that names another roll stays, for in a compacted log a user's new roll may come before
    the change of the old one.
    """
    if not key.startswith(keys.ROLL):
        return {}
    group, roll = key[len(keys.ROLL) : -5], int.from_bytes(key[-4:], "big")
    app = group.partition(b":")[0].decode()
    changes: dict[bytes, bytes | None] = {}
    for _, user in _decode(old) if old else ():
        index_key = keys.name(keys.GROUPS_OF, key_of(app, user)) + group
        if (place := get(index_key)) is not None and _PLACE.unpack(place)[1] == roll:
            changes[index_key] = None
    for ordinal, user in _decode(new) if new else ():
        changes[keys.name(keys.GROUPS_OF, key_of(app, user)) + group] = _PLACE.pack(ordinal, roll)
    return changes


def _roll_key(app: str, group: str, first: int) -> bytes:
    return keys.name(keys.ROLL, key_of(app, group)) + keys.u32(first)
