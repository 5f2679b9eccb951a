"""One very large server with many roles and channels: the memory of its worker, and what a view of it takes.

All members are online, each with a session. Every channel is private, names two roles and ten users of its own, and had
a message, so that each link was told who hears it. Memory is what the worker holds when it rests, less what it held
before the server. The view is asked one request after the other, about other members each time, over one connection;
a round trip ends when the whole answer is read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec
import numpy as np
from aiohttp import ClientSession

from jobs.bench.caller import calling
from jobs.bench.figures import Baseline, Figure, Result, at_most
from jobs.bench.lab import Lab, Worker
from jobs.bench.memory import resting_mb
from jobs.bench.server import MEMORY_MB, SHARE, Server
from jobs.bench.world import APP, PUSHED
from jobs.problem import Problem
from streams.settings import Settings
from streams.web.tokens import Claims, Tokens
from topics import catalog
from topics.relations import Asked, CreateChannel, EditList

_LINKS: Final = 100
_WITHIN_S: Final = 900.0
_LISTED: Final = 10  # users on the list of each channel
_NAMED: Final = 2  # roles on it


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        members: of the server.
        roles: of it.
        channels: of it.
        asked: members that a view is asked about in a repetition.
    """

    members: int = 1_000_000
    roles: int = 50
    channels: int = 500
    asked: int = 1_000

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes(20_000, 5, 10, 50) if lab.quick else Sizes()


async def measure(lab: Lab) -> Result:
    """`rss_1m_server_mb` and `visible_channels_query_ms`."""
    sizes = Sizes.of(lab)
    async with lab.trial(links=_LINKS, groups_memory_mb=MEMORY_MB) as trial:
        await trial.serve(APP, PUSHED)
        worker = await trial.start_worker("groups", "groups")
        empty = await resting_mb(worker)
        server = Server(sizes.members, _LINKS, trial.settings.partitions)
        lab.tell(f"a server of {server.members:,} with {sizes.roles} roles and {sizes.channels} channels on a worker")
        await trial.fill(catalog.RELATIONS.name, server.crowd.relations())
        await trial.fill(catalog.RELATIONS.name, server.fillings(_structure(server, sizes)))
        await trial.consumed(worker, catalog.RELATIONS, within_s=_WITHIN_S)
        lab.tell(f"  {await resting_mb(worker) - empty:,.0f} MB with nobody online")
        await trial.fill(catalog.BINDINGS.name, server.crowd.bindings())
        await trial.consumed(worker, catalog.BINDINGS, within_s=_WITHIN_S)
        lab.tell(f"  {await resting_mb(worker) - empty:,.0f} MB with everybody online")
        samples = []
        async with calling(trial) as caller:
            for turn in range(lab.pace.repeat):
                lab.tell(f"rss_1m_server: {turn + 1} of {lab.pace.repeat}")
                for number in range(sizes.channels):
                    await caller.say(server.name, _channel(number), server.users([_listed(server, number)[0]])[0])
                samples.append(await resting_mb(worker) - empty)
        trips = []
        if lab.wants("visible_channels_query_ms"):
            async with lab.profiled(worker, "visible-channels"):
                for turn in range(lab.pace.repeat):
                    trips.append(await _asked(worker, trial.settings, server, sizes, seed=turn))
                    lab.tell(f"  visible channels: p50 {trips[-1].p50_ms:.1f} ms, p99 {trips[-1].p99_ms:.1f} ms")
    figures = [_memory(server, sizes, samples, empty)]
    if trips:
        figures.append(_view(server, sizes, trips))
    return Result(tuple(figure for figure in figures if lab.wants(figure.name)))


def _memory(server: Server, sizes: Sizes, samples: list[float], empty: float) -> Figure:
    return Figure(
        "rss_1m_server_mb",
        "MB",
        tuple(samples),
        at_most(300),
        Baseline("the same worker before the server", (empty,), "MB"),
        f"{server.members:,} members, all online on {_LINKS} links; {sizes.roles} roles of a fifth of them each; "
        f"{sizes.channels} private channels, each with {_NAMED} of the roles and {_LISTED} users of its own on its "
        "white list: as many different audiences. The worker was not started anew since.",
    )


@dataclass(frozen=True, slots=True)
class _Trips:
    """What a run of requests took."""

    p50_ms: float
    p99_ms: float
    seen: float


async def _asked(worker: Worker, settings: Settings, server: Server, sizes: Sizes, seed: int) -> _Trips:
    """Ask which channels some members see."""
    token = Tokens.of(settings).mint(Claims(APP, "gateway", "bench"), 3_600)
    path = f"{worker.url}/v1/apps/{APP}/groups/{server.name}/channels"
    took, seen = [], []
    async with ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        for user in server.users(server.some(sizes.asked, seed)):
            began = time.perf_counter()
            async with http.get(path, params={"user": user, "limit": str(sizes.channels)}) as answer:
                told = await answer.json(loads=msgspec.json.decode)
            took.append((time.perf_counter() - began) * 1000)
            if answer.status != HTTPStatus.OK or "next" in told:
                raise Problem(
                    f"A view of the benchmark was not answered in one page: {answer.status} {str(told)[:200]}"
                )
            seen.append(len(told["channels"]))
    return _Trips(float(np.percentile(took, 50)), float(np.percentile(took, 99)), float(np.mean(seen)))


def _view(server: Server, sizes: Sizes, trips: list[_Trips]) -> Figure:
    return Figure(
        "visible_channels_query_ms",
        "ms",
        tuple(one.p99_ms for one in trips),
        at_most(15),
        Baseline("the median", tuple(one.p50_ms for one in trips), "ms"),
        f"p99 of {sizes.asked:,} requests for all visible channels of one member of {server.members:,}; of "
        f"{sizes.channels} channels a member sees {np.mean([one.seen for one in trips]):,.0f} in the mean.",
    )


def _structure(server: Server, sizes: Sizes) -> Iterator[Asked]:
    for number in range(sizes.roles):
        yield from server.role(_role(number), server.some(server.members // SHARE, seed=number))
    for number in range(sizes.channels):
        names = [_role((number + step * (1 + number // sizes.roles)) % sizes.roles) for step in range(_NAMED)]
        yield CreateChannel(APP, server.name, _channel(number), view_mode="private", white_roles=sorted({*names}))
        users = server.users(_listed(server, number))
        yield EditList(APP, server.name, "white", _channel(number), add_users=users)


def _role(number: int) -> str:
    return f"r{number}"


def _channel(number: int) -> str:
    return f"c{number}"


def _listed(server: Server, number: int) -> list[int]:
    """Ordinals on the list of a channel."""
    return [(number * _LISTED + step) % server.members for step in range(_LISTED)]
