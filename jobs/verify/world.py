"""What is judged: everything the topics hold, and, where given, what Cassandra and Redis hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from topics.catalog import Topic
from topics.codec import Malformed, decode
from topics.messages import Message


class Row(NamedTuple):
    """One record of a topic as the broker holds it.

    Attributes:
        partition: where it stands.
        offset: where it stands in its partition.
        at_ms: when the broker appended it.
        key: its key.
        value: its bytes.
    """

    partition: int
    offset: int
    at_ms: int
    key: bytes | None
    value: bytes | None


class StoredMessage(NamedTuple):
    """One row of the Cassandra table, or one entry of a Redis stream; with its whole content or without."""

    app: str
    group: str
    channel: str
    seq: int
    prev: int
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class World:
    """A run as it can be seen from outside.

    Attributes:
        topics: by name, every committed record from the beginning: in the order of offsets within each partition, the
            partitions in any order. A topic may be missing: then it is empty.
        partitions: how many partitions the roles' topics have.
        links: how many `deliveries` has.
        stored: every row of the Cassandra table; None: not looked at.
        cached: every entry of the Redis streams, each channel's in stream order; None: not looked at, or the cache was
            useless.
        cached_since_ms: since when Redis has lived; what it may have held before is not asked of it.
        planned: faults that were injected on purpose, in words; they are shown beside the verdict.
    """

    topics: Mapping[str, Sequence[Row]]
    partitions: int
    links: int
    stored: Sequence[StoredMessage] | None = None
    cached: Sequence[StoredMessage] | None = None
    cached_since_ms: int = 0
    planned: Sequence[str] = field(default=())

    def rows(self, topic: Topic) -> Iterator[tuple[Row, Any]]:
        """Every record of a topic and what it says, a `Malformed` where it says nothing."""
        for row in self.topics.get(topic.name, ()):
            yield row, read(topic, row)

    def newest_ms(self) -> int:
        """When the last record of all was appended."""
        return max((row.at_ms for rows in self.topics.values() for row in rows), default=0)


def read(topic: Topic, row: Row) -> Any:
    """The record in a row, or the `Malformed` that it is."""
    try:
        return decode(topic.name, row.value)
    except Malformed as malformed:
        return malformed


def place(topic: Topic, row: Row) -> str:
    """Where a record stands, for people."""
    return f"{topic.name}[{row.partition}]@{row.offset}"
