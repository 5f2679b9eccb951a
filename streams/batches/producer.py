"""The transactional producer of one partition: what a batch writes, in as few and as cheap sends as order allows.

Records of one (topic, partition) are packed into batches of our own (1-2 µs each) instead of going through `send`
(10-15 µs), in their order: a batch is submitted when the one before it was taken, and aiokafka has one in flight a
partition.
"""

# ruff: noqa: SLF001 - aiokafka closes a producer only with a broker that answers
from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import aiokafka.producer.sender
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    ProducerFenced,
)

from streams.batches.packed import PackedBatch, Pair, pack
from topics import limits

#: How long aiokafka waits while the broker ends the producer's previous transaction; shipped as 20 ms.
BACKOFF_S: Final = 0.002
aiokafka.producer.sender.BACKOFF_OVERRIDE = BACKOFF_S

#: What says that a newer producer took over the transactional id.
FENCED: Final = (ProducerFenced, InvalidProducerEpoch)

_BROKER_TRANSACTION_MS: Final = 10_000
_BATCH_BYTES: Final = 768 * 1024
_HERE_BYTES: Final = 1 << 20  # up to this packing takes some 3 ms; a busy loop and a thread take turns for longer
_WAVE_BYTES: Final = 16 << 20  # sent and awaited before more, so that one request stays far below the broker's bound
_AWAY_S: Final = 0.25
_ABORT_S: Final = 1.0
_CLOSE_S: Final = 2.0

#: Records for (topic, partition), in order.
Sends = Mapping[tuple[str, int], Sequence[Pair]]


class Producer(Protocol):
    """What a lane needs of its producer."""

    async def start(self) -> None:
        """Fence whoever used the transactional id before and end what it left open."""

    async def send(
        self, sends: Sends, offsets: Mapping[tuple[str, int], int], group: str
    ) -> dict[tuple[str, int], int]:
        """Begin a transaction and write everything; answers each partition's offset after its last record."""

    async def commit(self) -> None:
        """Make everything sent visible."""

    async def abandon(self) -> None:
        """Abort what is open if the broker still listens, and let go of everything in bounded time."""


@dataclass(slots=True)
class _Sent:
    """The batches of one partition: those that wait, and what became of the others."""

    tp: tuple[str, int]
    waiting: list[PackedBatch]
    futures: list[tuple[asyncio.Future[Any], int]] = field(default_factory=list)


