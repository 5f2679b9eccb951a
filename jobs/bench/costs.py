"""What work costs, for sizing: seconds of a core that workers use for a message, an entry on a link, a join, a login.

The topics are filled first, then the workers work them off in full batches; what counts is the CPU time of the
worker's process meanwhile. So it is the cost under load: with little to do a transaction holds fewer messages, and each
costs more, while the machine idles.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from jobs.bench.figures import Figure, Result
from jobs.bench.ingest import settle
from jobs.bench.lab import Filling, Lab, Trial, Worker
from jobs.bench.world import APP, EPOCH, Crowd, Sends, link_name
from jobs.problem import Problem
from topics import catalog
from topics.codec import encode
from topics.keys import key_of, partition_of
from topics.relations import AddMembers
from topics.sessions import Up

#: Figure → (unit, what it is).
COSTS: Final[dict[str, tuple[str, str]]] = {
    "cost_message_us": ("µs", "CPU of a groups worker for a message of 200 B, without its entries"),
    "cost_entry_us": ("µs", "and for each link that it goes to"),
    "cost_kilobyte_us": ("µs", "and for each further 1,000 B of its body, on one link"),
    "cost_join_us": ("µs", "CPU of a groups worker for a member added alone"),
    "cost_join_in_lot_us": ("µs", "CPU of a groups worker for a member added with 9,999 others"),
    "cost_membership_us": ("µs", "CPU of a users worker for a user who joined a group in a lot"),
    "cost_login_us": ("µs", "CPU of a users worker for a session of a user in 10 groups"),
    "cost_bind_us": ("µs", "CPU of a groups worker for each group that a session is bound to"),
}
_SMALL, _LARGE = 200, 2_200
_FEW, _MANY = 1, 20
_GROUPS_OF_USER: Final = 10
_WITHIN_S: Final = 240.0
_LOOK_S: Final = 0.2
_IDLE_LOOKS: Final = 10


@dataclass(frozen=True, slots=True)
class _Sizes:
    messages: int = 40_000
    joins: int = 20_000
    lots: int = 20
    lot: int = 10_000
    users: int = 20_000

    @staticmethod
    def of(lab: Lab) -> _Sizes:
        return _Sizes(1_000, 500, 2, 1_000, 500) if lab.quick else _Sizes()


async def measure(lab: Lab) -> Result:
    """Every cost, `pace.repeat` times."""
    samples: dict[str, list[float]] = {name: [] for name in COSTS}
    for turn in range(lab.pace.repeat):
        lab.tell(f"costs: {turn + 1} of {lab.pace.repeat}")
        found = await _messages(lab) | await _joins(lab) | await _logins(lab)
        for name, value in found.items():
            samples[name].append(value)
    return Result(
        tuple(
            Figure(name, unit, tuple(samples[name]), note=note)
            for name, (unit, note) in COSTS.items()
            if lab.wants(name)
        )
    )


async def _messages(lab: Lab) -> dict[str, float]:
    few = await _message(lab, _FEW, _SMALL)
    many = await _message(lab, _MANY, _SMALL)
    large = await _message(lab, _FEW, _LARGE)
    entry = (many - few) / (_MANY - _FEW)
    return {
        "cost_message_us": few - _FEW * entry,
        "cost_entry_us": entry,
        "cost_kilobyte_us": (large - few) / (_LARGE - _SMALL) * 1_000,
    }


async def _message(lab: Lab, links: int, body_bytes: int) -> float:
    """Microseconds a message of so many bytes to so many links."""
    count = _Sizes.of(lab).messages
    async with lab.trial() as trial:
        crowd = Crowd(100, 100, links, trial.settings.partitions)
        worker = await settle(trial, crowd)
        filling = Sends(crowd, body_bytes).take(count, int(time.time() * 1000))
        return await _cost(trial, worker, catalog.MESSAGES.name, filling) / count


async def _joins(lab: Lab) -> dict[str, float]:
    """A member alone, and in lots; with what follows for the users role."""
    sizes = _Sizes.of(lab)
    async with lab.trial() as trial:
        crowd = Crowd(100, 10, 1, trial.settings.partitions)
        worker = await settle(trial, crowd)
        alone = [_join(crowd, number % crowd.groups, [f"n{number}"]) for number in range(sizes.joins)]
        lots = [
            _join(crowd, number, [f"m{number}-{user}" for user in range(sizes.lot)]) for number in range(sizes.lots)
        ]
        alone_us = await _cost(trial, worker, catalog.RELATIONS.name, alone) / sizes.joins
        users = await trial.start_worker("users")
        await _rest(users)
        before = users.cpu_s()
        lot_us = await _cost(trial, worker, catalog.RELATIONS.name, lots) / (sizes.lots * sizes.lot)
        await _rest(users)
        membership_us = (users.cpu_s() - before) * 1e6 / (sizes.lots * sizes.lot)
    return {"cost_join_us": alone_us, "cost_join_in_lot_us": lot_us, "cost_membership_us": membership_us}


def _join(crowd: Crowd, group: int, users: list[str]) -> Filling:
    return *crowd.keyed(group), encode(AddMembers(APP, crowd.group(group), users))


async def _logins(lab: Lab) -> dict[str, float]:
    """Users of ten groups each come online."""
    sizes = _Sizes.of(lab)
    names = [f"u{number}" for number in range(sizes.users)]
    async with lab.trial() as trial:
        crowd = Crowd(_GROUPS_OF_USER, 1, 1, trial.settings.partitions)
        groups = await settle(trial, crowd)
        users = await trial.start_worker("users")
        first = range(0, len(names), sizes.lot)
        lots = [_join(crowd, group, names[at : at + sizes.lot]) for group in range(crowd.groups) for at in first]
        await _cost(trial, groups, catalog.RELATIONS.name, lots)
        await _rest(users)
        before_s = groups.cpu_s()
        partitions = trial.settings.partitions
        ups = [_up(name, slot, partitions) for slot, name in enumerate(names)]
        login_us = await _cost(trial, users, catalog.SESSIONS.name, ups) / sizes.users
        await _rest(groups)
        bind_us = (groups.cpu_s() - before_s) * 1e6 / (sizes.users * _GROUPS_OF_USER)
    return {"cost_login_us": login_us, "cost_bind_us": bind_us}


def _up(user: str, slot: int, partitions: int) -> Filling:
    key = key_of(APP, user)
    return partition_of(key, partitions), key, encode(Up(APP, user, "phone", link_name(0), EPOCH, 0, slot))


async def _cost(trial: Trial, worker: Worker, topic: str, filling: list[Filling]) -> float:
    """Microseconds of CPU for all of it, first to last."""
    await _rest(worker)
    before_s = worker.cpu_s()
    await trial.fill(topic, filling)
    await _rest(worker)
    return (worker.cpu_s() - before_s) * 1e6


async def _rest(worker: Worker) -> None:
    """Wait until it has had nothing to do for a while.

    Raises:
        Problem: it takes too long.
    """
    until_s = time.monotonic() + _WITHIN_S
    idle = 0
    while idle < _IDLE_LOOKS:
        idle = idle + 1 if await worker.lag() == 0 else 0
        if time.monotonic() > until_s:
            raise Problem(f"The {worker.name} worker still has something to do:\n\n{worker.last_words()}")
        await asyncio.sleep(_LOOK_S)
