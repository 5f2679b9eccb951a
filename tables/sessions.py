"""The sessions of the users of one partition: one connection of one device each."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tables import keys
from tables.rows import Rows
from tables.voids import Voids
from topics import limits
from topics.codec import Malformed
from topics.keys import key_of


class Session(NamedTuple):
    """A connection: its device, the link's registration, the slot on it."""

    device: str
    link: str
    epoch: int
    partition: int
    slot: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Session]).decode


class Sessions:
    """Who is online, and where. A dead link's sessions are seen no more, and leave the row when it is next written."""

    def __init__(self, rows: Rows, voids: Voids) -> None:
        self._rows = rows
        self._voids = voids

    def of(self, app: str, user: str) -> list[Session]:
        """The user's living sessions."""
        stored = self._rows.get(keys.SESSIONS + key_of(app, user))
        return [s for s in _decode(stored) if not self._voids.covers(s.link, s.epoch)] if stored else []

    def up(self, app: str, user: str, session: Session) -> bool:
        """A session began; False if it was known or its link is dead.

        Raises:
            Malformed: the user has as many as one may have.
        """
        held = self.of(app, user)
        if self._voids.covers(session.link, session.epoch) or any(_same(session, other) for other in held):
            return False
        if len(held) >= limits.SESSIONS_PER_USER:
            raise Malformed("too_many_sessions", f"limit {limits.SESSIONS_PER_USER}")
        self._write(app, user, [*held, session])
        return True

    def down(self, app: str, user: str, link: str, epoch: int, slot: int) -> bool:
        """A session ended; False if it was not known."""
        held = self.of(app, user)
        left = [s for s in held if (s.link, s.epoch, s.slot) != (link, epoch, slot)]
        if len(left) == len(held):
            return False
        self._write(app, user, left)
        return True

    def _write(self, app: str, user: str, sessions: list[Session]) -> None:
        self._rows.set(keys.SESSIONS + key_of(app, user), _encode(sessions) if sessions else None)


def _same(one: Session, other: Session) -> bool:
    return (one.link, one.epoch, one.slot) == (other.link, other.epoch, other.slot)
