"""Registrations that died of late: their sessions are lost, and end when their time to be resumed is over.

A death costs one row at once, whoever was there. Who was, is found later and in steps, by the local rows under
`keys.USERS_ON`: first which apps have sessions there, for each app says how long they may be resumed; then, when that
is over, its users.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

import msgspec

from tables import keys
from tables.policy import Policies
from tables.rows import Rows

_APPS_A_STEP = 200


class Gone(NamedTuple):
    """A user whose sessions on a dead registration end."""

    app: str
    user: str
    link: str
    epoch: int


class _Share(NamedTuple):
    """The sessions of one app on a dead registration: when they end."""

    at: int
    epoch: int
    app: str


class _Death(msgspec.Struct, array_like=True):
    """One row.

    Attributes:
        link: the link.
        after: registrations up to this one are not of this death.
        epoch: those up to this one are.
        at: when it was heard of.
        looked: up to where its apps were looked for; None: all were found.
        shares: what is still to end, the next at the end.
    """

    link: str
    after: int
    epoch: int
    at: int
    looked: bytes | None
    shares: list[_Share]

    @property
    def key(self) -> bytes:
        """Its row's."""
        return keys.name(keys.DEATH, self.link.encode()) + keys.u64(self.epoch)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Death).decode


class Deaths:
    """The deaths whose sessions did not all end yet."""

    def __init__(self, rows: Rows, policies: Policies) -> None:
        self._rows = rows
        self._policies = policies
        self._of: dict[str, list[_Death]] = {}
        self._from = b""  # no user of the share that ends now is before it
        for _, stored in rows.scan(keys.DEATH):
            death = _decode(stored)
            self._of.setdefault(death.link, []).append(death)

    def add(self, link: str, after: int, epoch: int, now_ms: int) -> None:
        """Registrations of a link above `after`, up to `epoch`, died."""
        death = _Death(link, after, epoch, now_ms, b"", [])
        self._of.setdefault(link, []).append(death)
        self._rows.put(death.key, _encode(death))

    def until(self, app: str, link: str, epoch: int) -> int | None:
        """Until when sessions of an app that a death took may be resumed; None: there is none such."""
        for death in self._of.get(link, ()):
            if death.after < epoch <= death.epoch:
                for share in death.shares:
                    if share.epoch == epoch and share.app == app:
                        return share.at
                return death.at + self._policies.of(app).resume_ms if death.looked is not None else None
        return None

    def due_ms(self) -> int | None:
        """When the next step is to be made; 0: now; None: there is nothing to do."""
        dues = [
            0 if death.looked is not None else death.shares[-1].at for deaths in self._of.values() for death in deaths
        ]
        return min(dues, default=None)

    def step(self, now_ms: int, count: int) -> list[Gone]:
        """Look for apps, or give up to `count` users whose sessions on a dead registration end now.

        Each is given until its local row is gone.
        """
        for deaths in self._of.values():
            for death in deaths:
                if death.looked is not None:
                    self._look(death)
                    return []
                if death.shares[-1].at <= now_ms:
                    return self._users(death, count)
        return []

    def _look(self, death: _Death) -> None:
        """Find the next apps that have sessions there: one look-up each, however many users they have."""
        prefix = keys.name(keys.USERS_ON, death.link.encode())
        start = death.looked or prefix + keys.u64(death.after + 1)
        for _ in range(_APPS_A_STEP):
            key = next((key for key, _ in self._rows.scan(prefix, start)), None)
            epoch = 0 if key is None else int.from_bytes(key[len(prefix) :][:8], "big")
            if key is None or epoch > death.epoch:
                death.looked = None
                death.shares.sort(reverse=True)
                self._settle(death)
                return
            app = key[len(prefix) + 8 :].partition(b":")[0]
            death.shares.append(_Share(death.at + self._policies.of(app.decode()).resume_ms, epoch, app.decode()))
            start = prefix + keys.u64(epoch) + app + b";"  # what comes after all of `app:`
        death.looked = start
        self._rows.put(death.key, _encode(death))

    def _users(self, death: _Death, count: int) -> list[Gone]:
        _, epoch, app = death.shares[-1]
        registration = keys.name(keys.USERS_ON, death.link.encode()) + keys.u64(epoch)
        prefix = registration + app.encode() + b":"
        start = self._from if self._from.startswith(prefix) else prefix
        found = [key for key, _ in islice(self._rows.scan(prefix, start), count)]
        if len(found) < count:
            self._from = b""
            death.shares.pop()
            self._settle(death)
        else:
            self._from = found[-1]
        return [Gone(app, key[len(prefix) :].decode(), death.link, epoch) for key in found]

    def _settle(self, death: _Death) -> None:
        """Write what is left of it."""
        if death.shares:
            self._rows.put(death.key, _encode(death))
            return
        self._rows.delete(death.key)
        self._of[death.link].remove(death)
        if not self._of[death.link]:
            del self._of[death.link]
