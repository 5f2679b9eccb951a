"""The deciding core of a sinks partition: which messages a batch of `history` brings, and how far it reaches.

It keeps nothing. The lane hands what `Keep` gathers to the stores before it commits the batch, so that `stored` never
claims more than is there; a crash between the two stores a batch again, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streams.rejects import each
from tables.batch import NO_BACKLOG, Backlog, Outputs, Record
from tables.rows import Rows
from topics import catalog
from topics.codec import Malformed, decode, encode
from topics.messages import HistoryLot, Message
from topics.owners import Stored

#: What the sinks role reads.
INPUTS: Final = (catalog.HISTORY,)


class Entry(NamedTuple):
    """One message to store.

    Attributes:
        record: index of the record that brought it, in the batch.
        message: the message.
        encoded: the same as it travels.
    """

    record: int
    message: Message
    encoded: bytes


@dataclass(slots=True)
class Keep(Outputs):
    """What a batch writes to topics, and what it brings for the stores.

    Attributes:
        partition: of `history`.
        entries: the messages to store, in the order of `history`.
    """

    partition: int = 0
    entries: list[Entry] = field(default_factory=list)


class SinksCore:
    """One sinks partition. See `tables.batch.Core`."""

    def __init__(self, rows: Rows, partition: int) -> None:  # noqa: ARG002 -- it keeps none
        self.applying = 0
        self.partition = partition

    def apply(self, records: Sequence[Record], now_ms: int, backlog: Backlog = NO_BACKLOG) -> Keep:  # noqa: ARG002 -- nothing here waits for time or is shed
        """Gather the messages of a batch, and say that everything up to its end is stored."""
        out = Keep(partition=self.partition)
        for self.applying, record in enumerate(records):
            each(out, self.partition, record, lambda record: self._gather(out, record))
        if records:
            last = records[-1]
            stored = Stored(self.partition, last.offset + 1, last.at_ms)
            out.send(catalog.STORED.name, self.partition, str(self.partition).encode(), encode(stored))
        return out

    def due_ms(self) -> int | None:
        """Nothing here waits for time."""
        return None

    def _gather(self, out: Keep, record: Record) -> None:
        lot: HistoryLot = decode(record.topic, record.value)
        if lot.source != self.partition:
            raise Malformed("wrong_partition", f"source {lot.source} on partition {self.partition}")
        out.entries.extend(Entry(self.applying, message, encode(message)) for message in lot.entries)
