"""A link ends, or is there again: until nothing names it any more, and until its people hear their groups again.

30,000 people in 20 of 10,000 groups each are online on three links, 10,000 on each; all links are registered and beat.
One users and one groups worker run side by side. In turns one link registers anew, as a gateway that was restarted, and
all of its people come at once; and it leaves while 1,000 messages a second are sent to the groups.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from jobs.bench.appended import ENTRY, latencies, messages_at
from jobs.bench.figures import Baseline, Figure, Result, at_most
from jobs.bench.gateways import Gateways, gateways
from jobs.bench.lab import Lab, Record, Trial
from jobs.bench.load import paced
from jobs.bench.people import Pair, People, bound, listened, settle
from jobs.bench.world import Sends, link_name
from jobs.problem import Problem
from topics import catalog
from topics.wire import LinkAddress

_LINKS: Final = 3
_DYING: Final = 0
_BODY_BYTES: Final = 200
_LONGEST_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        sessions: on each link.
        groups: how many there are.
        each: groups of a user.
        per_s: messages a second while a link dies.
        before_s: for how long they are sent before it does.
        after_s: and afterwards.
    """

    sessions: int = 10_000
    groups: int = 10_000
    each: int = 20
    per_s: float = 1_000
    before_s: float = 3.0
    after_s: float = 6.0

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes(200, 100, 20, 100, 1.0, 2.0) if lab.quick else Sizes()


@dataclass(frozen=True, slots=True)
class Death:
    """What followed when a link left.

    Attributes:
        named_s: from the first record of its void to the last delivery that names it; 0 if none does.
        others_p99_ms: of deliveries of messages to the other links, from a second before it left.
    """

    named_s: float
    others_p99_ms: float


async def measure(lab: Lab) -> Result:
    """`link_death_s` and `login_storm_s`."""
    sizes = Sizes.of(lab)
    deaths: list[Death] = []
    storms: list[float] = []
    async with lab.trial(links=_LINKS) as trial:
        names = [link_name(number) for number in range(_LINKS)]
        unknown = tuple(LinkAddress(name, 0, number) for number, name in enumerate(names))
        people = People(sizes.sessions * _LINKS, sizes.groups, sizes.each, trial.settings.partitions, unknown)
        pair = await settle(lab, trial, people)
        async with gateways(trial) as links:
            stage = Stage(lab, trial, pair, links, sizes)
            people = dataclasses.replace(people, links=tuple([(await links.register(name))[0] for name in names]))
            await trial.fill(catalog.SESSIONS.name, people.ups(range(people.users)))
            await listened(trial, pair)
            for turn in range(lab.pace.repeat):
                lab.tell(f"login_storm: {turn + 1} of {lab.pace.repeat}")
                people, took_s = await stage.storm(people)
                storms.append(took_s)
                lab.tell(f"  {took_s:.2f} s until everybody is live")
                if lab.wants("link_death_s"):
                    deaths.append(await stage.death(people, seed=turn))
                    lab.tell(f"  {deaths[-1].named_s:.2f} s until nothing names a dead link")
                    if turn + 1 < lab.pace.repeat:
                        people, _ = await stage.storm(people)  # so that each storm finds sessions of a link that lived
    return Result(tuple(one for one in _figures(sizes, storms, deaths) if lab.wants(one.name)))


def _figures(sizes: Sizes, storms: list[float], deaths: list[Death]) -> Iterator[Figure]:
    if deaths:
        yield Figure(
            "link_death_s",
            "s",
            tuple(one.named_s for one in deaths),
            at_most(2),
            Baseline("p99 of the messages to other links meanwhile", tuple(one.others_p99_ms for one in deaths), "ms"),
            f"A link with {sizes.sessions:,} sessions in {sizes.each} groups each leaves while {sizes.per_s:,.0f} "
            "messages/s are sent: from the append of the first record of its void to that of the last delivery which "
            "names it.",
        )
    rates = tuple(sizes.sessions / took_s for took_s in storms)
    yield Figure(
        "login_storm_s",
        "s",
        tuple(storms),
        at_most(15),
        Baseline("that is", rates, "sessions/s"),
        f"From the append of the link's registration, which ends its former one, to that of the last of "
        f"{sizes.sessions * sizes.each:,} binds that it is told of.",
    )


