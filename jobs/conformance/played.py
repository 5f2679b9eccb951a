"""The pipeline, played on a real broker: writes as workers do, in transactions, and reads what gateways write.

Several links may be tested at once: each record is handed to the one it belongs to.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from topics import catalog

#: What gateways write.
READ: Final = (
    catalog.LINKS.name,
    catalog.SESSIONS.name,
    catalog.MESSAGES.name,
    catalog.RELATIONS.name,
    catalog.RESYNC.name,
    catalog.LINK_ACKS.name,
)

_TRANSACTION_MS: Final = 60_000  # a machine that stands still meanwhile fences nobody
_RETRY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Written:
    """A record that a gateway wrote.

    Attributes:
        topic: where.
        partition: on which partition.
        offset: where there.
        at_ms: when the broker appended it.
        key: its key.
        value: its value, decoded; None where it is no JSON object.
        raw: its bytes.
    """

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: bytes | None
    value: dict[str, Any] | None
    raw: bytes

    @property
    def kind(self) -> str:
        """Its `t`."""
        return str((self.value or {}).get("t"))


@dataclass(slots=True)
class Inbox:
    """The records of one link, in the order in which they were read."""

    link: str
    app: str
    records: list[Written] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def owns(self, record: Written) -> bool:
        """Whether the record names this link, or its app."""
        value = record.value or {}
        reply = value.get("reply")
        named = value.get("link"), reply.get("link") if isinstance(reply, dict) else None
        return self.link in named or value.get("app") == self.app

    def add(self, record: Written) -> None:
        """One more."""
        self.records.append(record)
        self.changed.set()


class Played:
    """The pipeline on a broker.

    Args:
        kafka: its brokers.
        partitions: how many the pipeline's topics have.
        links: how many `deliveries` has.
    """

    def __init__(self, kafka: str, partitions: int, links: int) -> None:
        self.kafka = kafka
        self.partitions = partitions
        self._numbers = itertools.cycle(range(links))
        self._inboxes: list[Inbox] = []
        self._positions: dict[TopicPartition, int] = {}
        self._turn = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._id = f"conformance-{uuid.uuid4().hex[:12]}"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connected, for as long as this lasts. May be opened again: it goes on where it stood."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka,
            transactional_id=self._id,
            transaction_timeout_ms=_TRANSACTION_MS,
            acks="all",
        )
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, group_id=None, enable_auto_commit=False)
        try:
            await producer.start()
            await consumer.start()
            await self._assign(consumer)
            self._producer = producer
            reader = asyncio.create_task(self._read(consumer))
            try:
                yield
            finally:
                reader.cancel()
                await asyncio.wait([reader])
        finally:
            self._producer = None
            await consumer.stop()
            await producer.stop()

    @contextlib.contextmanager
    def inbox(self, link: str, app: str) -> Iterator[Inbox]:
        """What this link writes, for as long as this lasts."""
        inbox = Inbox(link, app)
        self._inboxes.append(inbox)
        try:
            yield inbox
        finally:
            self._inboxes.remove(inbox)

    def next_partition(self) -> int:
        """A partition of `deliveries` for a link that begins; given to another one long after."""
        return next(self._numbers)

    async def write(self, topic: str, partition: int, *values: dict[str, Any], commit: bool = True) -> int:
        """Write records in one transaction, or in one that is aborted in the end; tells when the last was appended."""
        async with self._turn:
            if self._producer is None:
                raise RuntimeError("not connected")
            await self._producer.begin_transaction()
            at_ms = 0
            for value in values:  # awaited: what is aborted stands in the log as well
                sent = await self._producer.send_and_wait(topic, msgspec.json.encode(value), partition=partition)
                at_ms = sent.timestamp
            if commit:
                await self._producer.commit_transaction()
            else:
                await self._producer.abort_transaction()
            return at_ms

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """Read every partition that gateways write to, from its end at the first time."""
        there: list[TopicPartition] = []
        for topic in READ:
            count = 1 if topic == catalog.LINKS.name else self.partitions
            there += [TopicPartition(topic, partition) for partition in range(count)]
        consumer.assign(there)
        for partition in there:
            if (position := self._positions.get(partition)) is not None:
                consumer.seek(partition, position)
            else:
                await consumer.seek_to_end(partition)
                self._positions[partition] = await consumer.position(partition)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                found = await consumer.getmany(timeout_ms=500)
            except KafkaError:
                await asyncio.sleep(_RETRY_S)
                continue
            for partition, records in found.items():
                for record in records:
                    self._positions[partition] = record.offset + 1
                    raw = record.value or b""
                    written = Written(
                        record.topic, record.partition, record.offset, record.timestamp, record.key, _object(raw), raw
                    )
                    for inbox in self._inboxes:
                        if inbox.owns(written):
                            inbox.add(written)


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None
