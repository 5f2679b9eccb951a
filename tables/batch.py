"""A batch and what follows from it: all that a deciding core sees of the world outside.

The lane gathers records of one partition into a batch, hands it to the partition's core, and commits what the core asks
for: outputs, changed rows and input offsets, all of them or nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from tables.rows import Rows


class Record(Struct, frozen=True, gc=False):
    """One record of an input topic.

    Attributes:
        topic: the topic's name.
        offset: where it stands in its partition.
        at_ms: when the broker appended it.
        key: its key as it came, or None.
        value: its bytes, not yet decoded.
        poison: why it must not be applied (its handler raised, the batch was begun anew); None as a rule.
    """

    topic: str
    offset: int
    at_ms: int
    key: bytes | None
    value: bytes
    poison: str | None = None


@dataclass(slots=True)
class Outputs:
    """What a batch writes to other topics: (topic, partition) -> (key, value) in the order of writing.

    Attributes:
        records: what to write.
        rejected: how many bad records went to the reject topic: too high a share of them stops the worker.
        counts: what the batch did, for whoever watches: added up over the batches that committed.
        gauges: how things stand after it.
    """

    records: dict[tuple[str, int], list[tuple[bytes | None, bytes]]] = field(default_factory=dict)
    rejected: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    gauges: dict[str, int] = field(default_factory=dict)

    def size(self) -> int:
        """Bytes of all that it writes to topics, without keys and rows."""
        return sum([len(value) for records in self.records.values() for _, value in records])

    def send(self, topic: str, partition: int, key: bytes | None, value: bytes) -> None:
        """Write one record with this batch."""
        self.records.setdefault((topic, partition), []).append((key, value))


class Backlog(NamedTuple):
    """What waited when a batch was taken, itself included, in the topic of the partition that is furthest behind.

    Attributes:
        late_ms: how much older the oldest of it is than the newest.
        records: how many records waited.
    """

    late_ms: int = 0
    records: int = 0


NO_BACKLOG: Final = Backlog()


class Core(Protocol):
    """The deciding half of one partition of one role: synchronous and deterministic.

    It reads and writes rows through the `Rows` it was made with. When a handler raises, the lane throws the core away,
    makes a new one from the committed rows and begins the batch anew with the offending record marked `poison`, so a
    core may raise at any point, but only while it is inside the record that `applying` names.
    """

    @property
    def applying(self) -> int:
        """Index in the batch of the record being applied."""

    def apply(self, records: Sequence[Record], now_ms: int, backlog: Backlog = NO_BACKLOG) -> Outputs:
        """Apply a batch; `records` is empty for a tick. Dirty rows are in `Rows` when it returns.

        Args:
            records: the batch, in the order to apply; each is decoded, checked, applied or rejected.
            now_ms: the partition's clock: the newest append time seen plus the time passed since; never goes back.
            backlog: what waited when it was taken.
        """

    def due_ms(self) -> int | None:
        """When, on the partition's clock, a tick is wanted; None if never."""


#: Makes the core of a partition from its rows. It may read rows; it is called again after each recovery.
MakeCore = Callable[[Rows, int], Core]