@dataclass(slots=True)
class Stage:
    """A cluster with people online on registered links."""

    lab: Lab
    trial: Trial
    pair: Pair
    links: Gateways
    sizes: Sizes

    async def storm(self, people: People) -> tuple[People, float]:
        """A link registers anew and all of its people come at once: seconds until all of them are live."""
        told = await self.trial.ends(catalog.DELIVERIES)
        address, began_ms = await self.links.register(people.links[_DYING].link)
        links = (*people.links[:_DYING], address, *people.links[_DYING + 1 :])
        people = dataclasses.replace(people, links=links)
        async with (
            self.lab.profiled(self.pair.groups, "storm-groups"),
            self.lab.profiled(self.pair.users, "storm-users"),
        ):
            await self.trial.fill(catalog.SESSIONS.name, people.ups(range(_DYING, people.users, _LINKS)))
            await listened(self.trial, self.pair)
        binds = self.sizes.sessions * people.each
        last_ms = await bound(self.trial, told, binds, [(address.link, address.epoch)])
        return people, (last_ms - began_ms) / 1000

    async def death(self, people: People, seed: int) -> Death:
        """A link leaves while messages are sent."""
        told, voids = await self.trial.ends(catalog.DELIVERIES), await self.trial.ends(catalog.LINK_VOIDS)
        before = {*await messages_at(self.trial)}
        async with self._talking(people, seed), self.lab.profiled(self.pair.groups, "death-groups"):
            await asyncio.sleep(self.sizes.before_s)
            await self.links.leave(people.links[_DYING].link)
            await asyncio.sleep(self.sizes.after_s)
        await self.trial.consumed(self.pair.groups, catalog.MESSAGES, catalog.LINK_VOIDS)
        await self.trial.consumed(self.pair.users, catalog.LINK_VOIDS)
        void_ms = await self._void_ms(voids, people.links[_DYING])
        dying = people.links[_DYING].partition
        records = [record async for record in self.trial.read(catalog.DELIVERIES, since=told)]
        mine = [one for one in records if one.partition == dying and names(one, people.links[_DYING])]
        if not any(one.timestamp <= void_ms and ENTRY in (one.value or b"") for one in mine):
            raise Problem("The link that left had no messages before")
        last_ms = max(one.timestamp for one in mine)
        appended = await messages_at(self.trial)
        sent = {one: at for one, at in appended.items() if one not in before and at > void_ms - _AROUND_MS}
        took = await latencies(_others(records, dying), sent)
        return Death(max(0.0, last_ms - void_ms) / 1000, float(np.percentile(took, 99)))

    async def _void_ms(self, since: dict[int, int], dead: LinkAddress) -> float:
        """When the first record of its void was appended."""
        found = []
        async for record in self.trial.read(catalog.LINK_VOIDS, since=since):
            void = _VOIDS.decode(record.value or b"{}")
            if (void.link, void.epoch) == (dead.link, dead.epoch):
                found.append(record.timestamp)
        return float(min(found))

    @contextlib.asynccontextmanager
    async def _talking(self, people: People, seed: int) -> AsyncIterator[None]:
        take = Sends(people, _BODY_BYTES, seed=seed + 1).take
        talk = asyncio.create_task(paced(self.trial, self.sizes.per_s, _LONGEST_S, take))
        try:
            yield
        finally:
            talk.cancel()
            await asyncio.wait([talk])


_AROUND_MS: Final = 1_000


class _Address(msgspec.Struct):
    link: str = ""
    epoch: int = 0
    tag: str = msgspec.field(name="t", default="")


_ADDRESSES: Final = msgspec.json.Decoder(_Address)
_VOIDS: Final = _ADDRESSES


def names(record: Record, link: LinkAddress) -> bool:
    """Whether a record is a delivery to this registration; its own void is none."""
    told = _ADDRESSES.decode(record.value or b"{}")
    return told.tag != "void" and (told.link, told.epoch) == (link.link, link.epoch)


async def _others(records: list[Record], partition: int) -> AsyncIterator[Record]:
    """The records of the other links."""
    for record in records:
        if record.partition != partition:
            yield record
