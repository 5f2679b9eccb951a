"""What the sessions of a partition's users asked to hear: one row a session and group. A resume elsewhere finds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tables import keys
from tables.rows import Rows
from tables.sessions import Session
from topics.keys import key_of
from topics.subscriptions import MESSAGE_LEVELS, Level, Wanted

_Row = list[tuple[Level, str | None]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode


class Asked:
    """The subscriptions of one partition's sessions, as far as they are not known to be refused."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def of(self, app: str, user: str, session: Session, group: str) -> set[Wanted]:
        """What the session asked to hear of a group."""
        stored = self._rows.get(_of_session(app, user, session) + group.encode())
        return _wanted(stored) if stored else set()

    def all_of(self, app: str, user: str, session: Session) -> Iterator[tuple[str, set[Wanted]]]:
        """Each group that the session asked for, by name, and what."""
        if session.asked:
            prefix = _of_session(app, user, session)
            for key, stored in self._rows.scan(prefix):
                yield key[len(prefix) :].decode(), _wanted(stored)

    def set(self, app: str, user: str, session: Session, group: str, wanted: Iterable[Wanted]) -> None:
        """This is what it asked to hear of a group; the caller keeps the session's count of groups."""
        row = ordered(wanted)
        key = _of_session(app, user, session) + group.encode()
        self._rows.set(key, _encode([(one.level, one.channel) for one in row]) if row else None)


def strongest(wanted: Iterable[Wanted]) -> set[Wanted]:
    """Of what one call names: of each channel's message levels the strongest, and all else."""
    best: dict[str | None, Wanted] = {}
    rest: set[Wanted] = set()
    for one in wanted:
        if one.level not in MESSAGE_LEVELS:
            rest.add(one)
        elif (known := best.get(one.channel)) is None or _rank(one) < _rank(known):
            best[one.channel] = one
    return rest.union(best.values())


def joined(before: Iterable[Wanted], wanted: Iterable[Wanted]) -> set[Wanted]:
    """What was asked before with what a later call asks: its message level of a channel replaces the earlier one."""
    new = set(wanted)
    replaced = {one.channel for one in new if one.level in MESSAGE_LEVELS}
    return new | {one for one in before if one.level not in MESSAGE_LEVELS or one.channel not in replaced}


def ordered(wanted: Iterable[Wanted]) -> Sequence[Wanted]:
    """The same, always in the same order."""
    return sorted(wanted, key=lambda one: (one.channel or "", one.level))


def _rank(wanted: Wanted) -> int:
    return MESSAGE_LEVELS.index(wanted.level)


def _wanted(stored: bytes) -> set[Wanted]:
    return {Wanted(level, channel) for level, channel in _decode(stored)}


def _of_session(app: str, user: str, session: Session) -> bytes:
    prefix = keys.name(keys.ASKED, key_of(app, user), session.link.encode())
    return prefix + keys.u64(session.epoch) + keys.u32(session.slot)
