"""Who sees a channel changes: from the command until the new audience is in force on every link.

All members of the servers are online, each with a session, spread evenly over 100 links, and each link was told the
channels' audiences before. The clock begins with the broker's append time of the command and ends when one reader of
all links' committed deliveries holds the last link's change; broker, worker and this reader share one machine and its
clock. How many were told to leave is counted afterwards, and has to be right.
Workers may keep 2 GB of groups in memory (`groups_memory_mb`), so that no server has to be loaded again meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from jobs.bench.caller import Caller, calling
from jobs.bench.figures import Baseline, Figure, Plot, Result, Series, at_most
from jobs.bench.ingest import ratios
from jobs.bench.lab import Lab, Trial, Worker
from jobs.bench.server import MEMORY_MB, SHARE, Server, in_parts
from jobs.bench.watch import Told, Watch, watching
from jobs.bench.world import APP, PUSHED
from jobs.problem import Problem
from topics import catalog, limits
from topics.relations import Asked, CreateCategory, CreateChannel, DeleteRole, EditList

LINKS: Final = 100
_CHANNEL: Final = "council"
_ROLE: Final = "citizens"
_STAFF: Final = "staff"
_STAFF_SHARE: Final = 1_000
_RULES: Final = 10  # distinct white lists of the channels that name one role
_PAUSE_S: Final = (0.05, 0.15)
_OTHER_CHANNELS: Final = 10
_WITHIN_S: Final = 600.0
_AT_ONCE: Final = 4
_FIGURES: Final = frozenset({"role_flip_1m_ms", "role_flip_1m_p99_ms", "role_flip_growth_10k_1m"})


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        members: of the server that figures name.
        fewer: of the one that it is compared with.
        channels: that name one role.
        flips: of each server in a repetition.
    """

    members: int = 1_000_000
    fewer: int = 10_000
    channels: int = 500
    flips: int = 40

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes(20_000, 2_000, 30, 4) if lab.quick else Sizes()


@dataclass(slots=True)
class Scene:
    """Servers on a worker, and those who ask and watch."""

    lab: Lab
    trial: Trial
    worker: Worker
    caller: Caller
    watch: Watch
    sizes: Sizes

    async def done(self, server: Server, command: Asked, links: int = LINKS) -> tuple[float, Told]:
        """Ask for something and wait until so many links were told; the milliseconds until then, and what was told."""
        done = await self.caller.ask(command)
        told = await self.watch.told(server.name, done.version, links)
        return told.seen_ms - done.appended_ms, told


async def measure(lab: Lab) -> Result:
    """All figures of flips."""
    sizes = Sizes.of(lab)
    # A few channels more than a server has by default: those that figures name, and some beside them.
    policy = msgspec.structs.replace(PUSHED, channels=sizes.channels + _OTHER_CHANNELS)
    async with lab.trial(links=LINKS, groups_memory_mb=MEMORY_MB) as trial:
        await trial.serve(APP, policy)
        large = Server(sizes.members, LINKS, trial.settings.partitions)
        small = Server(sizes.fewer, LINKS, trial.settings.partitions, "t")
        lab.tell(f"servers of {large.members:,} and {small.members:,} on a worker, all online")
        worker = await settle(trial, large, small)
        async with playing(lab, trial, worker, sizes) as scene:
            figures: list[Figure] = []
            plots: list[Plot] = []
            if any(lab.wants(name) for name in _FIGURES):
                found, plot = await _one_channel(scene, large, small)
                figures += found
                plots.append(plot)
            if lab.wants("role_flip_500_channels_ms"):
                figures.append(await _many_channels(scene, large))
            if lab.wants("role_1m_delete_ms"):
                figures.append(await _delete(scene, large))
            if lab.wants("list_1m_users_s"):
                figures.append(await _lists(scene, large))
    return Result(tuple(figure for figure in figures if lab.wants(figure.name)), tuple(plots))


async def settle(trial: Trial, *servers: Server) -> Worker:
    """A groups worker on which these servers are, everybody bound."""
    for server in servers:
        await trial.fill(catalog.RELATIONS.name, server.crowd.relations())
    worker = await trial.start_worker("groups", "groups")
    await trial.consumed(worker, catalog.RELATIONS, within_s=_WITHIN_S)
    for server in servers:
        await trial.fill(catalog.BINDINGS.name, server.crowd.bindings())
    await trial.consumed(worker, catalog.BINDINGS, within_s=_WITHIN_S)
    return worker


@asynccontextmanager
async def playing(lab: Lab, trial: Trial, worker: Worker, sizes: Sizes) -> AsyncIterator[Scene]:
    """Somebody to ask, and somebody to watch."""
    async with calling(trial) as caller, watching(trial) as watch:
        yield Scene(lab, trial, worker, caller, watch, sizes)


