"""The deciding core of a partition of the final state: which rows a batch changes, and how far it reaches.

It keeps nothing. The lane hands what `Settle` gathers to Cassandra before it commits the batch, so that `stored` never
claims more than is there; a crash between the two writes a batch again, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from streams.rejects import each
from streams.sinks.final import changes
from streams.sinks.final.changes import Change, Ended
from tables.batch import NO_BACKLOG, Backlog, Outputs, Record
from tables.rows import Rows
from topics import catalog
from topics.codec import Malformed, decode, encode
from topics.events import FlipLot, RelationEvent
from topics.keys import key_of, partition_of
from topics.owners import StateStored

#: What the final state is made from.
INPUTS: Final = (catalog.RELATION_EVENTS, catalog.CHANNEL_MEMBERS)


@dataclass(slots=True)
class Settle(Outputs):
    """What a batch writes to topics, and what it changes in the final state.

    Attributes:
        partition: which.
        changes: rows written and removed, in any order: their versions say which is newer.
        sources: for each change, the index of the record that brought it.
        ended: whole partitions that are to be emptied after that.
        upto: rows that say up to which version all of a group is there; written last.
        versions: the newest version of each group named.
    """

    partition: int = 0
    changes: list[Change] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    upto: list[Change] = field(default_factory=list)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)


class FinalCore:
    """One partition of the final state. See `tables.batch.Core`."""

    def __init__(self, rows: Rows, partition: int, partitions: int) -> None:  # noqa: ARG002 -- it keeps none
        self.applying = 0
        self.partition = partition
        self.partitions = partitions

    def apply(self, records: Sequence[Record], now_ms: int, backlog: Backlog = NO_BACKLOG) -> Settle:  # noqa: ARG002 -- nothing here waits for time or is shed
        """Gather what a batch changes, and say that everything up to its end is stored."""
        out = Settle(partition=self.partition)
        for self.applying, record in enumerate(records):
            each(out, self.partition, record, lambda record: self._gather(out, record))
        out.upto += [changes.of_version(app, group, version) for (app, group), version in out.versions.items()]
        newest = {record.topic: record for record in records}
        for topic, last in newest.items():
            stored = StateStored(topic, self.partition, last.offset + 1, last.at_ms)
            key = f"{topic}/{self.partition}".encode()
            out.send(catalog.STORED.name, self.partition, key, encode(stored))
        out.counts["final_changes"] += len(out.changes) + len(out.upto)
        return out

    def due_ms(self) -> int | None:
        """Nothing here waits for time."""
        return None

    def _gather(self, out: Settle, record: Record) -> None:
        decoded = decode(record.topic, record.value)
        if record.topic == catalog.CHANNEL_MEMBERS.name:
            self._flips(out, decoded)
        else:
            self._event(out, decoded, record.value)
        out.sources += [self.applying] * (len(out.changes) - len(out.sources))

    def _event(self, out: Settle, event: RelationEvent, encoded: bytes) -> None:
        if (right := partition_of(key_of(event.app, event.group), self.partitions)) != self.partition:
            raise Malformed("wrong_partition", f"{event.app}:{event.group} belongs to partition {right}")
        out.changes += changes.of_event(event, encoded)
        if (ended := changes.ended_by(event)) is not None:
            out.ended.append(ended)
        known = out.versions.get((event.app, event.group), 0)
        out.versions[event.app, event.group] = max(known, event.version)

    def _flips(self, out: Settle, lot: FlipLot) -> None:
        if lot.source != self.partition:
            raise Malformed("wrong_partition", f"source {lot.source} on partition {self.partition}")
        for flips in lot.entries:
            out.changes += changes.of_flips(flips)
