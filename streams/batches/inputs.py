"""The input topics of one partition as one: merged by append time, bounded, cut into batches.

A record is taken when every other topic of the partition has one buffered or is at its end, so a message does not
overtake the relation that made its group. The end is a position compared with the last stable offset: what a log ends
in besides records (commit markers, aborted transactions) holds nobody up. Each topic has its own share of the bounds,
so one that waits for room always has records to take, and one that has none always has room: the merge cannot lock up.

A large record (`limits.LARGE_RECORD_BYTES`) of one key is as much work as a thousand others: a batch takes one at most.
Those of other keys that came later pass the large ones that wait behind it, so a change of a million members in lots of
10,000 holds up nobody but its own group. Order is kept for each key and within each topic. What has no key is of many
groups, or of all: nothing passes it, so a batch takes as much of it as of anything.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Protocol

from tables.batch import NO_BACKLOG, Backlog, Record
from topics import limits


class Raw(Protocol):
    """A record as the consumer hands it over."""

    @property
    def offset(self) -> int:
        """Where it stands in its partition."""

    @property
    def timestamp(self) -> int:
        """When the broker appended it, in milliseconds."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its value."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch brought of one topic's partition.

    Attributes:
        opening: which opening of the lane asked for it; an older one's is dropped.
        records: in order; empty when the fetch only moved the position or found the end.
        since: the position before, by which a lost lot is noticed.
        position: the offset to fetch next.
        end: the last stable offset at that time.
    """

    opening: int
    records: Sequence[Raw]
    since: int
    position: int
    end: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to apply together, the offsets that are consumed with them, and what waited when they were taken."""

    records: list[Record]
    offsets: Mapping[str, int]
    backlog: Backlog = NO_BACKLOG


@dataclass(slots=True)
class _Input:
    topic: str
    patient: bool = False
    queue: deque[Raw] = field(default_factory=deque)
    size: int = 0
    large: int = 0
    position: int = 0
    end: int | None = None

    @property
    def is_all(self) -> bool:
        """Whether there is nothing of it beyond what is buffered."""
        return self.end is not None and self.position >= self.end

    @property
    def blocks(self) -> bool:
        """Whether it may still hold a record older than the others' heads."""
        return not self.queue and not self.is_all


def _size(raw: Raw) -> int:
    return len(raw.key or b"") + len(raw.value or b"")


def _is_large(raw: Raw, size: int, large_bytes: int) -> bool:
    return size >= large_bytes and raw.key is not None


@dataclass(slots=True)
class _Taking:
    """A batch as it grows."""

    max_records: int
    max_bytes: int
    large_bytes: int
    records: list[Record] = field(default_factory=list)
    touched: dict[str, int] = field(default_factory=dict)
    size: int = 0
    full: bool = False
    large: _Input | None = None

    def take(self, one: _Input) -> bool:
        """Take a topic's head if it fits; whether more of the topic may follow: none does behind a large one."""
        raw = one.queue[0]
        size = _size(raw)
        large = _is_large(raw, size, self.large_bytes)
        bounded = len(self.records) >= self.max_records or self.size + size > self.max_bytes
        if self.records and (bounded or (large and self.large is not None)):
            self.full = True
            return False
        one.queue.popleft()
        one.size -= size
        self.size += size
        self.records.append(Record(one.topic, raw.offset, raw.timestamp, raw.key, raw.value or b""))
        self.touched[one.topic] = raw.offset + 1
        if large:
            one.large -= 1
            self.large = one
        return not large


class HoleError(Exception):
    """What was fetched does not follow what was fetched before."""