class LaneProducer:
    """aiokafka's producer, one transaction at a time."""

    def __init__(self, kafka: Mapping[str, Any], transactional_id: str) -> None:
        """Prepare it; needs a running event loop.

        Args:
            kafka: how to connect, as aiokafka's keyword arguments.
            transactional_id: who it is; the newest to start is the only one that can commit.
        """
        self._producer = AIOKafkaProducer(
            **kafka,
            transactional_id=transactional_id,
            transaction_timeout_ms=_BROKER_TRANSACTION_MS,
            max_request_size=limits.RECORD_BYTES + 4096,
            request_timeout_ms=_BROKER_TRANSACTION_MS,
            retry_backoff_ms=5,
        )
        self._open = False
        self._connect = self._producer.client._get_conn
        self._producer.client._get_conn = self._connect_patiently

    async def _connect_patiently(self, *args: Any, **kwargs: Any) -> Any:
        """A connection, or None after a pause.

        The short back-off between the steps of a transaction must not become 200 tries a second at a broker that is
        away.
        """
        connection = await self._connect(*args, **kwargs)
        if connection is None:
            await asyncio.sleep(_AWAY_S)
        return connection

    async def start(self) -> None:
        """Fence whoever used the transactional id before and end what it left open."""
        await self._producer.start()

    async def send(
        self, sends: Sends, offsets: Mapping[tuple[str, int], int], group: str
    ) -> dict[tuple[str, int], int]:
        """Begin a transaction and write everything; answers each partition's offset after its last record.

        The first batch of every partition is submitted before anything is awaited, so that the broker learns of all
        partitions in one request; the offsets travel while records do.
        """
        waves = _waves(sends)
        await self._producer.begin_transaction()
        self._open = True
        ends: dict[tuple[str, int], int] = {}
        positions = {TopicPartition(*tp): offset for tp, offset in offsets.items()}
        for wave, size in waves or [({}, 0)]:
            for topic in {topic for topic, _ in wave}:
                await self._producer.partitions_for(topic)
            sent = [_Sent(tp, batches) for tp, batches in (await _packed(wave, size)).items()]
            for one in sent:
                await self._submit(one)
            also = [self._go_on(one) for one in sent if one.waiting]
            if positions:
                also.append(self._producer.send_offsets_to_transaction(positions, group))
                positions = {}
            await asyncio.gather(*also)
            await asyncio.gather(*(future for one in sent for future, _ in one.futures))
            for one in sent:
                told, count = one.futures[-1][0].result(), one.futures[-1][1]
                if told.offset >= 0:  # a retry that the broker knows as a duplicate is answered without its offset
                    ends[one.tp] = told.offset + count
        return ends

    async def _go_on(self, sent: _Sent) -> None:
        """Submit the other batches of a partition, each when the one before was taken."""
        while sent.waiting:
            await self._submit(sent)

    async def _submit(self, sent: _Sent) -> None:
        batch = sent.waiting.pop(0)
        topic, partition = sent.tp
        sent.futures.append((await self._producer.send_batch(batch, topic, partition=partition), batch.record_count()))

    async def commit(self) -> None:
        """Make everything sent visible."""
        await self._producer.commit_transaction()
        self._open = False

    async def abandon(self) -> None:
        """Abort what is open if the broker still listens, and let go of everything in bounded time."""
        if self._open:
            with contextlib.suppress(KafkaError, TimeoutError, AssertionError):
                async with asyncio.timeout(_ABORT_S):
                    await self._producer.abort_transaction()
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_S):
                await self._close()

    async def _close(self) -> None:
        """End aiokafka's tasks: its own `stop` waits for sends that, without a broker, never end."""
        producer, sender = self._producer, self._producer._sender
        producer._closed = True  # else it complains when collected
        sender._find_coordinator = _closed  # it loops for as long as there is no broker
        _fail_all(producer._message_accumulator)
        task = sender.sender_task
        if task is not None and not task.done():
            task.cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), _ABORT_S)
        await producer.client.close()


def _fail_all(accumulator: Any) -> None:
    """What is not sent fails. That nobody waits for room behind it any more is no error to be told of."""
    accumulator.fail_all(ProducerClosed())
    for batch in (*itertools.chain(*accumulator._batches.values()), *accumulator._pending_batches):
        if batch._drain_waiter.done() and not batch._drain_waiter.cancelled():
            batch._drain_waiter.exception()


async def _closed(*_: object) -> int:
    raise KafkaConnectionError("the producer is closed")


async def _packed(wave: Sends, size: int) -> dict[tuple[str, int], list[PackedBatch]]:
    """Every partition's records as batches, packed in a thread unless they are few."""
    return _pack_all(wave) if size <= _HERE_BYTES else await asyncio.to_thread(_pack_all, wave)


def _pack_all(wave: Sends) -> dict[tuple[str, int], list[PackedBatch]]:
    return {tp: pack(records, _BATCH_BYTES) for tp, records in wave.items()}


def _waves(sends: Sends) -> list[tuple[Sends, int]]:
    """The sends in parts, each with its size; order within a partition is kept, records of one never overlap.

    Raises:
        MessageSizeTooLargeError: a record is larger than the broker takes.
    """
    waves: list[tuple[Sends, int]] = []
    wave: dict[tuple[str, int], Sequence[Pair]] = {}
    size = 0
    for tp, records in sends.items():
        if not records:
            continue
        lengths = [len(key or b"") + len(value or b"") for key, value in records]
        if (largest := max(lengths)) > limits.RECORD_BYTES:
            raise MessageSizeTooLargeError(f"a record of {largest} bytes for {tp[0]}")
        grows = sum(lengths)
        if wave and size + grows > _WAVE_BYTES:
            waves.append((wave, size))
            wave, size = {}, 0
        wave[tp] = records
        size += grows
    if wave:
        waves.append((wave, size))
    return waves
