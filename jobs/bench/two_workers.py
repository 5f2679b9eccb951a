"""Scale-out: the same messages through one groups worker that owns all partitions, and through two that share them.

The workers run and own their partitions before the topic is filled, so no rebalance is measured. Two of them can only
be twice as fast where each has a core for itself, and broker and producer theirs: on four cores or more the figure is
the ratio of throughputs. Where cores run out it is what two workers would bring on cores of their own: twice the CPU
seconds that a message costs one worker, divided by those that it costs two.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Final

from jobs.bench.appended import ENTRY
from jobs.bench.figures import Baseline, Figure, Result, at_least
from jobs.bench.ingest import BODY_BYTES, LINKS, Sizes, Window, crowd_of, settle
from jobs.bench.lab import Lab, Trial, Worker
from jobs.bench.world import Sends
from jobs.problem import Problem
from topics import catalog

_TWO: Final = 2
_ENOUGH_CORES: Final = 4
_SHARED_S: Final = 60.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Run:
    per_s: float
    cpu_us: float


async def measure(lab: Lab) -> Result:
    """`two_workers_vs_one`."""

    async def run(workers: int) -> _Run:
        found = await _run(lab, workers)
        lab.tell(f"  {found.per_s:,.0f} messages/s, {found.cpu_us:.1f} µs of CPU a message")
        return found

    found = await lab.alternate({"one worker": lambda: run(1), "two workers": lambda: run(_TWO)})
    pairs = [*zip(found["one worker"], found["two workers"], strict=True)]
    rates = [two.per_s / one.per_s for one, two in pairs]
    costs = [_TWO * one.cpu_us / two.cpu_us for one, two in pairs]
    cores = len(os.sched_getaffinity(0))
    enough = cores >= _ENOUGH_CORES
    how = "Throughput of two ÷ that of one" if enough else "Twice the CPU seconds a message of one ÷ those of two"
    each = "; ".join(
        f"one {one.per_s:,.0f}/s at {one.cpu_us:.1f} µs, two {two.per_s:,.0f}/s at {two.cpu_us:.1f} µs"
        for one, two in pairs
    )
    figure = Figure(
        "two_workers_vs_one",
        "ratio",
        tuple(rates if enough else costs),
        at_least(1.6),
        Baseline("CPU of a message on one worker", tuple(one.cpu_us for one, _ in pairs), "µs"),
        f"{how}: workers, broker and producer share {cores} cores. Messages a second, and CPU of all workers a "
        f"message: {each}.",
    )
    return Result((figure,))


async def _run(lab: Lab, workers: int) -> _Run:
    """The job of `ingest_msgs_per_s`, filled while so many workers wait for it."""
    count = Sizes.of(lab).messages
    async with lab.trial(links=LINKS) as trial:
        crowd = crowd_of(lab, trial)
        running = [await settle(trial, crowd)]
        running += [await trial.start_worker("groups", wait=False) for _ in range(workers - 1)]
        await _shared(trial, running)
        sends = Sends(crowd, BODY_BYTES).take(count, int(time.time() * 1000))
        before_s = sum(worker.cpu_s() for worker in running)
        await trial.fill(catalog.MESSAGES.name, sends)
        await trial.consumed(running[0], catalog.MESSAGES)
        cpu_s = sum(worker.cpu_s() for worker in running) - before_s
        window = Window()
        async for record in trial.read(catalog.HISTORY):
            window.history(record, (record.value or b"").count(ENTRY))
    if window.messages != count:
        raise Problem(f"Of {count} messages {window.messages} are in history.")
    return _Run(window.messages_per_s, cpu_s / count * 1e6)


async def _shared(trial: Trial, workers: list[Worker]) -> None:
    """Wait until each worker serves its share of the partitions.

    Raises:
        Problem: one ended, or it takes too long.
    """
    share = trial.settings.partitions // len(workers)
    until_s = time.monotonic() + _SHARED_S
    while [await _serving(worker) for worker in workers] != [share] * len(workers):
        if time.monotonic() > until_s:
            raise Problem(f"{len(workers)} workers do not share the partitions after {_SHARED_S:.0f} s.")
        await asyncio.sleep(_POLL_S)


async def _serving(worker: Worker) -> int:
    return sum(lane["state"] == "serving" for lane in (await worker.health()).get("lanes", []))
