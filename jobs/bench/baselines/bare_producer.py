"""What Kafka itself allows: given transactions written again and again, one producer a lane, with nothing else to do.

python -m jobs.bench.baselines.bare_producer 127.0.0.1:9092 transactions.msgpack 6
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final

import aiokafka.producer.sender
import msgspec
import uvloop
from aiokafka import AIOKafkaProducer

#: (topic, partition, records of (key, value)) of one transaction.
Transaction = list[tuple[str, int, list[tuple[bytes | None, bytes | None]]]]

_BATCH_BYTES: Final = 768 * 1024


async def main(bootstrap: str, transactions: list[list[Transaction]], seconds: float) -> dict[str, float]:
    """Every lane writes its transactions in turn for so long."""
    aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002  # as lanes have it: the default costs 20 ms a transaction
    lanes = [_Lane(bootstrap, f"bare-{number}", lane) for number, lane in enumerate(transactions)]
    await asyncio.gather(*(lane.start() for lane in lanes))
    began = time.monotonic()
    await asyncio.gather(*(lane.write_until(began + seconds) for lane in lanes))
    passed = time.monotonic() - began
    await asyncio.gather(*(lane.stop() for lane in lanes))
    return {
        "seconds": passed,
        "bytes": sum(lane.bytes for lane in lanes),
        "written": sum(lane.written for lane in lanes),
    }


class _Lane:
    def __init__(self, bootstrap: str, name: str, transactions: list[Transaction]) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            transactional_id=name,
            compression_type="zstd",
            max_batch_size=_BATCH_BYTES,
            max_request_size=2 * _BATCH_BYTES,
            retry_backoff_ms=5,
        )
        self._transactions = transactions
        self.bytes = 0
        self.written = 0

    async def start(self) -> None:
        await self._producer.start()

    async def write_until(self, moment: float) -> None:
        while time.monotonic() < moment:
            transaction = self._transactions[self.written % len(self._transactions)]
            await self._producer.begin_transaction()
            await asyncio.gather(*(self._write(*records) for records in transaction))
            await self._producer.commit_transaction()
            self.written += 1
            self.bytes += sum(len(key or b"") + len(value or b"") for *_, items in transaction for key, value in items)

    async def _write(self, topic: str, partition: int, records: list[tuple[bytes | None, bytes | None]]) -> None:
        sent = []
        batch = self._producer.create_batch()
        for key, value in records:
            if batch.append(timestamp=None, key=key, value=value) is None:
                sent.append(await self._producer.send_batch(batch, topic, partition=partition))
                batch = self._producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        sent.append(await self._producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)

    async def stop(self) -> None:
        await self._producer.stop()


if __name__ == "__main__":
    where, file, duration = sys.argv[1:]
    given = msgspec.msgpack.decode(Path(file).read_bytes(), type=list[list[Transaction]])
    print(json.dumps(uvloop.run(main(where, given, float(duration)))))
