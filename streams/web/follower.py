"""Follows `owners` and `stored` from their beginning, without a consumer group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.web.owners import Directory
from topics import catalog
from topics.codec import Malformed, decode

log = logging.getLogger(__name__)

_AGAIN_S: Final = 1.0
_POLL_MS: Final = 500


class Follower:
    """Keeps a directory up to date for as long as it is entered."""

    def __init__(self, kafka: Mapping[str, Any], partitions: int, directory: Directory) -> None:
        self._kafka = kafka
        self._directory = directory
        self._read_from = [TopicPartition(catalog.OWNERS.name, 0)]
        self._read_from += [TopicPartition(catalog.STORED.name, partition) for partition in range(partitions)]
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begins; whether the broker answers is not waited for."""
        self._task = asyncio.create_task(self._follow(), name="follow owners and stored")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while True:
            try:
                await self._read()
            except Exception as error:  # noqa: BLE001 - whatever it is, all is read again: records of old change nothing
                log.warning("following owners and stored begins anew: %r", error)
            await asyncio.sleep(_AGAIN_S)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._kafka,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_POLL_MS,
        )
        try:
            await consumer.start()
            consumer.assign(self._read_from)
            await consumer.seek_to_beginning(*self._read_from)
            ends = await consumer.end_offsets(self._read_from)
            while True:
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    for record in records:
                        self._learn(record.topic, record.value)
                if ends and all([await consumer.position(one) >= end for one, end in ends.items()]):
                    self._directory.complete, ends = True, {}
        finally:
            await consumer.stop()

    def _learn(self, topic: str, value: bytes | None) -> None:
        try:
            record = decode(topic, value)
        except Malformed as error:
            log.warning("%s holds what is no record of it: %s", topic, error)
            return
        if topic == catalog.OWNERS.name:
            self._directory.owner(record)
        else:
            self._directory.stored(record)