class Inputs:
    """Merges the topics of a partition; equal append times keep the order in which the topics are named."""

    def __init__(
        self,
        offsets: Mapping[str, int],
        large_bytes: int = limits.LARGE_RECORD_BYTES,
        patient: Container[str] = (),
    ) -> None:
        """Start empty.

        Args:
            offsets: the topics, in the order that breaks ties, and where each is read from.
            large_bytes: a record of so many is a large one, if it has a key.
            patient: topics whose records may wait for others.
        """
        self._large_bytes = large_bytes
        self._inputs = {topic: _Input(topic, topic in patient, position=offset) for topic, offset in offsets.items()}
        self._records_share = limits.QUEUE_RECORDS // len(self._inputs)
        self._bytes_share = limits.QUEUE_BYTES // len(self._inputs)

    def offer(self, topic: str, fetched: Fetched) -> None:
        """Buffer what was fetched of `topic`.

        Raises:
            HoleError: something before it never arrived.
        """
        one = self._inputs[topic]
        if fetched.since != one.position:
            raise HoleError(f"{topic}: read up to {one.position}, then from {fetched.since}")
        one.queue.extend(fetched.records)
        sizes = [_size(raw) for raw in fetched.records]
        one.size += sum(sizes)
        one.large += sum(map(_is_large, fetched.records, sizes, repeat(self._large_bytes)))
        one.position, one.end = fetched.position, fetched.end

    def has_room(self, topic: str) -> bool:
        """Whether `topic` may be fetched: its share is at most half used, so that fetches come in useful sizes."""
        one = self._inputs[topic]
        return len(one.queue) <= self._records_share // 2 and one.size <= self._bytes_share // 2

    @property
    def ready(self) -> bool:
        """Whether a record can be taken."""
        inputs = self._inputs.values()
        return any(one.queue for one in inputs) and not any(one.blocks for one in inputs)

    def plenty(self, batch_records: int, batch_bytes: int) -> bool:
        """Whether half a batch of so many records or bytes waits."""
        inputs = self._inputs.values()
        records, size = sum([len(one.queue) for one in inputs]), sum([one.size for one in inputs])
        return records >= max(1, batch_records // 2) or size >= batch_bytes // 2

    @property
    def large(self) -> bool:
        """Whether a large record waits."""
        return any(one.large for one in self._inputs.values())

    @property
    def idle(self) -> bool:
        """Whether every topic is at its end with nothing buffered, but for what may wait."""
        return not any(one.queue or one.blocks for one in self._inputs.values() if not one.patient)

    @property
    def patient(self) -> bool:
        """Whether nothing waits but what may."""
        return not any(one.queue for one in self._inputs.values() if not one.patient)

    def lag(self) -> dict[str, int]:
        """Offsets between what was taken and the end, by topic."""
        return {one.topic: self._behind(one) for one in self._inputs.values()}

    def oldest_ms(self) -> int | None:
        """When the oldest buffered record was appended; None if nothing is buffered."""
        return min((one.queue[0].timestamp for one in self._inputs.values() if one.queue), default=None)

    @staticmethod
    def _behind(one: _Input) -> int:
        taken = one.queue[0].offset if one.queue else one.position
        return max(0, (one.end or 0) - taken)

    @property
    def backlog(self) -> Backlog:
        """What waits in the topic that is furthest behind. What is not fetched yet is taken to be as dense as what is.

        Judged by append times alone, so a machine's wrong clock can't make it look late.
        """
        return max((self._backlog(one) for one in self._inputs.values() if one.queue), default=NO_BACKLOG)

    @classmethod
    def _backlog(cls, one: _Input) -> Backlog:
        spans_ms = one.queue[-1].timestamp - one.queue[0].timestamp
        waits = cls._behind(one)
        return Backlog(spans_ms * waits // len(one.queue), waits)

    def take(self, max_records: int = limits.BATCH_RECORDS, max_bytes: int = limits.BATCH_BYTES) -> Batch:
        """The next records in order, as many as fit the bounds (and at least one if any can be taken).

        Behind a large one only those that may pass what waits of its topic.
        """
        backlog = self.backlog  # before: a batch may well take all that is fetched, and leave the rest in Kafka
        taking = _Taking(max_records, max_bytes, self._large_bytes)
        while taking.large is None and not taking.full and self.ready:
            one, until = self._earliest()
            while one.queue and one.queue[0].timestamp <= until and taking.take(one) and taking.large is None:
                pass
        if taking.large is not None:
            self._pass(taking, taking.large)
        return Batch(taking.records, self._offsets(taking.touched), backlog)

    def _pass(self, taking: _Taking, passed: _Input) -> None:
        """Take of the other topics, in order, until one has the key of an earlier record that is passed, or none."""
        others = [one for one in self._inputs.values() if one is not passed]
        waiting = iter(passed.queue)
        behind = next(waiting, None)
        keys: set[bytes | None] = set()
        while not any(one.blocks for one in others) and any(one.queue for one in others):
            first = min((one for one in others if one.queue), key=lambda one: one.queue[0].timestamp)
            raw = first.queue[0]
            while behind is not None and behind.timestamp <= raw.timestamp:
                keys.add(behind.key)
                behind = next(waiting, None)
            known = behind is not None or passed.is_all
            if not known or None in keys or raw.key in keys or not taking.take(first):
                return

    def _earliest(self) -> tuple[_Input, int]:
        """The topic whose head is the oldest, and until which append time its records come before the others'."""
        heads = sorted(
            (one.queue[0].timestamp, place, one) for place, one in enumerate(self._inputs.values()) if one.queue
        )
        _, place, first = heads[0]
        if len(heads) == 1:
            return first, sys.maxsize
        until, other, _ = heads[1]
        return first, until if place < other else until - 1

    def _offsets(self, touched: Mapping[str, int]) -> dict[str, int]:
        """Where each touched topic is to be read from next: past the markers if nothing of it is left here."""
        inputs = self._inputs
        return {topic: inputs[topic].position if not inputs[topic].queue else after for topic, after in touched.items()}
