"""Latency: from the append of a message to the append of its deliveries, at half of the measured throughput.

Both moments are the broker's (LogAppendTime), in milliseconds. The baseline is the least that a transactional pipeline
can do: one that reads the same messages and writes the same bytes to as many links, in transactions, with nothing
decoded and nothing decided. The first seconds of a run are not counted.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

import msgspec
import numpy as np

from jobs.bench.appended import Latencies, latencies, messages_at
from jobs.bench.figures import Baseline, Figure, Plot, Result, Series, at_most
from jobs.bench.ingest import BODY_BYTES, LINKS, crowd_of, messages_per_s, ratios, settle
from jobs.bench.lab import Lab, Record, Trial
from jobs.bench.load import Paced, paced
from jobs.bench.programs import Program, running
from jobs.bench.world import Sends
from jobs.problem import Problem
from topics import catalog

_SECONDS: Final = 15.0
_WARM_S: Final = 3.0
_SETTLE_S: Final = 2.0
_WITHIN_S: Final = 60.0
_MISSING: Final = 0.001  # deliveries that a p99 may do without
_SHARES: Final = (*range(1, 100), 99.5, 99.9)


class _Sent(msgspec.Struct):
    client_id: str


_SENT: Final = msgspec.json.Decoder(list[_Sent])


async def measure(lab: Lab) -> Result:
    """Percentiles of both."""
    rate = await messages_per_s(lab) / 2
    turns: dict[str, Callable[[], Awaitable[Latencies]]] = {
        "linkcast": lambda: ours(lab, rate),
        "bare round trip": lambda: bare(lab, rate),
    }
    found = await lab.alternate(turns)
    mine, theirs = ([float(np.percentile(one, 99)) for one in found[name]] for name in turns)
    medians = " and ".join(f"{np.percentile(np.concatenate(found[name]), 50):,.0f} ms" for name in turns)
    figure = Figure(
        "latency_p99_vs_roundtrip",
        "ratio",
        ratios(mine, theirs),
        at_most(4),
        Baseline("p99 of a bare transactional round trip, jobs/bench/baselines/bare_roundtrip.py", tuple(theirs), "ms"),
        f"At {rate:,.0f} messages/s to {LINKS} links each. Linkcast's p99: {', '.join(f'{one:,.0f}' for one in mine)} "
        f"ms; medians: {medians}.",
    )
    shares = tuple(float(share) for share in _SHARES)
    series = [
        Series(name, tuple(np.percentile(np.concatenate(runs), shares).tolist()), shares)
        for name, runs in found.items()
    ]
    title = f"Append to append at {rate:,.0f} messages/s"
    plot = Plot("latency", title, "milliseconds", "deliveries that took at most so long, %", tuple(series), log_x=True)
    return Result((figure,), (plot,))


async def ours(lab: Lab, rate: float) -> Latencies:
    """One run of Linkcast."""
    async with lab.trial() as trial:
        crowd = crowd_of(lab, trial)
        worker = await settle(trial, crowd)
        async with lab.profiled(worker, "latency"):
            load = await paced(trial, rate, _seconds(lab), Sends(crowd, BODY_BYTES).take)
            await trial.consumed(worker, catalog.MESSAGES)
        return await _found(lab, trial, load, latencies)


async def bare(lab: Lab, rate: float) -> Latencies:
    """One run of the bare round trip."""
    async with lab.trial() as trial:
        module, settings = "jobs.bench.baselines.bare_roundtrip", trial.settings
        command = (sys.executable, "-m", module, settings.kafka_bootstrap, str(settings.partitions))
        async with running(settings.data, "bare", *command, environment={}) as program:
            await asyncio.sleep(_SETTLE_S)
            load = await paced(trial, rate, _seconds(lab), Sends(crowd_of(lab, trial), BODY_BYTES).take)
            await _delivered(trial, program, load.count)
        return await _found(lab, trial, load, lambda records, sent: latencies(records, sent, _ids))


async def _delivered(trial: Trial, program: Program, count: int) -> None:
    """Wait until the bare round trip has done all.

    Raises:
        Problem: it takes too long.
    """
    until_s, done, since = time.monotonic() + _WITHIN_S, 0, dict.fromkeys(range(trial.settings.partitions), 0)
    while True:
        async for record in trial.read(catalog.HISTORY, since=since):
            done += sum(1 for _ in _ids(record))
            since[record.partition] = record.offset + 1
        if done >= count:
            return
        if time.monotonic() > until_s:
            raise Problem(f"The bare round trip did {done} of {count} messages:\n\n{program.last_words()}")
        await asyncio.sleep(_SETTLE_S)


def _ids(record: Record) -> Iterable[str]:
    return (sent.client_id for sent in _SENT.decode(record.value or b""))


async def _found(
    lab: Lab,
    trial: Trial,
    load: Paced,
    of: Callable[[AsyncIterator[Record], dict[str, int]], Awaitable[Latencies]],
) -> Latencies:
    sent = await messages_at(trial)
    from_ms = min(sent.values()) + (0 if lab.quick else _WARM_S * 1000)
    counted = {one: at for one, at in sent.items() if at >= from_ms}
    took = await of(trial.read(catalog.DELIVERIES), counted)
    if missing := len(counted) * LINKS - len(took):
        lab.tell(f"  {missing} of {len(counted) * LINKS} deliveries are missing: refused, as the machine was too busy")
        if missing > _MISSING * len(counted) * LINKS and not lab.quick:
            raise Problem(f"Half of the measured throughput was too much: {missing} deliveries were refused.")
    lab.tell(f"  p50 {np.percentile(took, 50):,.0f} ms, p99 {np.percentile(took, 99):,.0f} ms at {load.per_s:,.0f}/s")
    return took


def _seconds(lab: Lab) -> float:
    return 3.0 if lab.quick else _SECONDS
