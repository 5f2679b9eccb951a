"""A worker ends or freezes between any two steps: nothing is lost, doubled or out of order."""

from __future__ import annotations

import signal
from pathlib import Path

from jobs.services import Services
from tests.pipeline.pipe import Pipe, until

LONG_MS = 120_000  # the broker itself ends no transaction within a test


async def test_killed_between_any_two_steps_of_a_batch_and_again_at_the_same(
    services: Services, tmp_path: Path
) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 2) as pipe:
        async with pipe.feeding():
            for point in ("before the send", "before the commit", "after the commit"):
                for _ in range(2):
                    killed = await pipe.worker("worker", point=point, after=4)
                    await killed.reaches_its_point()
                    assert await killed.ends() == -signal.SIGKILL
            last = await pipe.worker("worker")
            await last.serves(2)
        await pipe.all_arrives()
        assert last.status["records"] > 0


async def test_an_owner_frozen_before_its_commit_wakes_up_too_late(services: Services, tmp_path: Path) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 2) as pipe:
        async with pipe.feeding():
            old = await pipe.worker(point="before the commit", after=6, freeze=True, transaction_ms=LONG_MS)
            await old.reaches_its_point()
            seen = {partition: len(pipe.out[partition]) for partition in pipe.all}
            new = await pipe.worker(transaction_ms=LONG_MS)
            await until(
                lambda: all(len(pipe.out[partition]) > seen[partition] + 10 for partition in pipe.all),
                60,
                "readers waited for the frozen owner's transaction",
            )
            old.signal(signal.SIGCONT)
            await until(lambda: len(old.serving) == len(new.serving) == 1, 90, "both take part again")
        await pipe.all_arrives()


async def test_an_old_owner_cannot_commit_once_the_new_one_has_read_where_to_begin(
    services: Services, tmp_path: Path
) -> None:
    """The old owner wakes up exactly when the new one knows its offsets and serves nothing yet."""
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe:
        old = await pipe.worker(point="before the commit", after=0, freeze=True)
        await old.serves(1)
        await pipe.feed(1)
        await old.reaches_its_point()
        new = await pipe.worker(point="offsets read", after=0, freeze=True)
        await new.reaches_its_point()
        old.signal(signal.SIGCONT)
        await until(lambda: old.status["lanes"]["count/0"] != "serving", 30, "the old owner finds itself fenced")
        new.signal(signal.SIGCONT)
        await pipe.all_arrives()
        await pipe.feed(20)
        await pipe.all_arrives()
