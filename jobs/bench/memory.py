"""Memory of a groups worker with very many small groups of which few are active.

What the worker holds when it rests, less what it held before the first group. Groups that nobody touches leave memory
for the local store, within a budget of bytes.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from jobs.bench.figures import Baseline, Figure, Result, at_most
from jobs.bench.ingest import applied
from jobs.bench.lab import Lab, Worker
from jobs.bench.world import Crowd, Sends
from topics import catalog

_LINKS: Final = 100
_BODY_BYTES: Final = 300
_MB: Final = 1e6
_REST_S: Final = 3.0
_WITHIN_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        groups: how many.
        each: members of each.
    """

    groups: int = 100_000
    each: int = 100

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes(1_000, 20) if lab.quick else Sizes()


async def measure(lab: Lab) -> Result:
    """`rss_100k_idle_groups_mb`."""
    sizes = Sizes.of(lab)
    samples: list[float] = []
    async with lab.trial(links=_LINKS) as trial:
        worker = await trial.start_worker("groups", "groups")
        empty = await resting_mb(worker)
        idle = Crowd(sizes.groups, sizes.each, _LINKS, trial.settings.partitions)
        active = Crowd(max(1, sizes.groups // 100), sizes.each, _LINKS, trial.settings.partitions)
        lab.tell(f"{idle.groups:,} groups of {idle.members} on a worker")
        records = await trial.fill(catalog.RELATIONS.name, idle.relations())
        await applied(worker, "records", records, _WITHIN_S)
        records += await trial.fill(catalog.BINDINGS.name, active.bindings())
        await applied(worker, "records", records, _WITHIN_S)
        sends, sent = Sends(active, _BODY_BYTES), 0
        for turn in range(lab.pace.repeat):
            lab.tell(f"rss_100k_idle_groups: {turn + 1} of {lab.pace.repeat}")
            sent += await trial.fill(
                catalog.MESSAGES.name, sends.take(active.groups * _MESSAGES_EACH, int(time.time() * 1000))
            )
            await applied(worker, "messages", sent, _WITHIN_S)
            samples.append(await resting_mb(worker) - empty)
    return Result((_figure(sizes, samples, empty),))


_MESSAGES_EACH: Final = 10


def _figure(sizes: Sizes, samples: list[float], empty: float) -> Figure:
    return Figure(
        "rss_100k_idle_groups_mb",
        "MB",
        tuple(samples),
        at_most(600),
        Baseline("the same worker before the first group", (empty,), "MB"),
        f"{sizes.groups:,} groups of {sizes.each} were made on the worker, which was not started anew since; one in a "
        f"hundred has its members online on {_LINKS} links and gets messages.",
    )


async def resting_mb(worker: Worker) -> float:
    """What it holds once it has nothing to do: the least of some looks, so that no batch under way is in it."""
    await asyncio.sleep(_REST_S)
    looks = []
    for _ in range(_LOOKS):
        looks.append(worker.rss_bytes() / _MB)
        await asyncio.sleep(_REST_S / _LOOKS)
    return min(looks)


_LOOKS: Final = 10
