"""The tray for what a batch has for single sessions: answers, ends, and how others are to be found; by their links."""

from __future__ import annotations

from collections.abc import Mapping

from tables.batch import Outputs
from tables.outbox import cut
from topics import catalog
from topics.codec import encode
from topics.deliveries import NoticeLot, SessionLot
from topics.wire import LinkAddress


class Replies:
    """Entries of one batch, by link."""

    def __init__(self) -> None:
        self._of: dict[LinkAddress, list[bytes]] = {}

    def add(self, to: LinkAddress, entry: bytes) -> None:
        """Append an encoded entry."""
        self._of.setdefault(to, []).append(entry)

    def drain(self, out: Outputs) -> None:
        """Write all of it."""
        put(out, self._of, SessionLot)
        self._of = {}


def put(out: Outputs, entries: Mapping[LinkAddress, list[bytes]], lot: type[SessionLot | NoticeLot]) -> None:
    """Write encoded entries: one lot a link, more where it grows past LOT_BYTES."""
    for address, gathered in entries.items():
        begins = encode(lot(address.link, address.epoch, [])).removesuffix(b"]}")
        for run in cut(gathered):
            out.send(catalog.DELIVERIES.name, address.partition, None, begins + b",".join(run) + b"]}")
