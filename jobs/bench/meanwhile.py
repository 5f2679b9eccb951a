"""What goes on beside a measurement for as long as it lasts: a reader at the ends of topics, a task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from jobs.bench.lab import Trial
from jobs.bench.reading import reading


@contextlib.asynccontextmanager
async def reader(trial: Trial, tps: Sequence[TopicPartition]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of what is committed to these partitions from now on."""
    async with reading(trial.settings.kafka_bootstrap, dict.fromkeys(tps)) as consumer:
        yield consumer


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
