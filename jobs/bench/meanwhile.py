"""What goes on beside a measurement for as long as it lasts: a reader at the ends of topics, a task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from jobs.bench.lab import Trial

_FETCH_BYTES: Final = 8 << 20


@contextlib.asynccontextmanager
async def reader(trial: Trial, tps: Sequence[TopicPartition]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of what is committed to these partitions from now on."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=trial.settings.kafka_bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_bytes=4 * _FETCH_BYTES,
    )
    await consumer.start()
    try:
        consumer.assign(tps)
        for tp, end in (await consumer.end_offsets(tps)).items():
            consumer.seek(tp, end)
        yield consumer
    finally:
        await consumer.stop()


@contextlib.asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that goes on until this is left."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
