"""The links: which are registered, under which epoch, with which partition of `deliveries`, and which fell silent.

The epoch of a registration is the offset of its record, so epochs are ordered without a clock. Silence is judged by the
append time of `links` alone, where the owner itself writes a record a second: time passes when links are silent, and
stands still when the broker is away. A gap between two records counts at most LINK_GAP_MS, so that an outage of the
broker kills no link; and a new owner gives each a full time-out.
"""

from __future__ import annotations

import msgspec

from tables import keys
from tables.rows import Rows
from topics import limits


class Link(msgspec.Struct):
    """One living registration.

    Attributes:
        link: the link's id.
        epoch: the offset of its record.
        partition: its partition of `deliveries`.
        address: where clients reach the gateway.
        region: where it stands.
        sessions: connections it held at its last beat; not stored.
        heard_ms: when it was last heard, in time that passed on `links`; not stored.
    """

    link: str
    epoch: int
    partition: int
    address: str
    region: str
    sessions: int = 0
    heard_ms: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Link).decode


class Links:
    """Living registrations, `most` at once: as many as `deliveries` has partitions."""

    def __init__(self, rows: Rows, most: int) -> None:
        self.most = most
        self._rows = rows
        self._passed_ms = 0
        self._last_at: int | None = None
        self.living: dict[str, Link] = {}
        for _, value in rows.scan(keys.LINK):
            link = _decode(value)
            link.heard_ms = link.sessions = 0
            self.living[link.link] = link

    def pass_time(self, at_ms: int) -> None:
        """A record of `links` was appended at `at_ms`."""
        if self._last_at is not None:
            self._passed_ms += min(max(0, at_ms - self._last_at), limits.LINK_GAP_MS)
        self._last_at = max(at_ms, self._last_at or 0)

    def register(self, link: str, epoch: int, address: str, region: str) -> Link | None:
        """A new registration, on a partition no living one has; None if all are taken. End the old one first."""
        taken = {other.partition for other in self.living.values()}
        free = next((p for p in range(self.most) if p not in taken), None)
        if free is None:
            return None
        registered = Link(link, epoch, free, address, region, heard_ms=self._passed_ms)
        self.living[link] = registered
        self._rows.put(keys.LINK + link.encode(), _encode(registered))
        return registered

    def beat(self, link: str, epoch: int, sessions: int) -> None:
        """A link lives; a beat of an older registration changes nothing."""
        if (known := self.living.get(link)) is not None and known.epoch == epoch:
            known.heard_ms, known.sessions = self._passed_ms, sessions

    def end(self, link: str, epoch: int) -> Link | None:
        """The registration is dead; returns it, or None if it is not the living one."""
        known = self.living.get(link)
        if known is None or known.epoch > epoch:
            return None
        del self.living[link]
        self._rows.delete(keys.LINK + link.encode())
        return known

    def silent_ms(self, link: Link) -> int:
        """For how long the link was not heard."""
        return self._passed_ms - link.heard_ms

    def silent(self) -> list[Link]:
        """Those not heard for longer than LINK_TIMEOUT_MS."""
        return [link for link in self.living.values() if self.silent_ms(link) > limits.LINK_TIMEOUT_MS]
