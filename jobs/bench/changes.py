"""Small changes of relations: how many one worker applies, checked, made events and told to links.

The topic is filled first; then the worker starts and works it off. Members of a thousand servers, all online, come and
go, get and lose a role, are put on and taken off a list, and change their profiles: each command concerns one user and
changes something. Counted are events, by their append times, after those of the first batch.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from jobs.bench.figures import Figure, Result, at_least
from jobs.bench.ingest import LINKS
from jobs.bench.lab import Lab
from jobs.bench.server import filling
from jobs.bench.world import APP, Crowd
from jobs.problem import Problem
from topics import catalog
from topics.relations import (
    AddMembers,
    AddRoleMembers,
    Asked,
    CreateChannel,
    CreateRole,
    EditList,
    RemoveMembers,
    RemoveRoleMembers,
    UpdateMember,
)

_WITHIN_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        servers: how many.
        members: of each.
        commands: in a repetition.
    """

    servers: int = 1_000
    members: int = 100
    commands: int = 70_000

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes(50, 20, 3_500) if lab.quick else Sizes()


async def measure(lab: Lab) -> Result:
    """`relation_events_per_s`."""
    sizes, rates = Sizes.of(lab), []
    for turn in range(lab.pace.repeat):
        lab.tell(f"relation_events: {turn + 1} of {lab.pace.repeat}")
        rates.append(await _rate(lab, sizes))
        lab.tell(f"  {rates[-1]:,.0f} events/s")
    figure = Figure(
        "relation_events_per_s",
        "events/s",
        tuple(rates),
        at_least(4_000),
        None,
        f"{sizes.commands:,} commands on {sizes.servers:,} servers of {sizes.members} members, all online on {LINKS} "
        "links, each with a role and a private channel; no answers asked for; one groups worker.",
    )
    return Result((figure,))


async def _rate(lab: Lab, sizes: Sizes) -> float:
    async with lab.trial(links=LINKS) as trial:
        partitions = trial.settings.partitions
        crowd = Crowd(sizes.servers, sizes.members, LINKS, partitions, "server")
        await trial.fill(catalog.RELATIONS.name, crowd.relations())
        await trial.fill(catalog.RELATIONS.name, (filling(one, partitions) for one in _beginnings(crowd)))
        worker = await trial.start_worker("groups", "groups")
        await trial.consumed(worker, catalog.RELATIONS, within_s=_WITHIN_S)
        await trial.fill(catalog.BINDINGS.name, crowd.bindings())
        await trial.consumed(worker, catalog.BINDINGS, within_s=_WITHIN_S)
        await asyncio.to_thread(worker.stop)
        since = await trial.ends(catalog.RELATION_EVENTS)
        commands = itertools.islice(_changes(crowd), sizes.commands)
        await trial.fill(catalog.RELATIONS.name, [filling(one, partitions) for one in commands])
        worker = await trial.start_worker("groups", worker.name, wait=False)
        async with lab.profiled(worker, "relation-events"):
            await worker.ready()
            await trial.consumed(worker, catalog.RELATIONS, within_s=_WITHIN_S)
        times: Counter[int] = Counter()
        async for record in trial.read(catalog.RELATION_EVENTS, since=since):
            times[record.timestamp] += 1
    if times.total() != sizes.commands:
        raise Problem(f"{sizes.commands} commands became {times.total()} events")
    first, last = min(times), max(times)
    return (times.total() - times[first]) / max(last - first, 1) * 1000


def _beginnings(crowd: Crowd) -> Iterator[Asked]:
    """Each server has a role, and a private channel that it shows."""
    for number in range(crowd.groups):
        group = crowd.group(number)
        yield CreateRole(APP, group, "friends")
        yield CreateChannel(APP, group, "garden", view_mode="private", white_roles=["friends"])


def _changes(crowd: Crowd) -> Iterator[Asked]:
    """Commands that each change something, without end: each round one member of each server."""
    for round_ in itertools.count():
        for number in range(crowd.groups):
            group, user = crowd.group(number), crowd.user(number, round_ % crowd.members)
            guest = f"{group}-guest{round_}"
            yield AddMembers(APP, group, [guest])
            yield AddRoleMembers(APP, group, "friends", [user])
            yield EditList(APP, group, "white", "garden", add_users=[user])
            yield UpdateMember(APP, group, user, nick=f"nick{round_}")
            yield RemoveRoleMembers(APP, group, "friends", [user])
            yield EditList(APP, group, "white", "garden", remove_users=[user])
            yield RemoveMembers(APP, group, [guest])
