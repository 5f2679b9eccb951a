"""A worker ends or freezes between any two steps: nothing is lost, doubled or out of order."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from jobs.services import Services
from tests.pipeline.pipe import Pipe, until

SESSION_S = 6.0


@pytest.mark.parametrize("point", ["before the send", "before the commit", "after the commit"])
async def test_killed_between_any_two_steps_of_a_batch(services: Services, tmp_path: Path, point: str) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 2) as pipe:
        async with pipe.feeding():
            first = await pipe.worker("worker", point=point, after=4)
            await first.reaches_its_point()
            assert await first.ends() == -signal.SIGKILL
            second = await pipe.worker("worker", point=point, after=4)
            await second.reaches_its_point()
            assert await second.ends() == -signal.SIGKILL
            third = await pipe.worker("worker")
            await third.serves(2)
        await pipe.all_arrives()
        assert third.status["records"] > 0


async def test_an_owner_frozen_before_its_commit_wakes_up_too_late(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 2) as pipe:
        async with pipe.feeding():
            old = await pipe.worker(point="before the commit", after=6, freeze=True)
            await old.reaches_its_point()
            frozen_at, seen = time.monotonic(), {partition: len(pipe.out[partition]) for partition in pipe.all}
            new = await pipe.worker()
            await until(
                lambda: all(len(pipe.out[partition]) > seen[partition] + 10 for partition in pipe.all),
                SESSION_S + 9,
                "readers waited for the frozen owner's transaction",
            )
            assert time.monotonic() - frozen_at < SESSION_S + 6
            old.signal(signal.SIGCONT)
            await until(lambda: len(old.serving) == len(new.serving) == 1, 30, "both take part again")
        await pipe.all_arrives()
