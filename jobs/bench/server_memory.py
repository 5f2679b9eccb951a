"""Memory of a groups worker with one very large server: members, roles, channels with lists, all in use.

What the worker holds when it rests, less what it held before the server. All members are online, each with a session;
every channel is private and had a message, so that each link was told who hears it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from jobs.bench.caller import calling
from jobs.bench.figures import Baseline, Figure, Result, at_most
from jobs.bench.lab import Lab
from jobs.bench.memory import resting_mb
from jobs.bench.server import SHARE, Server
from jobs.bench.world import APP
from topics import catalog
from topics.relations import Asked, CreateChannel, EditList

_LINKS: Final = 100
_WITHIN_S: Final = 900.0
_LISTED: Final = 10  # users on the list of each channel
_NAMED: Final = 2  # roles on it


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    members: int = 1_000_000
    roles: int = 50
    channels: int = 500

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes(20_000, 5, 10) if lab.quick else Sizes()


async def measure(lab: Lab) -> Result:
    """`rss_1m_server_mb`."""
    sizes = Sizes.of(lab)
    async with lab.trial(links=_LINKS) as trial:
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
    figure = Figure(
        "rss_1m_server_mb",
        "MB",
        tuple(samples),
        at_most(300),
        Baseline("the same worker before the server", (empty,), "MB"),
        f"{server.members:,} members, all online on {_LINKS} links; {sizes.roles} roles of a fifth of them each; "
        f"{sizes.channels} private channels, each with {_NAMED} of the roles and {_LISTED} users of its own on its "
        "white list: as many different audiences. The worker was not started anew since.",
    )
    return Result((figure,))


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
