"""Bytes: what a link reads for each byte of a message's body.

1,000 messages a second with bodies of 300 B, to groups on 10 links. What is counted are the keys and values of the
records of `deliveries`, unpacked, with all that their lots say about themselves; where sessions come and go meanwhile,
with all that links are told of them.
"""

from __future__ import annotations

import asyncio
from typing import Final

from jobs.bench.appended import ENTRY
from jobs.bench.figures import Baseline, Figure, Result, at_most
from jobs.bench.ingest import LINKS, crowd_of, settle
from jobs.bench.lab import Lab
from jobs.bench.load import paced
from jobs.bench.world import Churn, Sends
from jobs.problem import Problem
from topics import catalog

BODY_BYTES: Final = 300
_RATE: Final = 1_000.0


_CHURN: Final = 0.01


async def measure(lab: Lab) -> Result:
    """Delivered bytes to bodies times links: `delivery_bytes_overhead` and `delivery_bytes_overhead_churn`."""
    turns = {"alone": lambda: overhead(lab, 0)}
    if lab.wants("delivery_bytes_overhead_churn"):
        turns["churn"] = lambda: overhead(lab, _CHURN)
    found = await lab.alternate(turns)
    alone = tuple(found["alone"])
    figures = [Figure("delivery_bytes_overhead", "ratio", alone, at_most(1.5), None, _NOTE)]
    if "churn" in found:
        figures.append(
            Figure(
                "delivery_bytes_overhead_churn",
                "ratio",
                tuple(found["churn"]),
                at_most(1.7),
                Baseline("the same when nobody comes or goes", alone, "ratio"),
                f"{_NOTE} Each second {_CHURN:.0%} of the sessions end, and as many begin.",
            )
        )
    return Result(tuple(figure for figure in figures if lab.wants(figure.name)))


_NOTE: Final = "Values and keys of delivered records before compression, with the lots around them."


async def overhead(lab: Lab, churn: float) -> float:
    """One run; `churn`: the share of sessions that come and go in a second."""
    seconds = 2 if lab.quick else 10
    async with lab.trial() as trial:
        crowd = crowd_of(lab, trial)
        worker = await settle(trial, crowd)
        since = await trial.ends(catalog.DELIVERIES)
        loads = [paced(trial, _RATE, seconds, Sends(crowd, BODY_BYTES).take)]
        if churn:
            sessions = crowd.groups * crowd.members * churn
            loads.append(paced(trial, sessions, seconds, Churn(crowd).take, catalog.BINDINGS.name))
        sent, *_ = await asyncio.gather(*loads)
        await trial.consumed(worker, catalog.MESSAGES, catalog.BINDINGS)
        delivered, entries = 0, 0
        async for record in trial.read(catalog.DELIVERIES, since=since):
            delivered += len(record.key or b"") + len(record.value or b"")
            entries += (record.value or b"").count(ENTRY)
        if entries != sent.count * LINKS:
            raise Problem(f"Of {sent.count} messages there are {entries} entries on {LINKS} links.")
        lab.tell(f"  {delivered / entries:,.0f} B a delivery")
        return delivered / (entries * BODY_BYTES)
