"""Workers come and go; partitions move with all their topics, and nothing but time is lost."""

from __future__ import annotations

import asyncio
import signal
from itertools import pairwise
from pathlib import Path
from statistics import median

from jobs.services import Services
from tests.pipeline.pipe import Pipe, Worker, until

AWAY_S = 12  # longer than the time-outs of sessions, transactions and requests


async def test_a_worker_joins_and_leaves_under_load(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 4) as pipe:
        async with pipe.feeding():
            first = await pipe.worker()
            await first.serves(4)
            second = await pipe.worker()
            await until(lambda: len(first.serving) == len(second.serving) == 2, 30, "two lanes each")
            assert not first.serving & second.serving
            moved_s = max(first.status["rebalance_s"], second.status["rebalance_s"])
            second.signal(signal.SIGTERM)
            assert await second.ends() == 0
            assert second.stopped
            await first.serves(4)
        await pipe.all_arrives()
        assert moved_s < 5
        assert first.status["aborts"] == 0


async def test_a_topic_of_one_partition_has_one_lane_that_moves_with_its_count(
    services: Services, tmp_path: Path
) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 2) as pipe:
        workers = [await pipe.worker(), await pipe.worker()]

        def owners() -> list[Worker]:
            return [one for one in workers if "single/0" in one.all_serving]

        await until(
            lambda: len(owners()) == 1 and all(len(one.serving) == 1 for one in workers),
            60,
            "one partition each, and one lane of its own",
        )
        await pipe.feed_single(b"x", b"y")
        await until(lambda: pipe.single == [b"1 x", b"2 y"], 30, "its outputs")
        await until(lambda: len(owners()) == 1, 30, "its owner says so")
        (owner,) = owners()
        owner.signal(signal.SIGTERM)
        assert await owner.ends() == 0
        await pipe.feed_single(b"z")
        await until(lambda: pipe.single == [b"1 x", b"2 y", b"3 z"], 20, "the count goes on elsewhere")


async def test_poison_hurts_only_itself(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 2) as pipe:
        await pipe.worker()
        await pipe.feed(50, poison=10)
        await pipe.all_arrives()
        bad = {(f"{pipe.run}-{name}", place) for name in "ab" for place in range(0, 50, 10)}
        await until(lambda: len(pipe.rejects) == 2 * len(bad), 10, "every poison record once a partition")
        assert {(told["topic"], told["offset"]) for told in pipe.rejects} == bad
        assert all(told["why"].startswith("ValueError: poison") for told in pipe.rejects)


async def test_ticks_come_while_nothing_else_does(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe:
        await pipe.worker(tick_ms=200)
        await pipe.feed(1)
        await until(lambda: sum(value.endswith(b"tick") for value in pipe.out[0]) >= 5, 20, "ticks")
        times = [int(value.split()[0]) for value in pipe.out[0] if value.endswith(b"tick")]
        gaps = [after - before for before, after in pairwise(times)]
        assert min(gaps) >= 200
        assert median(gaps) < 1_000


async def test_a_broker_that_was_away_is_no_reason_to_restart(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 2) as pipe:
        worker = await pipe.worker()
        await worker.serves(2)
        async with pipe.feeding():
            await until(lambda: all(len(pipe.out[partition]) > 10 for partition in pipe.all), 20, "some outputs")
            services.kill("kafka")
            try:
                await asyncio.sleep(AWAY_S)
            finally:
                services.start("kafka")
            await worker.serves(2, 60)
        await pipe.all_arrives()
        assert not worker.ended
