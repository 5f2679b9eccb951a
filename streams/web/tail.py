"""What of `history` is above the watermark, read on demand: few records as a rule, bounded always."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.batches.connections import ended_task, let_go
from streams.sinks.patience import AwayError
from streams.web.pages import ChannelId
from topics import catalog, limits
from topics.codec import Malformed, decode, encode
from topics.messages import HistoryLot

_READ_S: Final = 2.0
_POLL_MS: Final = 50
#: A commit is answered a moment before its records are readable: the end is looked at for this long.
_GRACE_S: Final = 0.3


class HistoryTail:
    """One consumer without a group; those who need it take turns."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self._kafka = kafka
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._consumer: AIOKafkaConsumer | None = None

    async def read(
        self, partition: int, offset: int | None, channel: ChannelId, low: int, high: int
    ) -> dict[int, bytes]:
        """A channel's messages between two seqs that stand at `offset` (None: the beginning) or after it.

        Raises:
            AwayError: the broker does not answer, too many wait, or it was not all found within the bounds.
        """
        if self._waiting >= limits.TAIL_WAITING:
            raise AwayError("kafka", "too many wait to read `history`")
        self._waiting += 1
        try:
            async with self._turn, asyncio.timeout(_READ_S):
                return await self._read(TopicPartition(catalog.HISTORY.name, partition), offset, channel, low, high)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise AwayError("kafka", f"`history`: {error!r}") from error
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Disconnect; the next read connects anew."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await let_go(consumer)

    async def _read(
        self, at: TopicPartition, offset: int | None, channel: ChannelId, low: int, high: int
    ) -> dict[int, bytes]:
        consumer = await self._started()
        consumer.assign([at])
        begin = (await consumer.beginning_offsets([at]))[at]
        consumer.seek(at, max(begin, offset or 0))
        found: dict[int, bytes] = {}
        records, size, until = 0, 0, asyncio.get_running_loop().time() + _GRACE_S
        while len(found) <= high - low:
            fetched = (await consumer.getmany(at, timeout_ms=_POLL_MS, max_records=limits.TAIL_RECORDS)).get(at, [])
            for record in fetched:
                found |= _messages(record.value, channel, low, high)
            records += len(fetched)
            size += sum(len(record.value or b"") for record in fetched)
            if records > limits.TAIL_RECORDS or size > limits.TAIL_BYTES:
                raise AwayError("kafka", f"more than {records - 1} records of `history` are not stored yet")
            if not fetched and asyncio.get_running_loop().time() > until:
                if (told := ended_task(consumer)) is not None:
                    raise KafkaError(told)
                break
        return found

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **self._kafka,
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=limits.RECORD_BYTES,
                fetch_max_wait_ms=_POLL_MS,
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer


def _messages(value: bytes | None, channel: ChannelId, low: int, high: int) -> dict[int, bytes]:
    """A channel's messages of one record, between two seqs."""
    try:
        lot: HistoryLot = decode(catalog.HISTORY.name, value)
    except Malformed:  # the sinks reject it
        return {}
    return {
        message.seq: encode(message)
        for message in lot.entries
        if (message.app, message.group, message.channel) == channel and low <= message.seq <= high
    }
