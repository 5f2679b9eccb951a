"""Plays a scenario on a running cluster, and waits until all is quiet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jobs.demo.cluster import Cluster
from jobs.demo.crowd import Crowd
from jobs.demo.hall import Command
from jobs.demo.scenario import (
    TOWN,
    Action,
    Beckon,
    Come,
    Go,
    Join,
    KillWorker,
    Lose,
    Part,
    RestartLink,
    Return,
    Say,
    SayAgain,
    Scenario,
    SilenceLink,
    Turn,
)
from jobs.problem import Problem

_BEGIN_S: Final = 120.0
_QUIET_S: Final = 120.0
_NOTICES_S: Final = 40.0
_TICK_S: Final = 0.01
_TEND_S: Final = 0.5
_CHECK_S: Final = 1.0
_CALM_LOOKS: Final = 3
_LOGIN_RATE: Final = 1_000


@dataclass(slots=True)
class Import:
    """How the very large group came to be.

    Attributes:
        members: how many are in.
        import_s: how long that took.
        bound_s: how long it took until all who are online heard it.
    """

    members: int = 0
    import_s: float = 0.0
    bound_s: float = 0.0


class Play:
    """One performance.

    Attributes:
        stage: what goes on now, in words.
        done: the faults that were injected, in words.
        elapsed_s: how much of the scenario is played.
        town: how the very large group came to be.
    """

    def __init__(self, scenario: Scenario, cluster: Cluster, crowd: Crowd) -> None:
        self.stage = "links register"
        self.done: list[str] = []
        self.elapsed_s = 0.0
        self.town = Import()
        self._scenario = scenario
        self._cluster = cluster
        self._crowd = crowd
        self._faults: set[asyncio.Task[None]] = set()
        self._workers = asyncio.Lock()  # nobody looks while one is being killed

    async def perform(self) -> None:
        """From the first group to the last answer.

        Raises:
            Problem: a worker ended by itself, or all did not become quiet in time.
        """
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self._watch())
            await self._crowd.start()
            await self._begin()
            await self._act()
            if self._scenario.town:
                await self._show_town()
            await self._come_to_rest()
            watch.cancel()

    async def _begin(self) -> None:
        """Groups, then the first sessions, until all of these hear the large team."""
        self.stage = "groups are made"
        for group, members in self._scenario.groups.items():
            await self._crowd.create(group, members)
        for command in self._scenario.hall:
            await self._crowd.rule(command)
        await self._until(lambda: not self._crowd.commands, _BEGIN_S)
        self.stage = "users come online"
        for i, come in enumerate(self._scenario.first):
            await self._crowd.come(come)
            if i % (_LOGIN_RATE // 10) == 0:
                await asyncio.sleep(0.1)
        await self._until(lambda: self._crowd.live() >= len(self._scenario.first), _BEGIN_S)

    async def _act(self) -> None:
        """The actions, each at its time."""
        self.stage = "the team is at work"
        began_s = tended_s = time.monotonic()
        for at_ms, action in self._scenario.actions:
            self.elapsed_s = time.monotonic() - began_s
            while self.elapsed_s * 1_000 < at_ms:
                await asyncio.sleep(_TICK_S)
                self.elapsed_s = time.monotonic() - began_s
            await self._do(action)
            if time.monotonic() - tended_s > _TEND_S:
                await self._crowd.tend()
                tended_s = time.monotonic()
        await asyncio.gather(*self._faults)

    async def _show_town(self) -> None:
        """The very large group: imported lot by lot, each when the one before is answered; then written to."""
        crowd, town = self._crowd, self.town
        of = sum(map(len, self._scenario.town))
        await self._until(lambda: not crowd.commands, _QUIET_S)
        began_s = time.monotonic()
        for lot in self._scenario.town:
            self.stage = f"one group of {of:,} members: {town.members:,} are in"
            await (crowd.change(Join(TOWN, tuple(lot))) if town.members else crowd.create(TOWN, lot))
            await self._until(lambda: not crowd.commands, _BEGIN_S, _TICK_S)
            town.members += len(lot)
        town.import_s = time.monotonic() - began_s
        self.stage = f"who is online of {of:,} members is bound"
        await self._until(lambda: crowd.live(TOWN) >= crowd.online - 1, _BEGIN_S)  # all but the admin
        town.bound_s = time.monotonic() - began_s - town.import_s
        self.stage = f"messages to {of:,} members"
        began_s = time.monotonic()
        for at_ms, say in self._scenario.said:
            await asyncio.sleep(began_s + at_ms / 1_000 - time.monotonic())
            await crowd.say(say)

    async def _do(self, action: Action) -> None:
        crowd = self._crowd
        match action:
            case Say():
                await crowd.say(action)
            case SayAgain():
                await crowd.say_again(action)
            case Beckon():
                await crowd.beckon(action)
            case Join() | Part():
                await crowd.change(action)
            case Command():
                await crowd.rule(action)
            case Come() | Go() | Turn() | Lose() | Return():
                await self._move(action)
            case _:
                await self._break(action)

    async def _move(self, action: Come | Go | Turn | Lose | Return) -> None:
        """A session begins, ends, turns away or comes back."""
        crowd = self._crowd
        match action:
            case Come():
                await crowd.come(action)
            case Go():
                await crowd.go(action)
            case Turn():
                await crowd.turn(action)
            case Lose():
                await crowd.lose(action)
            case Return():
                await crowd.resume(action)

    async def _break(self, action: KillWorker | SilenceLink | RestartLink) -> None:
        match action:
            case SilenceLink(link=link):
                self._tell(f"link {link} fell silent, without leaving; half of its sessions resume elsewhere")
                await self._crowd.silence(link)
            case RestartLink(link=link):
                self._tell(f"link {link} came back and registered anew; the others of its sessions resume there")
                await self._crowd.links[link].start()
            case KillWorker():
                self._faults.add(asyncio.create_task(self._kill()))

    async def _kill(self) -> None:
        self._tell("the groups worker was killed with -9 and started again")
        async with self._workers:
            await asyncio.to_thread(self._cluster.kill_worker, "groups")

    def _tell(self, what: str) -> None:
        self.done.append(f"{self.elapsed_s:4.1f} s  {what}")

    async def _come_to_rest(self) -> None:
        """Until every send and command is answered, and the workers have applied and stored everything."""
        self.stage = "waiting for the last answers"
        until_s = time.monotonic() + _QUIET_S
        while self._crowd.pending or self._crowd.commands:
            await self._crowd.tend(everyone=True)
            await asyncio.sleep(_TEND_S)
            if time.monotonic() > until_s:
                left = self._crowd.unanswered()
                raise Problem(f"{len(left)} sends and commands are not answered after {_QUIET_S:.0f} s: {left[:9]}")
        await self._crowd.tend()
        self.stage = "waiting for the last notices"  # what is missed then is told with the verdict
        until_s = time.monotonic() + _NOTICES_S
        while self._crowd.missed() and time.monotonic() < until_s:
            await self._crowd.tend()
            await asyncio.sleep(_TEND_S)
        self.stage = "waiting for the stores"
        until_s = time.monotonic() + _QUIET_S
        calm = 0
        while calm < _CALM_LOOKS:
            lag = await asyncio.to_thread(self._cluster.lag)
            calm = calm + 1 if lag is not None and not any(lag.values()) else 0
            await asyncio.sleep(_TEND_S)
            if time.monotonic() > until_s:
                raise Problem(f"The workers have not caught up after {_QUIET_S:.0f} s: lag {lag}")

    async def _until(self, so: Callable[[], bool], limit_s: float, pause_s: float = _TEND_S) -> None:
        until_s = time.monotonic() + limit_s
        while not so():
            await self._crowd.tend()
            await asyncio.sleep(pause_s)
            if time.monotonic() > until_s:
                raise Problem(f"“{self.stage}” took more than {limit_s:.0f} s.")

    async def _watch(self) -> None:
        """A worker that ends by itself ends the play."""
        while True:
            await asyncio.sleep(_CHECK_S)
            async with self._workers:
                await asyncio.to_thread(self._cluster.check)
