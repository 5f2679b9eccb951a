"""Bytes: what a link reads for each byte of a message's body.

1,000 messages a second with bodies of 300 B, to groups on 10 links. What is counted are the keys and values of the
records of `deliveries`, unpacked, with all that their lots say about themselves.
"""

from __future__ import annotations

from typing import Final

from jobs.bench.appended import ENTRY
from jobs.bench.figures import Figure, Result, at_most
from jobs.bench.ingest import LINKS, crowd_of, settle
from jobs.bench.lab import Lab
from jobs.bench.load import paced
from jobs.bench.world import Sends
from jobs.problem import Problem
from topics import catalog

BODY_BYTES: Final = 300
_RATE: Final = 1_000.0


async def measure(lab: Lab) -> Result:
    """Delivered bytes to bodies times links."""
    found = await lab.alternate({"bytes": lambda: overhead(lab)})
    note = "Values and keys of delivered records before compression, with the lots around them."
    return Result((Figure("delivery_bytes_overhead", "ratio", tuple(found["bytes"]), at_most(1.5), None, note),))


async def overhead(lab: Lab) -> float:
    """One run."""
    async with lab.trial() as trial:
        crowd = crowd_of(lab, trial)
        worker = await settle(trial, crowd)
        since = await trial.ends(catalog.DELIVERIES)
        sent = await paced(trial, _RATE, 2 if lab.quick else 10, Sends(crowd, BODY_BYTES).take)
        await trial.consumed(worker, catalog.MESSAGES)
        delivered, entries = 0, 0
        async for record in trial.read(catalog.DELIVERIES, since=since):
            delivered += len(record.key or b"") + len(record.value or b"")
            entries += (record.value or b"").count(ENTRY)
        if entries != sent.count * LINKS:
            raise Problem(f"Of {sent.count} messages there are {entries} entries on {LINKS} links.")
        lab.tell(f"  {delivered / entries:,.0f} B a delivery")
        return delivered / (entries * BODY_BYTES)
