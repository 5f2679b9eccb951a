"""Reads a partition's rows from its changelog into the local copy.

Up to the changelog's end by position, committed rows only: markers and aborted transactions hold offsets too. To be
called after the partition's producer has started, which ends what an old owner left open; before that the end reads
too low. Refuses a changelog whose number of partitions is not the one that state is numbered by.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.batches import topic_ids
from streams.batches.connections import let_go
from streams.batches.store import LocalStore, Origin, RocksStore, State, open_store
from tables.rows import Changes, Index, Store

log = logging.getLogger(__name__)
P = ParamSpec("P")

_CHUNK: Final = 20_000  # rows between two looks at the event loop
_FETCH_BYTES: Final = 8 << 20
_POLL_MS: Final = 10  # markers alone wake nobody, they only move the position
_STUCK_S: Final = 30.0
_TELL_S: Final = 5.0


class PartitionCountError(Exception):
    """A topic has another number of partitions than the cluster was born with."""


@dataclass(slots=True)
class Progress:
    """How far a changelog is read, by position."""

    position: int
    begin: int
    end: int


class Recovery:
    """Opens local copies and brings them up to date."""

    def __init__(self, kafka: Mapping[str, Any], folder: Path, wall_ms: Callable[[], int]) -> None:
        """Prepare.

        Args:
            kafka: how to connect, as aiokafka's keyword arguments.
            folder: the worker's lasting folder.
            wall_ms: the machine's clock, for the age of copies only.
        """
        self._kafka = kafka
        self._folder = folder
        self._wall_ms = wall_ms
        self.progress: dict[tuple[str, int], Progress] = {}  #: of what is being read now, by topic and partition

    async def open(self, topic: str, partition: int, partitions: int, index: Index | None = None) -> LocalStore:
        """The complete rows of a partition, with those that `index` makes of them.

        Raises:
            PartitionCountError: the changelog does not have `partitions` partitions.
        """
        reader = AIOKafkaConsumer(
            **self._kafka,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=50,
            check_crcs=True,
        )
        await reader.start()
        store: LocalStore | None = None
        try:
            try:
                store = await self._open(reader, TopicPartition(topic, partition), partitions, index)
            finally:
                self.progress.pop((topic, partition), None)
                await let_go(reader)
        except BaseException:
            if store is not None:
                store.close()
            raise
        return store

    async def _open(
        self, reader: AIOKafkaConsumer, tp: TopicPartition, partitions: int, index: Index | None
    ) -> LocalStore:
        origin = await self._origin(reader, tp.topic, partitions)
        begin = (await reader.beginning_offsets([tp]))[tp]
        end = (await reader.end_offsets([tp]))[tp]
        folder = self._folder / tp.topic / str(tp.partition)
        store = await _in_thread(open_store, folder, origin, begin, end, self._wall_ms())
        try:
            await self._read(reader, tp, store, store.state or State(origin, begin, 0, 0), end, index)
        except BaseException:
            store.close()
            raise
        return store

    async def _origin(self, reader: AIOKafkaConsumer, topic: str, partitions: int) -> Origin:
        found = await topic_ids.describe(reader._client, topic)  # noqa: SLF001 - aiokafka has no call for it
        if found.partitions != partitions:
            raise PartitionCountError(f"{topic} has {found.partitions} partitions, the cluster has {partitions}")
        return Origin(str(uuid.UUID(bytes=found.topic_id)), partitions)

    async def _read(
        self,
        reader: AIOKafkaConsumer,
        tp: TopicPartition,
        store: RocksStore,
        state: State,
        end: int,
        index: Index | None,
    ) -> None:
        reader.assign([tp])
        reader.seek(tp, state.offset)
        began = told = moved = time.monotonic()
        rows, clock_ms, position = 0, state.clock_ms, state.offset
        progress = self.progress[tp.topic, tp.partition] = Progress(position, position, end)
        while position < end:
            fetched = (await reader.getmany(tp, timeout_ms=_POLL_MS, max_records=_CHUNK)).get(tp, [])
            before, position = position, await reader.position(tp)
            progress.position = position
            now = time.monotonic()
            if position == before and now - moved > _STUCK_S:
                raise TimeoutError(f"{tp.topic}/{tp.partition} stands at {position} of {end}")
            if position != before:
                moved = now
                rows += len(fetched)
                clock_ms = max(clock_ms, fetched[-1].timestamp) if fetched else clock_ms
                changes: Changes = {record.key: record.value for record in fetched}
                if index is not None:
                    changes = indexed(changes, store, index)
                store.write(changes, State(state.origin, position, self._wall_ms(), clock_ms))
            if now - told > _TELL_S:
                told = now
                log.info("%s/%s: %d rows read, at %d of %d", tp.topic, tp.partition, rows, position, end)
        store.write({}, State(state.origin, position, self._wall_ms(), clock_ms))
        took = time.monotonic() - began
        log.info("%s/%s: complete at %d, %d rows read in %.2f s", tp.topic, tp.partition, position, rows, took)


def indexed(changes: Changes, store: Store, index: Index) -> Changes:
    """The changes of logged rows, and the local rows that they bring with them."""
    local: dict[bytes, bytes | None] = {}

    def get(key: bytes) -> bytes | None:
        return local[key] if key in local else store.get(key)

    for key, value in changes.items():
        local.update(index(key, store.get(key), value, get))
    return {**changes, **local}


async def _in_thread(opens: Callable[P, RocksStore], *args: P.args, **kwargs: P.kwargs) -> RocksStore:
    """Open a store in a thread. Whoever is cancelled meanwhile waits for it and closes it.

    The thread goes on, cancelled or not: a store that nobody closed would be in the way of the next opening.
    """
    opening = asyncio.ensure_future(asyncio.to_thread(opens, *args, **kwargs))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait({opening})
        if opening.exception() is None:
            opening.result().close()
        raise
