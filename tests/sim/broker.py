"""A broker in memory: logs with append times, transactions whose markers come one by one, fencing, committed offsets.

What it keeps of Kafka is what exactly-once rests on: an open transaction's records hold back everything behind them
for readers of committed records; markers take offsets; a commit decided is not yet a commit seen; a producer that
starts fences the one before it and ends what it left open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

TRANSACTION_TIMEOUT_MS: Final = 10_000

Place = tuple[str, int]  # topic, partition


class FencedError(Exception):
    """A newer producer has this transactional id."""


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction.

    Attributes:
        producer: its transactional id.
        began_ms: when it began.
        open: nothing is decided yet.
        committed: decided, and so.
        places: the logs it wrote to.
        offsets: (group, topic, partition) -> offset, which become committed with it.
        markers: what is still to be told of the decision; None stands for the offsets.
    """

    producer: str
    began_ms: int
    open: bool = True
    committed: bool = False
    places: set[Place] = field(default_factory=set)
    offsets: dict[tuple[str, str, int], int] = field(default_factory=dict)
    markers: list[Place | None] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """One offset of a log: a record, or a marker; `gone` once compacted away."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    transaction: Transaction | None = None
    marker: bool = False
    gone: bool = False


class Log:
    """One partition of one topic."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.open: dict[Transaction, int] = {}  # and its first offset here

    @property
    def stable_end(self) -> int:
        """Below it every outcome is known."""
        return min(self.open.values(), default=len(self.entries))

    def sees(self, entry: Entry) -> bool:
        """Whether a reader of committed records gets this one, which lies below the stable end."""
        return not entry.marker and not entry.gone and (entry.transaction is None or entry.transaction.committed)

    def read(self, offset: int, limit: int = 1 << 30) -> tuple[list[Entry], int]:
        """Up to `limit` records from `offset` on, and the position after them: past markers, at the end."""
        found: list[Entry] = []
        end = self.stable_end
        for entry in self.entries[offset:end]:
            if self.sees(entry):
                if len(found) == limit:
                    return found, entry.offset
                found.append(entry)
        return found, max(offset, end)

    def records(self) -> list[Entry]:
        """All that is committed."""
        return self.read(0)[0]

    def compact(self, upto: int) -> int:
        """Drop records below `upto` that a later committed one there supersedes; returns how many."""
        newest: dict[bytes | None, Entry] = {}
        dropped = 0
        for entry in self.entries[: min(upto, self.stable_end)]:
            if self.sees(entry):
                if (older := newest.get(entry.key)) is not None:
                    older.gone = True
                    dropped += 1
                newest[entry.key] = entry
        return dropped


class Broker:
    """Logs, transactions and groups' offsets."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.committed: dict[tuple[str, str, int], int] = {}
        self.ending: list[Transaction] = []
        self._logs: dict[Place, Log] = {}
        self._epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}

    def log(self, topic: str, partition: int) -> Log:
        """One partition of one topic."""
        if (log := self._logs.get((topic, partition))) is None:
            log = self._logs[topic, partition] = Log()
        return log

    def append(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, within: Transaction | None = None
    ) -> int:
        """Append one record; returns its offset."""
        log = self.log(topic, partition)
        offset = len(log.entries)
        log.entries.append(Entry(offset, self.now_ms(), key, value, within))
        if within is not None:
            log.open.setdefault(within, offset)
            within.places.add((topic, partition))
        return offset

    def start_producer(self, name: str) -> Producer:
        """InitProducerId: fences the old one and ends what it left open, or lets what it decided be told."""
        epoch = self._epochs[name] = self._epochs.get(name, 0) + 1
        if (left := self._open.get(name)) is not None:
            self._decide(left, commit=False)
        self._finish(name)
        return Producer(self, name, epoch)

    def expire(self) -> int:
        """Abort transactions open for too long, and fence their producers; returns how many."""
        late = [one for one in self._open.values() if self.now_ms() - one.began_ms > TRANSACTION_TIMEOUT_MS]
        for one in late:
            self._epochs[one.producer] += 1
            self._decide(one, commit=False)
        return len(late)

    def tell(self, transaction: Transaction, which: int) -> None:
        """One marker of a decided transaction reaches its log."""
        marker = transaction.markers.pop(which)
        if not transaction.markers:
            self.ending.remove(transaction)
        if marker is None:
            if transaction.committed:
                self.committed.update(transaction.offsets)
            return
        log = self.log(*marker)
        del log.open[transaction]
        log.entries.append(Entry(len(log.entries), self.now_ms(), None, None, transaction, marker=True))

    def begin(self, producer: Producer) -> Transaction:
        """A transaction begins, once the producer's last one is told everywhere."""
        self.check(producer)
        self._finish(producer.name)
        begun = self._open[producer.name] = Transaction(producer.name, self.now_ms())
        return begun

    def end(self, producer: Producer, *, commit: bool) -> None:
        """The producer's transaction is decided."""
        self.check(producer)
        self._decide(self._open[producer.name], commit=commit)

    def check(self, producer: Producer) -> None:
        """Is it the newest of its name?

        Raises:
            FencedError: no.
        """
        if self._epochs[producer.name] != producer.epoch:
            raise FencedError(producer.name)

    def _decide(self, transaction: Transaction, *, commit: bool) -> None:
        del self._open[transaction.producer]
        transaction.open, transaction.committed = False, commit
        transaction.markers = [None, *sorted(transaction.places)]
        self.ending.append(transaction)

    def _finish(self, name: str) -> None:
        for transaction in [one for one in self.ending if one.producer == name]:
            while transaction.markers:
                self.tell(transaction, 0)


class Producer:
    """A started transactional producer."""

    def __init__(self, broker: Broker, name: str, epoch: int) -> None:
        self.name = name
        self.epoch = epoch
        self._broker = broker
        self._transaction: Transaction | None = None

    def begin(self) -> None:
        """Begin a transaction."""
        self._transaction = self._broker.begin(self)

    def send(self, place: Place, records: Iterable[tuple[bytes | None, bytes | None]]) -> int:
        """Write records within the transaction; returns the offset after the last."""
        self._broker.check(self)
        offset = -1
        for key, value in records:
            offset = self._broker.append(*place, key, value, self._transaction)
        return offset + 1

    def send_offsets(self, group: str, offsets: dict[Place, int]) -> None:
        """Consumed offsets, committed with the transaction."""
        self._broker.check(self)
        if self._transaction is not None:
            self._transaction.offsets.update({(group, *place): offset for place, offset in offsets.items()})

    def commit(self) -> None:
        """Commit."""
        self._broker.end(self, commit=True)

    def abort(self) -> None:
        """Abort."""
        self._broker.end(self, commit=False)
