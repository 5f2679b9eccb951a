"""What the messages of other groups on the same partition notice of a change of a million members.

The cluster has one partition. Small teams send at a steady pace; beside them a server of a million is imported, and
then one role is given to all of its members, who are online by then and whom it shows a channel. Both changes come in
lots, four of them under way at once. Latency is from the append of a message to that of its deliveries, by the broker's
clock. The worker may keep 2 GB of groups in memory (`groups_memory_mb`), so that the server stays there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from jobs.bench.appended import Latencies, latencies, messages_at
from jobs.bench.caller import Caller, calling
from jobs.bench.figures import Baseline, Figure, Result, at_most
from jobs.bench.ingest import settle
from jobs.bench.lab import Lab, Trial
from jobs.bench.load import paced
from jobs.bench.meanwhile import meanwhile
from jobs.bench.server import MEMORY_MB, Server
from jobs.bench.world import APP, Crowd, Sends
from jobs.problem import Problem
from topics import catalog
from topics.relations import AddRoleMembers, CreateRole

_LINKS: Final = 100
_TEAM_LINKS: Final = 10
_BODY_BYTES: Final = 200
_AT_ONCE: Final = 4
_PER_S: Final = 200.0
_LONGEST_S: Final = 600.0
_WITHIN_S: Final = 600.0
_ALONE_S: Final = 10.0
_SETTLE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        members: of the server.
        teams: that send meanwhile.
        each: members of a team, all online.
    """

    members: int = 1_000_000
    teams: int = 100
    each: int = 20

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes(30_000, 10, 20) if lab.quick else Sizes()


async def measure(lab: Lab) -> Result:
    """`stall_during_change_set_ms`."""
    sizes = Sizes.of(lab)
    found: dict[str, list[float]] = {"alone": [], "import": [], "role": [], "both": []}
    async with lab.trial(partitions=1, links=_LINKS, groups_memory_mb=MEMORY_MB) as trial:
        teams = Crowd(sizes.teams, sizes.each, _TEAM_LINKS, 1)
        worker = await settle(trial, teams)
        async with calling(trial) as caller, lab.profiled(worker, "stall"):
            for turn in range(lab.pace.repeat):
                lab.tell(f"stall_during_change_set: {turn + 1}")
                server = Server(sizes.members, _LINKS, 1, f"s{turn}-")
                stage = _Stage(trial, caller, Sends(teams, _BODY_BYTES, seed=turn + 1), server)
                alone = await stage.beside(lambda: asyncio.sleep(1.0 if lab.quick else _ALONE_S))
                imported = await stage.beside(stage.imported)
                await trial.fill(catalog.BINDINGS.name, server.crowd.bindings())
                await trial.consumed(worker, catalog.BINDINGS, within_s=_WITHIN_S)
                await stage.shown()
                given = await stage.beside(stage.given)
                both = np.concatenate([imported, given])
                for name, took in (("alone", alone), ("import", imported), ("role", given), ("both", both)):
                    found[name].append(float(np.percentile(took, 99)))
                told = ", ".join(f"{name} {values[-1]:,.0f} ms" for name, values in found.items())
                lab.tell(f"  p99 of {len(both) // _TEAM_LINKS:,} messages: {told}")
    each = "; ".join(f"{name} {', '.join(f'{one:,.0f}' for one in found[name])} ms" for name in ("import", "role"))
    figure = Figure(
        "stall_during_change_set_ms",
        "ms",
        tuple(found["both"]),
        at_most(150),
        Baseline("p99 of the same messages with nothing beside them", tuple(found["alone"]), "ms"),
        f"p99 of {_PER_S:.0f} messages/s to {sizes.teams} teams while {sizes.members:,} members are imported and get a "
        f"role on the same partition. By change: {each}.",
    )
    return Result((figure,))


@dataclass(slots=True)
class _Stage:
    trial: Trial
    caller: Caller
    sends: Sends
    server: Server

    async def imported(self) -> None:
        """The server comes to be, with all members."""
        await self.caller.ask_all(self.server.imported(), _AT_ONCE)

    async def shown(self) -> None:
        """A role, and a channel that it shows; the links know who hears that."""
        first = self.server.users([0])[0]
        await self.caller.ask(CreateRole(APP, self.server.name, "all"))
        await self.caller.ask(AddRoleMembers(APP, self.server.name, "all", [first]))
        await self.caller.ask(self.server.private("hall", "all"))
        await self.caller.say(self.server.name, "hall", first)

    async def given(self) -> None:
        """Everybody gets the role, and enters the channel."""
        _, *lots = self.server.role("all", range(self.server.members))
        await self.caller.ask_all(lots, _AT_ONCE)

    async def beside(self, change: Callable[[], Awaitable[object]]) -> Latencies:
        """How long the teams' messages took that were appended while a change was made."""
        since = await self.trial.ends(catalog.DELIVERIES)
        before = {*await messages_at(self.trial, _is_team)}
        async with meanwhile(self._talk()):
            await asyncio.sleep(0.5)
            await change()
        await asyncio.sleep(_SETTLE_S)
        sent = {one: at for one, at in (await messages_at(self.trial, _is_team)).items() if one not in before}
        took = await latencies(self.trial.read(catalog.DELIVERIES, since=since), sent)
        if len(took) != len(sent) * _TEAM_LINKS:
            raise Problem(f"{len(sent)} messages have {len(took)} deliveries on {_TEAM_LINKS} links")
        return took

    async def _talk(self) -> None:
        await paced(self.trial, _PER_S, _LONGEST_S, self.sends.take)


def _is_team(send: bytes) -> bool:
    return b'"group":"g' in send
