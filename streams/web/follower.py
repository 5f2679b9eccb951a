"""Follows `owners` and `stored` from their beginning, without a consumer group, and sees to it that it gets on.

Every few seconds it looks how far the topics go. Where it stands still before an end that it knew of the last time, or
gets no answer, it says so in the log and begins anew with a fresh consumer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.batches.connections import ended_task, let_go
from streams.batches.errors import said
from streams.web.owners import Directory
from topics import catalog
from topics.codec import Malformed, decode

log = logging.getLogger(__name__)

_AGAIN_S: Final = 1.0
_POLL_MS: Final = 500
_LOOK_S: Final = 5.0
_ANSWER_S: Final = 10.0


class StuckError(Exception):
    """The consumer finds nothing any more, although there is more."""


class _Aim(NamedTuple):
    """Where a partition was read to when it was looked at, and its end then."""

    position: int
    end: int


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
                log.warning("following owners and stored begins anew: %s", said(error))
            self._directory.begun_anew += 1
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
            async with asyncio.timeout(_ANSWER_S):
                await consumer.start()
                consumer.assign(self._read_from)
                await consumer.seek_to_beginning(*self._read_from)
            aims, look_at = await self._look(consumer, {}), time.monotonic() + _LOOK_S
            while True:
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    for record in records:
                        self._learn(record.topic, record.value)
                if not self._directory.complete:
                    self._directory.complete = _behind(await _positions(consumer, aims), aims) == 0
                if time.monotonic() >= look_at:
                    aims, look_at = await self._look(consumer, aims), time.monotonic() + _LOOK_S
        finally:
            await let_go(consumer)

    async def _look(
        self, consumer: AIOKafkaConsumer, aims: Mapping[TopicPartition, _Aim]
    ) -> dict[TopicPartition, _Aim]:
        """How far the topics go now; `aims` tells how far they went the last time.

        Raises:
            StuckError: a partition stands where it stood, before its end of the last time, or a task has ended.
        """
        if (told := ended_task(consumer)) is not None:
            raise StuckError(told)
        async with asyncio.timeout(_ANSWER_S):
            ends = await consumer.end_offsets(self._read_from)
        positions = await _positions(consumer, ends)
        for partition, aim in aims.items():
            if positions[partition] == aim.position < aim.end:
                told = f"{partition.topic}/{partition.partition}"
                raise StuckError(f"{told} stands at {aim.position} of {aim.end} for {_LOOK_S:.0f} s")
        found = {partition: _Aim(positions[partition], end) for partition, end in ends.items()}
        self._directory.behind = _behind(positions, found)
        self._directory.looked_at = time.monotonic()
        return found

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


async def _positions(consumer: AIOKafkaConsumer, of: Mapping[TopicPartition, Any]) -> dict[TopicPartition, int]:
    """Where partitions are read to."""
    async with asyncio.timeout(_ANSWER_S):
        return {partition: await consumer.position(partition) for partition in of}


def _behind(positions: Mapping[TopicPartition, int], aims: Mapping[TopicPartition, _Aim]) -> int:
    """Offsets between where partitions are read to and where they end."""
    return sum(max(0, aim.end - positions[partition]) for partition, aim in aims.items())
