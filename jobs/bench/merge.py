"""Many messages into one channel whose listeners only count unread ones: how many notices a link gets for them.

A server of 100,000, all online on 100 links; each session asked to hear how many messages are unread in its channel.
1,000 messages a second are sent there. Counted are the notices that a reader of committed deliveries finds on each
link; what their counts say together has to be the number of messages, on every link.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

import msgspec

from jobs.bench.figures import Baseline, Figure, Result, at_most
from jobs.bench.lab import Lab, Trial, Worker
from jobs.bench.listening import listening
from jobs.bench.load import Paced, paced
from jobs.bench.server import filling
from jobs.bench.world import APP, Crowd, Sends
from jobs.problem import Problem
from topics import catalog
from topics.messages import MAIN
from topics.relations import CreateChannel

_LINKS: Final = 100
_PER_S: Final = 1_000.0
_BODY_BYTES: Final = 200
_WITHIN_S: Final = 240.0
_REST_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        members: of the server, all of them subscribers.
        seconds: for how long messages are sent in a repetition.
    """

    members: int = 100_000
    seconds: float = 10.0

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes(5_000, 2.0) if lab.quick else Sizes()


class _Entry(msgspec.Struct):
    tag: str = msgspec.field(name="t", default="")
    count: int = 0


class _Lot(msgspec.Struct):
    entries: list[_Entry] = []


_LOTS: Final = msgspec.json.Decoder(_Lot)


@dataclass(slots=True)
class Heard:
    """What the links were given for some messages.

    Attributes:
        notices: how many, by link.
        told: how many messages they stand for, by link.
        pushed: messages themselves, on all links.
    """

    notices: Counter[int] = field(default_factory=Counter)
    told: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    pushed: int = 0

    def add(self, link: int, value: bytes) -> None:
        """A record."""
        for entry in _LOTS.decode(value).entries:
            if entry.tag == "unread":
                self.notices[link] += 1
                self.told[link] += entry.count
            self.pushed += entry.tag == "m"


async def measure(lab: Lab) -> Result:
    """`notice_merge`."""
    sizes = Sizes.of(lab)
    rates, sent = [], []
    async with lab.trial(links=_LINKS) as trial:
        crowd = Crowd(1, sizes.members, _LINKS, trial.settings.partitions, "server")
        lab.tell(f"a server of {crowd.members:,}, who count what is unread in a channel")
        worker = await trial.start_worker("groups", "groups")
        await trial.fill(catalog.RELATIONS.name, crowd.relations())
        await trial.fill(catalog.RELATIONS.name, [filling(CreateChannel(APP, crowd.group(0), MAIN), crowd.partitions)])
        await trial.consumed(worker, catalog.RELATIONS, within_s=_WITHIN_S)
        await trial.fill(catalog.BINDINGS.name, crowd.bindings())
        await trial.fill(catalog.BINDINGS.name, listening(crowd, "unread_count"))
        await trial.consumed(worker, catalog.BINDINGS, within_s=_WITHIN_S)
        sends = Sends(crowd, _BODY_BYTES)
        for turn in range(lab.pace.repeat):
            lab.tell(f"notice_merge: {turn + 1} of {lab.pace.repeat}")
            async with lab.profiled(worker, "merge"):
                heard, load = await _heard(trial, worker, sends, sizes.seconds)
            sent.append(load.per_s)
            rates.append(max(heard.notices.values()) / load.seconds)
            lab.tell(f"  {rates[-1]:.1f} notices a link and second for {load.per_s:,.0f} messages/s")
    figure = Figure(
        "notice_merge",
        "notices/s",
        tuple(rates),
        at_most(10),
        Baseline("messages a second that they stand for", tuple(sent), "msgs/s"),
        f"The link with the most of {_LINKS}; {sizes.members:,} subscribers of `unread_count`.",
    )
    return Result((figure,))


async def _heard(trial: Trial, worker: Worker, sends: Sends, seconds: float) -> tuple[Heard, Paced]:
    """One run.

    Raises:
        Problem: a link was not told of every message, or was sent one.
    """
    since, before = await trial.ends(catalog.DELIVERIES), (await worker.counts()).get("messages", 0)
    sent = await paced(trial, _PER_S, seconds, sends.take)
    await trial.consumed(worker, catalog.MESSAGES)
    await asyncio.sleep(_REST_S)  # the last window
    heard = Heard()
    async for record in trial.read(catalog.DELIVERIES, since=since):
        heard.add(record.partition, record.value or b"")
    accepted = (await worker.counts()).get("messages", 0) - before
    if heard.pushed or {*heard.told.values()} != {accepted} or len(heard.told) != _LINKS:
        told = sorted({*heard.told.values()})
        raise Problem(f"{accepted} messages: {len(heard.told)} links were told of {told}, and sent {heard.pushed}")
    return heard, sent
