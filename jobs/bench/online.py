"""Very many people online in one group: the memory of the workers of all roles together.

All members have a session, spread evenly over 100 links: they come by records on `sessions`, as gateways write them,
are bound by the users role, and hear messages. Memory is what the workers hold when they rest, less what the same ones
held before the group. The sinks keep the list of who is in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from jobs.bench.figures import Baseline, Figure, Result, at_most
from jobs.bench.ingest import applied
from jobs.bench.lab import Filling, Lab, Trial, Worker
from jobs.bench.memory import resting_mb
from jobs.bench.people import bound
from jobs.bench.server import filling
from jobs.bench.world import APP, DEVICE, EPOCH, Crowd, Sends, link_name
from streams.app import Role
from topics import catalog
from topics.codec import encode
from topics.entities import GroupKind
from topics.keys import key_of, partition_of
from topics.messages import MAIN
from topics.relations import CreateChannel
from topics.sessions import Up

_LINKS: Final = 100
_MEMORY_MB: Final = 8_192  # `groups_memory_mb`: the group is in use, so it is never to be loaded again
_BODY_BYTES: Final = 300
_MESSAGES: Final = 100
_WITHIN_S: Final = 3_600.0
_ROLES: Final[tuple[Role, ...]] = ("groups", "users", "sinks")


@dataclass(frozen=True, slots=True)
class _Job:
    """One figure.

    Attributes:
        name: of it.
        members: of the group.
        quick: of the group where the lab is in a hurry.
        kind: of the group.
        target: megabytes.
    """

    name: str
    members: int
    quick: int
    kind: GroupKind
    target: float


_JOBS: Final = (
    _Job("online_1m_rss_mb", 1_000_000, 10_000, "server", 400),
    _Job("rss_10m_online_mb", 10_000_000, 20_000, "team", 3_000),
)


async def measure(lab: Lab) -> Result:
    """`online_1m_rss_mb` and `rss_10m_online_mb`."""
    figures = [await _figure(lab, job) for job in _JOBS if lab.wants(job.name)]
    await lab.rest("redis", "cassandra")
    return Result(tuple(figures))


async def _figure(lab: Lab, job: _Job) -> Figure:
    members = job.quick if lab.quick else job.members
    async with lab.trial("kafka", "redis", "cassandra", links=_LINKS, groups_memory_mb=_MEMORY_MB) as trial:
        crowd = Crowd(1, members, _LINKS, trial.settings.partitions, job.kind)
        workers = [await trial.start_worker(role, role) for role in _ROLES]
        empty = [await resting_mb(worker) for worker in workers]
        lab.tell(f"a {job.kind} of {members:,} on workers of all roles")
        await _online(lab, trial, workers, crowd)
        sends = Sends(crowd, _BODY_BYTES)
        samples: list[float] = []
        each: list[float] = []
        for turn in range(lab.pace.repeat):
            lab.tell(f"{job.name}: {turn + 1} of {lab.pace.repeat}")
            await trial.fill(catalog.MESSAGES.name, sends.take(_MESSAGES, int(time.time() * 1000)))
            await applied(workers[0], "messages", _MESSAGES * (turn + 1))
            each = [await resting_mb(worker) - before for worker, before in zip(workers, empty, strict=True)]
            samples.append(sum(each))
            lab.tell(f"  {_shown(each)}")
    return Figure(
        job.name,
        "MB",
        tuple(samples),
        at_most(job.target),
        Baseline("the same workers before the group", (sum(empty),), "MB"),
        f"A {job.kind} of {members:,}, all online on {_LINKS} links, on workers that were not started anew since: "
        f"{_shown(each)}.",
    )


def _shown(each: Sequence[float]) -> str:
    return ", ".join(f"{role} {mb:,.0f} MB" for role, mb in zip(_ROLES, each, strict=True))


async def _online(lab: Lab, trial: Trial, workers: Sequence[Worker], crowd: Crowd) -> None:
    """The group comes to be, and everybody comes online."""
    groups, users, sinks = workers
    await trial.fill(catalog.RELATIONS.name, crowd.relations())
    if crowd.kind == "server":
        await trial.fill(catalog.RELATIONS.name, [filling(CreateChannel(APP, crowd.group(0), MAIN), crowd.partitions)])
    await trial.consumed(groups, catalog.RELATIONS, within_s=_WITHIN_S)
    await trial.consumed(users, catalog.MEMBERSHIPS, within_s=_WITHIN_S)
    await trial.consumed(sinks, catalog.CHANNEL_MEMBERS, within_s=_WITHIN_S)
    each = [f"{worker.name} {worker.rss_bytes() / 1e6:,.0f}" for worker in workers]
    lab.tell(f"  everybody is a member; MB in all: {', '.join(each)}")
    told = await trial.ends(catalog.DELIVERIES)
    async with lab.profiled(groups, "online-groups"), lab.profiled(users, "online-users"):
        await trial.fill(catalog.SESSIONS.name, ups(crowd))
        await trial.consumed(users, catalog.SESSIONS, within_s=_WITHIN_S)
        await trial.consumed(groups, catalog.BINDINGS, within_s=_WITHIN_S)
    await bound(trial, told, crowd.members)
    lab.tell("  everybody is online")


def ups(crowd: Crowd) -> Iterator[Filling]:
    """A session of each member of a crowd begins."""
    for group in range(crowd.groups):
        for ordinal in range(crowd.members):
            user, link = crowd.user(group, ordinal), crowd.link(ordinal)
            key = key_of(APP, user)
            up = Up(APP, user, DEVICE, link_name(link), EPOCH, link, crowd.slot(group, ordinal))
            yield partition_of(key, crowd.partitions), key, encode(up)
