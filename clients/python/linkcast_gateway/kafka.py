"""The few things a link needs of Kafka's clients, beside what they do themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from linkcast_gateway import wire

log = logging.getLogger(__name__)

READ_MS: Final = 500
_LINGER_MS: Final = 2


def producer_of(kafka: str, client_id: str) -> AIOKafkaProducer:
    """A producer as the contract wants it: order kept, nothing doubled. Its hash of keys is the contract's."""
    return AIOKafkaProducer(
        bootstrap_servers=kafka, acks="all", enable_idempotence=True, linger_ms=_LINGER_MS, client_id=client_id
    )


def consumer_of(kafka: str, client_id: str) -> AIOKafkaConsumer:
    """A consumer as the contract wants it: no group, no offsets kept, nothing that never happened."""
    return AIOKafkaConsumer(
        bootstrap_servers=kafka,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=READ_MS,
        client_id=client_id,
    )


@contextlib.asynccontextmanager
async def started(client: AIOKafkaProducer | AIOKafkaConsumer) -> AsyncIterator[None]:
    """Start a client; stop it also when its start fails."""
    try:
        await client.start()
        yield
    finally:
        await _stop(client)


async def _stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Stop a client. While a broker is away it may raise the cancellation of a task of its own, and stop half-way."""
    try:
        await client.stop()
    except asyncio.CancelledError:
        if cancelled_here():
            raise
        log.warning("a client of Kafka was stopped half-way")
        await (client.client if isinstance(client, AIOKafkaProducer) else client._client).close()  # noqa: SLF001 - as its own stop does


def cancelled_here() -> bool:
    """Whether it is the running task that is cancelled, and not one that it waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def partition_of(key: str, partitions: int) -> int:
    """Where a record with a key stands."""
    place: int = (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
    return place


def refuse_ended(consumer: AIOKafkaConsumer) -> None:
    """Raises KafkaError when a task that a consumer lives by has ended.

    aiokafka tells nobody: the consumer finds nothing for ever. On uvloop a broker that dies can end them.
    """
    for task in (consumer._fetcher._fetch_task, consumer._client._sync_task):  # noqa: SLF001 - no call tells it
        if task.done():
            raise KafkaError("a task of the consumer has ended")


async def listen(consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
    """Read a partition from its end, and be sure where that is before going on."""
    consumer.assign([partition])
    await consumer.seek_to_end(partition)
    await consumer.position(partition)


async def listen_for_answer(consumer: AIOKafkaConsumer, partitions: int, requester: str) -> None:
    """Read the partition of `answers` that the answer to `requester` will stand on."""
    await listen(consumer, TopicPartition("answers", partition_of(requester, partitions)))


async def answer_to(consumer: AIOKafkaConsumer, requester: str) -> Any:
    """The answer to `requester`."""
    while True:
        for records in (await consumer.getmany(timeout_ms=READ_MS)).values():
            for record in records:
                for entry in wire.answers(record.value):
                    if entry.requester == requester:
                        return entry.answer


def json_of(record: dict[str, Any]) -> bytes:
    """A record's value."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def error_of(sent: asyncio.Future[Any]) -> BaseException | None:
    """Why a record did not arrive; None if it did, or nobody will know."""
    return None if sent.cancelled() else sent.exception()


def log_failure(sent: asyncio.Future[Any]) -> None:
    """Tell of a record that did not arrive; its sender hears by the answer that does not come."""
    if (error := error_of(sent)) is not None:
        log.warning("a record was not sent: %s", error)
