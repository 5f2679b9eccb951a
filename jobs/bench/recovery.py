"""One very large group on a worker: its memory, and how long until it is served when the local copy is lost.

The cluster has one partition, so that the worker's own histograms tell of one lane: from the assignment until it
serves, and the first batch, for a group is loaded on touch and is not served before.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
import urllib.request
from dataclasses import dataclass
from typing import Final

from jobs.bench.figures import Baseline, Figure, Result, at_most
from jobs.bench.ingest import applied, settle
from jobs.bench.lab import Lab, Trial, Worker
from jobs.bench.memory import resting_mb
from jobs.bench.world import Crowd, Sends
from streams.batches.counters import STEPS
from topics import catalog

_LINKS: Final = 100
_BODY_BYTES: Final = 300
_ASK_S: Final = 10.0
_SUM: Final = re.compile(r"^(linkcast_(?:opening|batch_step)_seconds)_sum\{([^}]*)\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Recovered:
    """A worker that had lost its local copy.

    Attributes:
        opening_s: from the assignment until the lane served.
        first_s: the first batch, with a message into the group: load it, decide, commit.
        resting_mb: what it holds afterwards, beyond an empty one.
    """

    opening_s: float
    first_s: float
    resting_mb: float


async def measure(lab: Lab) -> Result:
    """`recover_1m_members_s` and `rss_1m_members_mb`."""
    members = 20_000 if lab.quick else 1_000_000
    async with lab.trial(partitions=1, links=_LINKS) as trial:
        crowd = Crowd(1, members, _LINKS, 1)
        empty_mb = await _empty_mb(trial)
        lab.tell(f"a group of {members:,} on a worker")
        worker = await settle(trial, crowd)
        after_import_mb = await resting_mb(worker) - empty_mb
        await asyncio.to_thread(worker.stop)
        sends, found = Sends(crowd, _BODY_BYTES), []
        for turn in range(lab.pace.repeat):
            lab.tell(f"recover_1m_members: {turn + 1} of {lab.pace.repeat}")
            found.append(await _recovered(trial, worker, sends, empty_mb))
    return Result(tuple(one for one in _figures(members, found, after_import_mb, empty_mb) if lab.wants(one.name)))


def _figures(members: int, found: list[Recovered], after_import_mb: float, empty_mb: float) -> tuple[Figure, Figure]:
    first = ", ".join(f"{one.first_s:.2f}" for one in found)
    return (
        Figure(
            "rss_1m_members_mb",
            "MB",
            (after_import_mb, *(one.resting_mb for one in found)),
            at_most(150),
            Baseline("a worker without any group", (empty_mb,), "MB"),
            f"One group of {members:,}, all online on {_LINKS} links: first after they joined and were bound on "
            "this worker, then on workers that recovered it and delivered a message.",
        ),
        Figure(
            "recover_1m_members_s",
            "s",
            tuple(one.opening_s + one.first_s for one in found),
            at_most(5),
            note=f"The local copy is removed. From the assignment until a message into the group of {members:,}, all "
            f"online on {_LINKS} links, is committed; of it the first batch, which loads the group, took {first} s.",
        ),
    )


async def _empty_mb(trial: Trial) -> float:
    worker = await trial.start_worker("groups", "empty")
    found = await resting_mb(worker)
    await asyncio.to_thread(worker.stop)
    return found


async def _recovered(trial: Trial, last: Worker, sends: Sends, empty_mb: float) -> Recovered:
    await asyncio.to_thread(shutil.rmtree, trial.settings.data / "workers" / last.name)
    await trial.fill(catalog.MESSAGES.name, sends.take(1, int(time.time() * 1000)))
    worker = await trial.start_worker("groups", last.name)
    await applied(worker, "messages", 1)
    opening_s, first_s = seconds(await asyncio.to_thread(_metrics, worker))
    found = Recovered(opening_s, first_s, await resting_mb(worker) - empty_mb)
    await asyncio.to_thread(worker.stop)
    return found


def _metrics(worker: Worker) -> str:
    with urllib.request.urlopen(f"{worker.url}/metrics", timeout=_ASK_S) as answer:  # noqa: S310 -- our own worker
        text: str = answer.read().decode()
    return text


def seconds(metrics: str) -> tuple[float, float]:
    """What a worker's metrics tell of a groups lane: its opening, and all steps of its batches."""
    sums = [(name, labels, float(value)) for name, labels, value in _SUM.findall(metrics) if 'kind="groups"' in labels]
    opening = sum(value for name, _, value in sums if name == "linkcast_opening_seconds")
    steps = sum(value for name, labels, value in sums if any(f'step="{step}"' in labels for step in STEPS))
    return opening, steps
