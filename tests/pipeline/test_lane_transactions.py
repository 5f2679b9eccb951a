"""What a lane's producer writes: in order, all of it or nothing, and never after a newer owner started."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from jobs.services import Services
from streams.batches import producer as producer_module
from streams.batches.producer import FENCED, LaneProducer
from tests.pipeline.pipe import Pipe, until
from topics import limits


async def started(pipe: Pipe, name: str = "one") -> LaneProducer:
    producer = LaneProducer({"bootstrap_servers": pipe.bootstrap}, f"{pipe.run}-{name}")
    await producer.start()
    return producer


def numbered(count: int, size: int) -> list[tuple[bytes | None, bytes | None]]:
    return [(None, b"%d " % number + os.urandom(size)) for number in range(count)]


def the_broker_ends_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction ends by its time: what readers see in a test was let go by its producer, or a newer one."""
    monkeypatch.setattr(producer_module, "_BROKER_TRANSACTION_MS", 120_000)
    monkeypatch.setattr(producer_module, "_ABORT_S", 20.0)


@pytest.mark.parametrize("wave_bytes", [producer_module._WAVE_BYTES, 1 << 20])
async def test_more_than_a_batch_holds_arrives_in_order(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wave_bytes: int
) -> None:
    monkeypatch.setattr(producer_module, "_WAVE_BYTES", wave_bytes)
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 3) as pipe:
        producer = await started(pipe)
        sends: dict[tuple[str, int], Any] = {(f"{pipe.run}-out", p): numbered(3_000, 100 * 5**p) for p in pipe.all}
        ends = await producer.send(sends, {}, "nobody")
        await asyncio.sleep(0.3)
        assert not pipe.out, "nothing is seen before the commit"
        await producer.commit()
        await until(lambda: sum(map(len, pipe.out.values())) == 9_000, 20, "all records")
        for partition in pipe.all:
            assert pipe.out[partition] == [value for _, value in sends[f"{pipe.run}-out", partition]]
        assert ends == {(f"{pipe.run}-out", partition): 3_000 for partition in pipe.all}
        ends = await producer.send({(f"{pipe.run}-out", 0): numbered(2, 1)}, {}, "nobody")
        assert ends == {(f"{pipe.run}-out", 0): 3_003}, "the marker of the first transaction has an offset too"
        await producer.abandon()


async def test_what_is_abandoned_is_never_seen_and_holds_nobody_up(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_broker_ends_none(monkeypatch)
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe:
        first = await started(pipe)
        await first.send({(f"{pipe.run}-out", 0): [(None, b"lost")]}, {(f"{pipe.run}-a", 0): 7}, pipe.run)
        await first.abandon()
        second = await started(pipe, "two")
        await second.send({(f"{pipe.run}-out", 0): [(None, b"kept")]}, {}, pipe.run)
        await second.commit()
        await until(lambda: pipe.out[0] == [b"kept"], 60, "the other's record")
        await second.abandon()


async def test_a_newer_owner_fences_the_older_and_ends_its_transaction(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_broker_ends_none(monkeypatch)
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe:
        old = await started(pipe)
        await old.send({(f"{pipe.run}-out", 0): [(None, b"old")]}, {}, pipe.run)
        new = await started(pipe)
        with pytest.raises(FENCED):
            await old.commit()
        await new.send({(f"{pipe.run}-out", 0): [(None, b"new")]}, {}, pipe.run)
        await new.commit()
        await until(lambda: pipe.out[0] == [b"new"], 60, "the new owner's record")
        await old.abandon()
        await new.abandon()


async def test_a_record_at_the_limit_passes_and_one_above_is_refused(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe:
        producer = await started(pipe)
        largest = os.urandom(limits.RECORD_BYTES)
        await producer.send({(f"{pipe.run}-out", 0): [(None, b"x"), (None, largest), (None, b"y")]}, {}, pipe.run)
        await producer.commit()
        await until(lambda: pipe.out[0] == [b"x", largest, b"y"], 10, "a record at the limit")
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send({(f"{pipe.run}-out", 0): [(None, largest + b"z")]}, {}, pipe.run)
        await producer.abandon()


async def test_abandoning_ends_in_bounded_time_without_a_broker(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe:
        producer = await started(pipe)
        await producer.send({(f"{pipe.run}-out", 0): [(None, b"x")]}, {}, pipe.run)
        before = asyncio.all_tasks()
        services.kill("kafka")
        try:
            sending = asyncio.create_task(producer.commit())
            await asyncio.sleep(0.5)
            sending.cancel()
            async with asyncio.timeout(20):  # aiokafka's own stop never ends here
                await producer.abandon()
            await asyncio.sleep(0.5)
            assert not [task for task in asyncio.all_tasks() - before if "sender" in repr(task)], "nothing goes on"
        finally:
            services.start("kafka")
