"""The deciding core of a groups partition: each input topic to its flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streams.groups import bindings, changes, cleanup, dispatch, links, relations, unread
from streams.groups.desk import Desk
from streams.rejects import each
from tables.batch import NO_BACKLOG, Backlog, Outputs, Record
from tables.rows import Rows
from topics import catalog
from topics.codec import decode
from topics.messages import Send

#: What the groups role reads.
INPUTS: Final = (
    catalog.RELATIONS,
    catalog.MESSAGES,
    catalog.BINDINGS,
    catalog.LINK_VOIDS,
    catalog.RESYNC,
    catalog.LINK_ACKS,
    catalog.POLICIES,
)

_MEMORY_BYTES: Final = 64 << 20


class GroupsCore:
    """One groups partition. See `tables.batch.Core`."""

    def __init__(
        self,
        rows: Rows,
        partition: int,
        partitions: int,
        links: int,
        memory_bytes: int = _MEMORY_BYTES,
    ) -> None:
        """Begin from the rows.

        Args:
            rows: the partition's.
            partition: which.
            partitions: how many the cluster has.
            links: how many partitions `deliveries` has.
            memory_bytes: about what groups in memory may take; those idle for longest leave it.
        """
        self.applying = 0
        self.desk = Desk(rows, partition, partitions, links, memory_bytes)

    def apply(self, records: Sequence[Record], now_ms: int, backlog: Backlog = NO_BACKLOG) -> Outputs:
        """Apply a batch: every record in order, then what time and clean-ups ask for, then rows and outputs."""
        out = Outputs()
        self.desk.overload.judge(max(now_ms, self.desk.now_ms), backlog)
        for self.applying, record in enumerate(records):
            self.desk.now_ms = max(self.desk.now_ms, record.at_ms)
            self.desk.groups.map_log.hear(self.desk.now_ms)
            each(out, self.desk.partition, record, self._apply_one)
        self.applying = len(records)  # whatever raises from here on is no record's fault
        dispatch.announce_heads(self.desk, now_ms)
        relations.expire(self.desk, now_ms)
        cleanup.step(self.desk)
        changes.tell(self.desk, now_ms)
        unread.tell(self.desk, now_ms)
        self.desk.flush()
        self.desk.drain(out, now_ms, backlog.late_ms)
        return out

    def due_ms(self) -> int | None:
        """At once while a clean-up is under way; else when a quiet channel's head, an invite's end or a hint is due."""
        desk = self.desk
        if desk.chores:
            return 0
        dues = (
            *(desk.quiet.due_ms(), desk.expiries.due_ms(), desk.hints.due_ms()),
            *(desk.unread.due_ms(), desk.unread_status.due_ms()),
        )
        return min([at for at in dues if at is not None], default=None)

    def _apply_one(self, record: Record) -> None:
        decoded = decode(record.topic, record.value)
        match record.topic:
            case catalog.MESSAGES.name if isinstance(decoded, Send):
                dispatch.send(self.desk, decoded)
            case catalog.MESSAGES.name:
                dispatch.signal(self.desk, decoded)
            case catalog.RELATIONS.name:
                relations.command(self.desk, decoded)
            case catalog.BINDINGS.name:
                bindings.lot(self.desk, decoded)
            case catalog.LINK_VOIDS.name:
                bindings.void(self.desk, decoded)
            case catalog.RESYNC.name:
                bindings.resync(self.desk, decoded)
            case catalog.LINK_ACKS.name:
                links.acknowledge(self.desk, decoded)
            case catalog.POLICIES.name:
                self.desk.policies.set(decoded.app, decoded.policy)