def _few(server: Server, number: int) -> list[int]:
    """Ordinals of some who keep seeing a channel, on every link, so that each knows its audience; others a number."""
    count = max(LINKS, server.members // _STAFF_SHARE)
    return [*range(number * count, (number + 1) * count)]


# -- a role of one channel -------------------------------------------------------------------------------------------


async def _one_channel(scene: Scene, large: Server, small: Server) -> tuple[list[Figure], Plot]:
    lab, leaving = scene.lab, {}
    for server in (large, small):
        leaving[server.name] = await _council(scene, server)
    took: dict[str, list[list[float]]] = {large.name: [], small.name: []}
    async with lab.profiled(scene.worker, "role-flip"):
        for turn in range(lab.pace.repeat):
            for server in (large, small):
                found = await _flips(scene, server, leaving[server.name])
                took[server.name].append(found)
                shown = ", ".join(f"{one:,.0f}" for one in sorted(found))
                lab.tell(f"  {server.members:,} members, turn {turn + 1}: {shown} ms")
    return _flip_figures(scene.sizes, took[large.name], took[small.name]), _plot(took, large, small)


async def _council(scene: Scene, server: Server) -> set[int]:
    """A private channel that a fifth of the members and a few others see; who lose it without the fifth."""
    holders = server.some(server.members // SHARE, seed=1)
    staff = _few(server, 0)
    for role, ordinals in ((_ROLE, holders), (_STAFF, staff)):
        await scene.caller.ask_all(server.role(role, ordinals), _AT_ONCE)
    await scene.caller.ask(server.private(_CHANNEL, _ROLE, _STAFF))
    await scene.caller.say(server.name, _CHANNEL, server.users(staff)[0])  # so that the links are told who hears it
    return set(holders) - set(staff)


async def _flips(scene: Scene, server: Server, leaving: set[int]) -> list[float]:
    """The role is taken off the white list, and put on again, some times: milliseconds until it is off everywhere."""
    links = len({ordinal % LINKS for ordinal in leaving})
    pauses = np.random.default_rng(1).uniform(*_PAUSE_S, 2 * scene.sizes.flips)
    found = []
    for off, on in pauses.reshape(-1, 2):
        await asyncio.sleep(off)
        took, told = await scene.done(server, server.white(_CHANNEL, remove_roles=[_ROLE]), links)
        if (flips := told.flips()) != (0, len(leaving)):
            raise Problem(f"{len(leaving)} members left the audience, but the links were told of {flips}")
        found.append(took)
        await asyncio.sleep(on)
        await scene.done(server, server.white(_CHANNEL, add_roles=[_ROLE]), links)
    return found


def _flip_figures(sizes: Sizes, large: list[list[float]], small: list[list[float]]) -> list[Figure]:
    p50, few = ([float(np.median(one)) for one in runs] for runs in (large, small))
    p99 = tuple(float(np.percentile(one, 99)) for one in large)
    what = (
        f"A role of {sizes.members // SHARE:,} is taken off the white list of one channel of a server of "
        f"{sizes.members:,}, {sizes.flips} times a repetition; another role stays on it."
    )
    return [
        Figure(
            "role_flip_1m_ms",
            "ms",
            tuple(p50),
            at_most(100),
            Baseline(f"the same in a server of {sizes.fewer:,}", tuple(few), "ms"),
            f"{what} The median of each repetition.",
        ),
        Figure("role_flip_1m_p99_ms", "ms", p99, at_most(200), None, f"{what} The 99th percentile of each."),
        Figure(
            "role_flip_growth_10k_1m",
            "ratio",
            ratios(p50, few),
            at_most(3),
            None,
            f"The median in the server of {sizes.members:,} divided by that in one of {sizes.fewer:,}, in turns.",
        ),
    ]


def _plot(took: dict[str, list[list[float]]], *servers: Server) -> Plot:
    shares = tuple(float(share) for share in range(1, 100))
    series = tuple(
        Series(
            f"{server.members:,} members",
            tuple(np.percentile(list(itertools.chain(*took[server.name])), shares).tolist()),
            shares,
        )
        for server in servers
    )
    title = f"A fifth of a server loses a channel: in force on {LINKS} links"
    return Plot("role_flip", title, "milliseconds", "changes that took at most so long, %", series)


# -- a role that many channels name ----------------------------------------------------------------------------------


async def _many_channels(scene: Scene, server: Server) -> Figure:
    """A role that all of many channels name is deleted, and made again."""
    role, others = "wide", [f"other{number}" for number in range(_RULES)]
    holders = server.some(server.members // SHARE, seed=3)
    channels = [f"c{number}" for number in range(scene.sizes.channels)]
    few = [_few(server, 3 + number) for number in range(_RULES)]
    leaving = sum(len(set(holders) - set(ordinals)) for ordinals in few)
    for other, ordinals in zip(others, few, strict=True):
        await scene.caller.ask_all(server.role(other, ordinals), _AT_ONCE)
    await scene.caller.ask_all(
        [server.private(one, others[number % _RULES]) for number, one in enumerate(channels)], _AT_ONCE
    )
    found = []
    for turn in range(max(scene.lab.pace.repeat, _LEAST_TURNS)):
        scene.lab.tell(f"role_flip_500_channels: {turn + 1}")
        await scene.caller.ask_all(server.role(role, holders, f"wide{turn}"), _AT_ONCE)
        await scene.caller.ask_all([server.white(one, add_roles=[role]) for one in channels], _AT_ONCE)
        for number in range(_RULES):  # so that the links are told who hears them
            await scene.caller.say(server.name, channels[number], server.users(few[number])[0])
        await asyncio.sleep(_SETTLE_S)
        async with scene.lab.profiled(scene.worker, f"role-flip-500-{turn}"):
            took, told = await scene.done(server, DeleteRole(APP, server.name, role))
        scene.lab.tell(f"  {took:,.0f} ms, {told.bytes / 1e6:,.1f} MB to the links")
        if told.ended != _RULES * LINKS and (flips := told.flips()) != (0, leaving):
            raise Problem(f"{leaving} members left {_RULES} audiences, but the links were told of {flips}")
        found.append(took)
    return Figure(
        "role_flip_500_channels_ms",
        "ms",
        tuple(found),
        at_most(1_000),
        None,
        f"A role of {len(holders):,} that stands on the white lists of {len(channels)} channels of a server of "
        f"{server.members:,}, beside one of {_RULES} other roles each, is deleted.",
    )


_LEAST_TURNS: Final = 5  # a turn is short
_SETTLE_S: Final = 1.0


# -- a role that everybody has ---------------------------------------------------------------------------------------


async def _delete(scene: Scene, server: Server) -> Figure:
    """A role of all members, that one channel names, is deleted."""
    role, keepers, channel = "all", "keepers", "hall"
    few = _few(server, 1)
    await scene.caller.ask_all(server.role(keepers, few), _AT_ONCE)
    await scene.caller.ask(server.private(channel, keepers))
    found = []
    for turn in range(max(scene.lab.pace.repeat, _LEAST_TURNS)):
        scene.lab.tell(f"role_1m_delete: {turn + 1}")
        await scene.caller.ask_all(server.role(role, range(server.members), f"all{turn}"), _AT_ONCE)
        await scene.caller.ask(server.white(channel, add_roles=[role]))
        await scene.caller.say(server.name, channel, server.users(few)[0])
        await asyncio.sleep(_SETTLE_S)
        took, told = await scene.done(server, DeleteRole(APP, server.name, role))
        scene.lab.tell(f"  {took:,.0f} ms")
        if (flips := told.flips()) != (0, server.members - len(few)):
            raise Problem(f"{server.members - len(few)} members left the audience, but the links were told of {flips}")
        found.append(took)
    return Figure(
        "role_1m_delete_ms",
        "ms",
        tuple(found),
        at_most(500),
        None,
        f"A role that all {server.members:,} members have, on the white list of one channel beside another role, is "
        "deleted: until everybody else has left the channel's audience on every link.",
    )


# -- lists that name everybody ---------------------------------------------------------------------------------------


async def _lists(scene: Scene, server: Server) -> Figure:
    """All members are put on the white list of a channel, and on that of a category which another one follows."""
    few = _few(server, 2)
    for role in ("walkers", "drivers"):  # two, so that the two are not under one rule
        await scene.caller.ask_all(server.role(role, few), _AT_ONCE)
    category = CreateCategory(APP, server.name, "district", view_mode="private", white_roles=["drivers"])
    follower = CreateChannel(APP, server.name, "street", category="district", sync=True)
    await scene.caller.ask_all([server.private("lane", "walkers"), category, follower])
    took: dict[str, list[float]] = {"channel": [], "category": []}
    places = {"channel": ("lane", "lane"), "category": ("district", "street")}
    for turn, (kind, (place, channel)) in itertools.product(range(scene.lab.pace.repeat), places.items()):
        scene.lab.tell(f"list_1m_users: a {kind}'s, {turn + 1}")
        await scene.caller.say(server.name, channel, server.users(few)[0])
        where: dict[str, Any] = {"app": APP, "group": server.name, "which": "white", kind: place}
        parts = in_parts(EditList, server.users(), f"{kind}{turn}", "add_users", **where)
        async with scene.lab.profiled(scene.worker, f"list-{kind}-{turn}"):
            done = await scene.caller.ask_all(parts, _AT_ONCE)
            told = await scene.watch.told(server.name, done[-1].version, LINKS)
        if (named := sum(one.changed for one in done)) != server.members:
            raise Problem(f"{named} of {server.members} users were put on the list")
        took[kind].append((told.seen_ms - done[0].appended_ms) / 1000)
        await scene.done(server, EditList(**where, clear=True))
    each = "; ".join(f"a {kind}'s {', '.join(f'{one:.1f}' for one in runs)} s" for kind, runs in took.items())
    return Figure(
        "list_1m_users_s",
        "s",
        tuple(max(pair) for pair in zip(*took.values(), strict=True)),
        at_most(60),
        None,
        f"{server.members:,} users are put on a white list in lots of {limits.LOT_USERS:,}, {_AT_ONCE} of them under "
        f"way at once, until the last lot is in force on every link. The slower of the two: {each}.",
    )
