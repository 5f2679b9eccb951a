"""The least that a transactional pipeline can do: read `messages`, write the same bytes to ten links and to history.

One consumer and one producer a partition, one transaction a fetch, offsets in the transaction; nothing is decoded.

    python -m jobs.bench.baselines.bare_roundtrip 127.0.0.1:9092 4
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import aiokafka.producer.sender
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

LINKS: Final = 10
_GROUP: Final = "bare"
_BATCH_BYTES: Final = 768 * 1024
_RECORDS: Final = 1_000  # of one fetch: what a link gets of them fits one record


async def main(bootstrap: str, partitions: int) -> None:
    """Work until killed."""
    aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002  # as lanes have it: the default costs 20 ms a transaction
    await asyncio.gather(*(lane(bootstrap, partition) for partition in range(partitions)))


async def lane(bootstrap: str, partition: int) -> None:
    """One partition."""
    tp = TopicPartition("messages", partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False, group_id=_GROUP
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        transactional_id=f"bare-{partition}",
        compression_type="zstd",
        max_batch_size=_BATCH_BYTES,
        max_request_size=2 * _BATCH_BYTES,
        retry_backoff_ms=5,
    )
    await consumer.start()
    await producer.start()
    consumer.assign([tp])
    await consumer.seek_to_beginning(tp)
    while True:
        fetched = await consumer.getmany(tp, timeout_ms=1_000, max_records=_RECORDS)
        if records := fetched.get(tp):
            value = b"[" + b",".join([record.value for record in records]) + b"]"
            async with producer.transaction():
                sent = [await producer.send("deliveries", value, partition=link) for link in range(LINKS)]
                sent.append(await producer.send("history", value, partition=partition))
                await producer.send_offsets_to_transaction({tp: records[-1].offset + 1}, _GROUP)
                await asyncio.gather(*sent)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
