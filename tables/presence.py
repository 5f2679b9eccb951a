"""How users of a partition were last told to be found, who is told, and whom its own users' sessions watch.

Only users of whom something was ever told, who are watched, or have a status, have a row here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from tables import keys
from tables.rows import Rows
from tables.sessions import Session
from tables.voids import Voids
from topics import limits
from topics.keys import key_of
from topics.presence import State
from topics.wire import LinkAddress


class Known(msgspec.Struct, array_like=True):
    """A user, as those who watch know it.

    Attributes:
        state: as last told.
        shown: the status, as last told.
        version: of what was last told.
        status: the status now.
        closed_until: what changes until then waits for it.
        watchers: how many sessions watch.
    """

    state: State = "offline"
    shown: str = ""
    version: int = 0
    status: str = ""
    closed_until: int = 0
    watchers: int = 0


class Watchers(NamedTuple):
    """The sessions of one link that watch a user."""

    address: LinkAddress
    slots: list[int]


_encode = msgspec.msgpack.Encoder().encode
_decode_known = msgspec.msgpack.Decoder(Known).decode
_decode_slots = msgspec.msgpack.Decoder(tuple[int, list[int]]).decode
_decode_users = msgspec.msgpack.Decoder(list[str]).decode


class Presences:
    """What is known of the users of one partition, and who watches them. Sessions of dead links leave by and by."""

    def __init__(self, rows: Rows, voids: Voids) -> None:
        self._rows = rows
        self._voids = voids

    def of(self, app: str, user: str) -> Known | None:
        """What is known of a user; None: nothing was told of it, nobody watches, and it has no status."""
        stored = self._rows.get(keys.STATE + key_of(app, user))
        return _decode_known(stored) if stored else None

    def put(self, app: str, user: str, known: Known) -> None:
        """This is known of a user from here on."""
        self._rows.set(keys.STATE + key_of(app, user), None if known == Known() else _encode(known))

    def watchers(self, app: str, user: str) -> Iterator[Watchers]:
        """The sessions that watch a user, by link."""
        for key, address, stored in self._links(app, user):
            partition, slots = _decode_slots(stored)
            if self._voids.covers(*address):
                self._rows.delete(key)
                self._count(app, user, -len(slots))
            else:
                yield Watchers(LinkAddress(*address, partition), slots)

    def living(self, app: str, user: str) -> int:
        """How many sessions on living links watch a user. Changes nothing."""
        alive = [stored for _, address, stored in self._links(app, user) if not self._voids.covers(*address)]
        return sum([len(_decode_slots(stored)[1]) for stored in alive])

    def watch(self, app: str, user: str, address: LinkAddress, slot: int) -> bool:
        """A session watches a user from here on; False: too many do already."""
        key = _of_link(app, user, address.link, address.epoch)
        stored = self._rows.get(key)
        slots = _decode_slots(stored)[1] if stored else []
        if slot in slots:
            return True
        if self._watched_by(app, user) >= limits.WATCHERS:
            return False
        self._rows.put(key, _encode((address.partition, [*slots, slot])))
        self._count(app, user, 1)
        return True

    def unwatch(self, app: str, user: str, link: str, epoch: int, slot: int) -> None:
        """A session watches a user no more."""
        key = _of_link(app, user, link, epoch)
        stored = self._rows.get(key)
        if stored is None:
            return
        partition, slots = _decode_slots(stored)
        if slot in slots:
            slots.remove(slot)
            self._rows.set(key, _encode((partition, slots)) if slots else None)
            self._count(app, user, -1)

    def watched(self, app: str, user: str, session: Session) -> list[str]:
        """Whom a session watches, by name."""
        stored = self._rows.get(_of_session(app, user, session)) if session.watched else None
        return _decode_users(stored) if stored else []

    def set_watched(self, app: str, user: str, session: Session, watched: Iterable[str]) -> None:
        """Whom a session watches; the caller keeps the session's count of them."""
        users = sorted(watched)
        self._rows.set(_of_session(app, user, session), _encode(users) if users else None)

    def _watched_by(self, app: str, user: str) -> int:
        """How many sessions watch a user; those of dead links are only counted out where it matters."""
        known = self.of(app, user)
        if known is not None and known.watchers >= limits.WATCHERS:
            return sum(len(watchers.slots) for watchers in self.watchers(app, user))
        return known.watchers if known is not None else 0

    def _count(self, app: str, user: str, more: int) -> None:
        known = self.of(app, user) or Known()
        known.watchers += more
        self.put(app, user, known)

    def _links(self, app: str, user: str) -> Iterator[tuple[bytes, tuple[str, int], bytes]]:
        prefix = keys.name(keys.WATCHERS, key_of(app, user))
        for key, stored in self._rows.scan(prefix):
            link, epoch = key[len(prefix) : -9], key[-8:]
            yield key, (link.decode(), int.from_bytes(epoch, "big")), stored


def state_of(sessions: Iterable[Session]) -> State:
    """How a user with these sessions is to be found."""
    state: State = "offline"
    for session in sessions:
        if not session.background:
            return "online"
        state = "background"
    return state


def _of_link(app: str, user: str, link: str, epoch: int) -> bytes:
    return keys.name(keys.WATCHERS, key_of(app, user), link.encode()) + keys.u64(epoch)


def _of_session(app: str, user: str, session: Session) -> bytes:
    prefix = keys.name(keys.WATCHED, key_of(app, user), session.link.encode())
    return prefix + keys.u64(session.epoch) + keys.u32(session.slot)
