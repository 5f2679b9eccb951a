"""The sessions of the users of one partition: one connection of one device each.

A session whose connection broke, or whose link died, is *lost*: it stays until its time to be resumed is over. What a
dead link takes with it is not written to each of its sessions: the link's death says it (see `deaths`).

`index` makes the local rows that tell who has sessions on a link, for a change as for a recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from tables import keys, versions
from tables.deaths import Deaths
from tables.rows import Changes, Rows
from tables.voids import Voids
from topics.keys import key_of
from topics.wire import LinkAddress


class Session(NamedTuple):
    """A connection: its device, the link's registration, the slot on it; and what became of it.

    Attributes:
        device: which of the user's devices.
        link: the link that holds the connection.
        epoch: the link's registration.
        partition: that registration's partition of `deliveries`.
        slot: the connection's number on the link.
        platform: what kind of device it is.
        background: whether it is in the background.
        lost_until: until when it may be resumed; 0: it is not lost.
        told: whether the groups' owners were told that it is in the background.
        turned_at: when they were last told anything of it; 0: never, as it never was in the background.
        asked: of how many groups it asked to hear something.
        watched: how many users it watches.
        was: the connection that it went on from, if that one was not known yet: its own records come late.
    """

    device: str
    link: str
    epoch: int
    partition: int
    slot: int
    platform: str = ""
    background: bool = False
    lost_until: int = 0
    told: bool = False
    turned_at: int = 0
    asked: int = 0
    watched: int = 0
    was: tuple[str, int, int] | None = None

    @property
    def address(self) -> LinkAddress:
        """Where its deliveries go."""
        return LinkAddress(self.link, self.epoch, self.partition)

    def at(self, link: str, epoch: int, slot: int) -> bool:
        """Whether it is this connection."""
        return self.slot == slot and self.link == link and self.epoch == epoch


_PLAIN = 5
_REST = tuple(Session("", "", 0, 0, 0))[_PLAIN:]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Session]).decode


class Sessions:
    """Who is online, and where."""

    def __init__(self, rows: Rows, voids: Voids, deaths: Deaths) -> None:
        self._rows = rows
        self._voids = voids
        self._deaths = deaths
        self._marked = False

    def held(self, app: str, user: str) -> list[Session]:
        """The user's sessions, those that are lost among them."""
        stored = self._rows.get(keys.SESSIONS + key_of(app, user))
        if stored is None:
            return []
        sessions = _decode(stored)
        for session in sessions:
            if self._voids.covers(session.link, session.epoch):
                return self._with_deaths(app, sessions)
        return sessions

    def of(self, app: str, user: str) -> list[Session]:
        """The user's sessions on living links."""
        return [session for session in self.held(app, user) if not self._voids.covers(session.link, session.epoch)]

    def write(self, app: str, user: str, sessions: Sequence[Session]) -> None:
        """The user has these sessions from here on."""
        key = keys.SESSIONS + key_of(app, user)
        new = None
        if sessions:
            stored = [self._stored(app, session) for session in sessions]
            new = _encode(stored)
            if not self._marked and any(len(one) > _PLAIN for one in stored):
                versions.USERS.mark(self._rows)
                self._marked = True
        for local, value in index(key, self._rows.get(key), new, self._rows.get).items():
            self._rows.set(local, value)
        self._rows.set(key, new)

    def forget(self, app: str, user: str, link: str, epoch: int) -> list[Session]:
        """The user has none on this dead registration from here on; returns those that it had."""
        stored = self._rows.get(keys.SESSIONS + key_of(app, user))
        gone = [one for one in (_decode(stored) if stored else ()) if one.link == link and one.epoch == epoch]
        self._rows.delete(on_link(link, epoch) + key_of(app, user))
        if gone:
            held = self.held(app, user)
            self.write(app, user, [one for one in held if one.link != link or one.epoch != epoch])
        return gone

    def partition_of(self, link: str, epoch: int) -> int | None:
        """The registration's partition of `deliveries`, if anybody here has a session on it."""
        value = next((value for _, value in self._rows.scan(on_link(link, epoch))), None)
        return None if value is None or self._voids.covers(link, epoch) else int.from_bytes(value, "big")

    def _with_deaths(self, app: str, sessions: Iterable[Session]) -> list[Session]:
        """The sessions, each of a dead link with its end; without those whose time is over."""
        held: list[Session] = []
        for session in sessions:
            if not self._voids.covers(session.link, session.epoch):
                held.append(session)
            elif (until := self._deaths.until(app, session.link, session.epoch)) is not None:
                held.append(session._replace(lost_until=min(until, session.lost_until or until)))
        return held

    def _stored(self, app: str, session: Session) -> tuple[object, ...]:
        """As it is stored: what the link's death says is not, and nothing that is as usual."""
        if session.lost_until and session.lost_until == self._deaths.until(app, session.link, session.epoch):
            session = session._replace(lost_until=0)
        return session if session[_PLAIN:] != _REST else session[:_PLAIN]


def index(key: bytes, old: bytes | None, new: bytes | None, get: Callable[[bytes], bytes | None]) -> Changes:
    """The local rows that a change of a row brings with it; none for rows that are no sessions."""
    del get
    if not key.startswith(keys.SESSIONS):
        return {}
    before = _places(key, old)
    after = _places(key, new)
    changes: dict[bytes, bytes | None] = {}
    for local in before:
        if local not in after:
            changes[local] = None
    for local, partition in after.items():
        if local not in before:
            changes[local] = keys.u32(partition)
    return changes


def on_link(link: str, epoch: int) -> bytes:
    """What the keys of the users who have sessions on a registration begin with."""
    return keys.name(keys.USERS_ON, link.encode()) + keys.u64(epoch)


def _places(key: bytes, stored: bytes | None) -> dict[bytes, int]:
    if stored is None:
        return {}
    user = key[len(keys.SESSIONS) :]
    return {on_link(session.link, session.epoch) + user: session.partition for session in _decode(stored)}
