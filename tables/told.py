"""Which audiences a group's links were told of: rows, and the ids that name audiences.

An audience by visibility is named by its places, one of sessions by what they subscribed to. Ids are not used again
while the group lives, whichever kind has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import msgspec

from tables import keys
from tables.rows import Rows
from topics.wire import LinkAddress

if TYPE_CHECKING:
    from tables.outbox import Outlet


class AudienceRow(msgspec.Struct, array_like=True):
    """An audience that some link knows.

    Attributes:
        version: the group's version when a link was last told of a change.
        places: whose rule it is; empty for one of sessions.
        told: the links that know it.
        kind: what the sessions of it subscribed to; empty for one by visibility.
        channel: of which channel.
    """

    version: int
    places: list[str]
    told: list[LinkAddress]
    kind: str = ""
    channel: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AudienceRow).decode


class KnownAudience(Protocol):
    """An audience as links were told of it.

    Attributes:
        id: names it.
        version: the group's version when a link was last told of a change.
        told: the links that know it.
        stored: whether there is a row of it.
    """

    id: int
    version: int
    told: dict[Outlet, None]
    stored: bool


class AudienceIds:
    """Numbers the audiences of a group.

    Attributes:
        next: the id that the next one gets.
    """

    __slots__ = ("next",)

    def __init__(self, next_: int) -> None:
        self.next = next_

    def take(self) -> int:
        """The next id."""
        self.next += 1
        return self.next - 1


class AudienceRows:
    """The rows of the audiences of one life of a group."""

    def __init__(self, rows: Rows, group: bytes, first: int) -> None:
        self._rows = rows
        self._prefix = keys.name(keys.AUDIENCE, group) + keys.u32(first)

    def all(self) -> Iterator[tuple[int, AudienceRow]]:
        """Every one with its id."""
        for key, value in self._rows.scan(self._prefix):
            yield int.from_bytes(key[len(self._prefix) :], "big"), _decode(value)

    def keep(self, one: KnownAudience, places: list[str], kind: str = "", channel: str = "") -> None:
        """Write one as long as any link knows it; see `AudienceRow`."""
        if one.told:
            row = AudienceRow(one.version, places, [outlet.address for outlet in one.told], kind, channel)
            self._rows.put(self._prefix + keys.u32(one.id), _encode(row))
            one.stored = True
        elif one.stored:
            self.delete(one.id)
            one.stored = False

    def delete(self, audience: int) -> None:
        """No link knows it any more."""
        self._rows.delete(self._prefix + keys.u32(audience))
