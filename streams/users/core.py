"""The deciding core of a users partition: each input topic to its flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streams.rejects import each
from streams.users import memberships, notices, sessions
from streams.users.desk import Desk
from tables.batch import NO_BACKLOG, Backlog, Outputs, Record
from tables.rows import Rows
from topics import catalog
from topics.codec import decode
from topics.sessions import Up

#: What the users role reads.
INPUTS: Final = (catalog.MEMBERSHIPS, catalog.SESSIONS, catalog.LINK_VOIDS, catalog.NOTICES, catalog.POLICIES)


class UsersCore:
    """One users partition. See `tables.batch.Core`."""

    def __init__(self, rows: Rows, partition: int, partitions: int, links: int) -> None:
        self.applying = 0
        self.desk = Desk(rows, partition, partitions, links)

    def apply(self, records: Sequence[Record], now_ms: int, backlog: Backlog = NO_BACKLOG) -> Outputs:  # noqa: ARG002 -- nothing here waits for time or is shed
        """Apply a batch: every record in order, then the bindings and notices it asks for."""
        out = Outputs()
        for self.applying, record in enumerate(records):
            each(out, self.desk.partition, record, self._apply_one)
        self.applying = len(records)  # whatever raises from here on is no record's fault
        self.desk.bindings.drain(out)
        self.desk.told.drain(out)
        return out

    def due_ms(self) -> int | None:
        """Nothing here waits for time."""
        return None

    def _apply_one(self, record: Record) -> None:
        decoded = decode(record.topic, record.value)
        match record.topic:
            case catalog.SESSIONS.name if isinstance(decoded, Up):
                sessions.up(self.desk, decoded)
            case catalog.SESSIONS.name:
                sessions.down(self.desk, decoded)
            case catalog.MEMBERSHIPS.name:
                memberships.lot(self.desk, decoded)
            case catalog.NOTICES.name:
                notices.lot(self.desk, decoded)
            case catalog.LINK_VOIDS.name:
                self.desk.voids.add(decoded.link, decoded.epoch)
            case catalog.POLICIES.name:
                self.desk.policies.set(decoded.app, decoded.policy)
