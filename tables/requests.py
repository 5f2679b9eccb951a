"""Invites and applications of a group: open until they are answered, taken back, or their time is over.

An ended one is known for REQUEST_ENDED_MS, so that the same answer given twice is no other one. Nothing is loaded but
what is asked for.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec

from tables import keys
from tables.parts import PartRows
from tables.rows import Rows
from topics.events import End

RequestKind = Literal["invite", "application"]

_PREFIX: Final[dict[RequestKind, bytes]] = {"invite": b"i", "application": b"a"}


class Request(msgspec.Struct, array_like=True, frozen=True):
    """An invite or application.

    Attributes:
        user: who is to become a member.
        by: who invited, or applied; None: the app's back end did.
        at: since when it is there.
        expires_at: up to when it may be accepted.
        text: for whoever answers.
        end: how it ended; None: it is open.
        ended_at: when.
    """

    user: str
    by: str | None
    at: int
    expires_at: int
    text: str = ""
    end: End | None = None
    ended_at: int = 0

    def open(self, now_ms: int) -> bool:
        """Whether it may be answered."""
        return self.end is None and now_ms < self.expires_at


class Named(NamedTuple):
    """A request under its id."""

    id: str
    request: Request


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Request).decode


class Requests:
    """The invites and applications of one group's life."""

    def __init__(self, rows: Rows, group: bytes, first: int) -> None:
        self._rows = PartRows(rows, keys.REQUEST, group, first)
        self._open = PartRows(rows, keys.REQUEST_OF, group, first)

    def __len__(self) -> int:
        """How many have not ended."""
        return len(self._open)

    def get(self, kind: RequestKind, name: str) -> Request | None:
        """The one of this id; None if there is none, or it ended long ago."""
        stored = self._rows.get(_PREFIX[kind] + name.encode())
        return _decode(stored) if stored is not None else None

    def of_user(self, kind: RequestKind, user: str) -> Named | None:
        """The one of a user that has not ended."""
        if (name := self._open.get(_PREFIX[kind] + user.encode())) is None:
            return None
        request = self.get(kind, name.decode())
        return Named(name.decode(), request) if request is not None else None

    def page(self, kind: RequestKind, count: int, now_ms: int, after: str = "") -> list[Named]:
        """Up to `count` open ones, by their users' names, after that name."""
        found: list[Named] = []
        prefix = _PREFIX[kind]
        for _, name in self._open.scan(prefix, prefix + after.encode() if after else b""):
            request = self.get(kind, name.decode())
            if request is not None and request.open(now_ms):
                found.append(Named(name.decode(), request))
            if len(found) == count:
                break
        return found

    def add(self, kind: RequestKind, name: str, request: Request) -> None:
        """A new one is open."""
        self._rows.put(_PREFIX[kind] + name.encode(), _encode(request))
        self._open.put(_PREFIX[kind] + request.user.encode(), name.encode())

    def end(self, kind: RequestKind, name: str, request: Request, end: End, at: int) -> None:
        """It ended."""
        ended = msgspec.structs.replace(request, end=end, ended_at=at)
        self._rows.put(_PREFIX[kind] + name.encode(), _encode(ended))
        self._open.delete(_PREFIX[kind] + request.user.encode())

    def forget(self, kind: RequestKind, name: str) -> None:
        """It ended long ago."""
        self._rows.delete(_PREFIX[kind] + name.encode())
