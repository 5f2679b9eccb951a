"""A consumer of what is committed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

_FETCH_BYTES: Final = 8 << 20


@contextlib.asynccontextmanager
async def reading(kafka: str, since: Mapping[TopicPartition, int | None]) -> AsyncIterator[AIOKafkaConsumer]:
    """Reads partitions, each from an offset on; None: from its end."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        isolation_level="read_committed",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_bytes=4 * _FETCH_BYTES,
    )
    await consumer.start()
    try:
        consumer.assign(list(since))
        for tp, end in (await consumer.end_offsets(list(since))).items():
            offset = since[tp]
            consumer.seek(tp, end if offset is None else offset)
        yield consumer
    finally:
        await consumer.stop()
