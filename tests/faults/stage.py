"""The whole pipeline for tests of faults: three roles as processes on real services, a crowd on two links, the judge.

A test plays an endless load, brings its faults about meanwhile, and then asks for the verdict on all that was ever done
on this stage. A stage on which something went wrong is not used again, so that no test is judged for another's faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec

from jobs.demo.cluster import Cluster
from jobs.demo.crowd import Crowd, SimulatedLink
from jobs.demo.play import Play
from jobs.demo.scenario import LINKS, Come, KillWorker, Lose, Part, RestartLink, Scenario, SilenceLink, Size, write
from jobs.problem import Problem
from jobs.services.process import Process
from jobs.stack import Stack, ask
from jobs.top.samples import Samples
from jobs.verify.judge import SETTLE_MS, judge
from jobs.verify.report import Report
from jobs.verify.world import World
from jobs.verify_command import read_run
from linkcast_gateway import Answer, Group, Handler, Message, Registration
from streams.app import ROLES, Role
from streams.settings import PREFIX, Settings
from tests.faults.worker import Happened, Plan, happened_in, plan_in
from tests.services import free_ports
from topics import catalog
from topics.codec import decode
from topics.keys import key_of, partition_of
from topics.rejects import Reject

ROOT: Final = Path(__file__).parents[2]
SESSION_S: Final = 6.0
_READY_S: Final = 60.0
_POLL_S: Final = 0.05
_STEP_S: Final = 1.0
_ANSWER_S: Final = 5.0
_PATIENCE_S: Final = 30.0
_LEAST_ACCEPTED: Final = 1_000
_LEAST_DELIVERED: Final = 2_000
_SIZE: Final = Size(
    seconds=150, users=300, groups=20, online=0.5, rate=150, team_rate=10, comings=4, changes=3, signals=3
)


@dataclass(frozen=True)
class Release:
    """What a worker is made of.

    Attributes:
        module: the one to run; takes a role and a name.
        place: where its modules are, before any that are installed.
    """

    module: tuple[str, ...]
    place: Path = ROOT


#: This release; does what is planned for it.
THIS: Final = Release(("tests.faults.worker",))


class FaultyStack(Stack):
    """Workers of any release."""

    def start_release(self, release: Release, role: Role, name: str, view_port: int) -> Process:
        """Start a worker; nothing but its own release is found before what is installed."""
        command = [sys.executable, "-P", "-m", *release.module, "--role", role, "--name", name]
        return self._start(name, command, {f"{PREFIX}VIEW_PORT": str(view_port), "PYTHONPATH": str(release.place)})


class Stage(Cluster):
    """The workers, by name; the first of each role is named after it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, lambda _: None)
        self.stack: FaultyStack = FaultyStack(settings)
        self.judged_good = True
        self._settle_ms = SETTLE_MS
        self._ports: dict[str, int] = {}
        self._processes: dict[str, Process] = {}
        self._doomed: set[str] = set()  # those that may end, or stand still

    # -- workers -----------------------------------------------------------------------------------------------------

    def start(self, name: str, release: Release = THIS) -> None:
        """Start a worker: `groups`, or `groups-2` for another one of the role."""
        role = next(role for role in ROLES if name.startswith(role))
        port = self._ports.setdefault(name, free_ports(1)[0])
        self._processes[name] = self.stack.start_release(release, role, name, port)
        self._doomed.discard(name)

    def replace(self, name: str, release: Release = THIS) -> None:
        """End a worker in order, and start it again."""
        self.stop(name)
        self.start(name, release)

    def set_up(self) -> None:
        """One worker of each role, ready, with nothing planned."""
        for name in [name for name in self._processes if name not in ROLES]:
            self.stop(name)
        for role in ROLES:
            plan_in(self.folder(role)).unlink(missing_ok=True)
            if role not in self._processes:
                self.start(role)
        deadline_s = time.monotonic() + _READY_S
        while not all(self.ready(name) for name in ROLES):
            self.check()
            assert time.monotonic() < deadline_s, f"workers are not ready\n{self.last_words()}"
            time.sleep(_POLL_S)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a worker and wait for it."""
        process = self._processes[name]
        self._doomed.add(name)
        process.signal(number)
        assert process.ends_within(30), f"{name} does not end\n{self.last_words()}"
        del self._processes[name]

    def wake(self, name: str) -> None:
        """Let a frozen worker go on."""
        self._processes[name].signal(signal.SIGCONT)
        self._doomed.discard(name)

    def plan(self, name: str, plan: Plan) -> None:
        """Put down what a worker is to do to itself."""
        self._doomed.add(name)
        happened_in(self.folder(name)).unlink(missing_ok=True)
        plan_in(self.folder(name)).write_bytes(msgspec.json.encode(plan))

    def happened(self, name: str) -> Happened | None:
        """What a worker did to itself."""
        place = happened_in(self.folder(name))
        return msgspec.json.decode(place.read_bytes(), type=Happened) if place.exists() else None

    def doom(self, name: str) -> None:
        """Let a worker end by itself."""
        self._doomed.add(name)

    def died(self, name: str) -> bool:
        """Whether a worker is gone; then it can be started again."""
        if self._processes[name].alive:
            return False
        del self._processes[name]
        return True

    def tear_down(self) -> None:
        """End everything, also what is frozen."""
        for process in self._processes.values():
            process.signal(signal.SIGCONT)
        self.stack.stop()

    # -- what they say -----------------------------------------------------------------------------------------------

    def folder(self, name: str) -> Path:
        """A worker's own folder."""
        return self.settings.data / "workers" / name

    def url(self, name: str) -> str:
        """A worker's views."""
        return f"http://{self.settings.host}:{self._ports[name]}"

    def ready(self, name: str) -> bool:
        """Whether all of its lanes serve."""
        return bool(ask(f"{self.url(name)}/ready"))

    def health(self, name: str) -> Mapping[str, Any]:
        """What it says of itself; nothing when it does not answer, of one that lives not even in time."""
        until_s = time.monotonic() + _PATIENCE_S
        while (told := ask(f"{self.url(name)}/health")) is None and self._lives(name) and time.monotonic() < until_s:
            time.sleep(_POLL_S)
        return told or {"lanes": [], "counts": {"records": 0}}

    def _lives(self, name: str) -> bool:
        return name not in self._doomed and name in self._processes and self._processes[name].alive

    def gauge(self, name: str, metric: str) -> float:
        """What a worker measures, all its partitions added up."""
        with urllib.request.urlopen(f"{self.url(name)}/metrics", timeout=_ANSWER_S) as answer:
            return Samples.parse(answer.read().decode()).total(metric)

    def serving(self, name: str) -> int:
        """How many of its lanes serve."""
        return sum(lane["state"] == "serving" for lane in self.health(name)["lanes"])

    def check(self) -> None:
        """Raises a Problem when a worker ended by itself that was not meant to."""
        for name, process in list(self._processes.items()):
            if name not in self._doomed and not process.alive:
                raise Problem(f"{name} ended by itself\n{self.last_words()}")

    def lag(self) -> dict[Any, int] | None:
        """As of `Cluster`, of all workers there are."""
        lag = {}
        for name in list(self._processes):
            if not self.ready(name):
                return None
            lanes = self.health(name)["lanes"]
            lag[name] = sum(sum(lane["lag"].values()) for lane in lanes if lane["kind"] != "links")
        return lag

    def log(self, name: str) -> str:
        """All that a worker said since it was started."""
        return self.stack.log(name).read_text(errors="replace")

    def last_words(self) -> str:
        """The end of every worker's log."""
        return "\n".join(f"--- {name}\n{self.stack.last_words(name)}" for name in self._ports)

    # -- the load ----------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def load(
        self, seed: int, most_s: int = _SIZE.seconds, settle_ms: int = SETTLE_MS, *, first_release: bool = False
    ) -> AsyncIterator[Scene]:
        """Users at work while the block runs; on leaving all comes to rest, and is judged: `scene.report`.

        Args:
            seed: of what the users do.
            most_s: the block takes no longer.
            settle_ms: how long a session may wait to be heard of, as long as no worker is there to bind it.
            first_release: workers of 0.1.0 take part: they know no servers, no sessions that turn away, are lost or
                subscribe, and write no notices to persons.
        """
        async with self.loads(1, seed, most_s, settle_ms, first_release=first_release) as (scene,):
            yield scene

    @contextlib.asynccontextmanager
    async def loads(
        self,
        apps: int,
        seed: int,
        most_s: int = _SIZE.seconds,
        settle_ms: int = SETTLE_MS,
        *,
        first_release: bool = False,
    ) -> AsyncIterator[list[Scene]]:
        """As `load`, shared by several apps: users, devices, groups and sends have the same ids in each."""
        self.judged_good = False
        self._settle_ms = max(self._settle_ms, settle_ms)  # what was done here before is judged once more
        await asyncio.to_thread(self.set_up)
        size = replace(_SIZE, seconds=most_s, rate=_SIZE.rate // apps, team_rate=_SIZE.team_rate // apps)
        size = replace(size, hall=0, turns=0, losses=0, burst_s=0) if first_release else size
        scenes = [Scene(self, seed, size, f"-{app}" if app else "") for app in range(apps)]
        try:
            await asyncio.gather(*(scene.begin() for scene in scenes))
            yield scenes
            for scene in scenes:
                await scene.until(lambda scene=scene: scene.was_enough(apps), 60, "there was enough to judge")  # type: ignore[misc]
            await asyncio.gather(*(scene.come_to_rest() for scene in scenes))
            whole = await read_run(self.settings, planned=[what for scene in scenes for what in scene.planned])
        finally:
            await asyncio.gather(*(scene.end() for scene in scenes))
        spared = {"person_untold"} if first_release else set()
        report = await asyncio.to_thread(self._judged, whole, set().union(*(one.unjudged for one in scenes)), spared)
        for scene in scenes:
            scene.whole_world, scene.report = whole, report
        self.judged_good = True

    def _judged(self, whole: World, unjudged: set[tuple[str, int, int]], spared: set[str]) -> Report:
        """Nothing lost, doubled, out of order, misdirected or missed, but for what rules that are spared say."""
        report = judge(without(whole, unjudged) if unjudged else whole, settled=True, settle_ms=self._settle_ms)
        if report.rules.keys() - spared:
            told = f"{report.rules}\n{report.examples}\nplanned: {whole.planned}"
            raise AssertionError(f"{told}\n{self.last_words()}")
        return report


@dataclass
class Heard:
    """What the links heard.

    Attributes:
        newest_ms: partition -> when the newest message that was delivered from there was appended.
        apps: whose messages were delivered.
        lives: how often sessions were bound.
        registrations: how often a link was registered.
        silence_s: partition -> the longest time that nothing was heard from there.
    """

    newest_ms: dict[int, int]
    apps: set[str] = field(default_factory=set)
    lives: int = 0
    registrations: int = 0
    silence_s: dict[int, float] = field(default_factory=dict)
    _at_s: dict[int, float] = field(default_factory=dict)

    def message(self, partition: int, appended_ms: int) -> None:
        """One was delivered."""
        now_s = time.monotonic()
        silence_s = now_s - self._at_s.get(partition, now_s)
        self._at_s[partition] = now_s
        self.silence_s[partition] = max(self.silence_s.get(partition, 0.0), silence_s)
        self.newest_ms[partition] = max(self.newest_ms.get(partition, 0), appended_ms)

    def longest_silence_s(self) -> float:
        """Of all partitions since the last time this was asked."""
        longest_s = max(self.silence_s.values(), default=0.0)
        self.silence_s.clear()
        return longest_s


class Ears(Handler):
    """Notes what a link hears, and passes it on.

    Attributes:
        reads: whether the gateway reads; it beats in any case.
    """

    def __init__(self, handler: Handler, heard: Heard, partitions: int) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self._handler = handler
        self._heard = heard
        self._partitions = partitions
        for name in dir(handler):
            if name.startswith("on_") and name not in vars(Ears):
                setattr(self, name, getattr(handler, name))

    async def room(self) -> None:
        await self.reads.wait()

    def on_registered(self, registration: Registration) -> None:
        self._heard.registrations += 1
        self._handler.on_registered(registration)

    def on_void(self) -> None:
        self._handler.on_void()

    def on_live(self, group: Group, slots: Sequence[int], heads: Sequence[tuple[str, int]]) -> None:
        self._heard.lives += 1
        self._handler.on_live(group, slots, heads)

    def on_gone(self, group: Group, slots: Sequence[int]) -> None:
        self._handler.on_gone(group, slots)

    def on_message(self, group: Group, message: Message, slots: Sequence[int]) -> None:
        partition = partition_of(key_of(group.app, group.name), self._partitions)
        self._heard.message(partition, message.at)
        self._heard.apps.add(group.app)
        self._handler.on_message(group, message, slots)

    def on_answer(self, slot: int, answer: Answer) -> None:
        self._handler.on_answer(slot, answer)


class Scene:
    """One load on a stage.

    Attributes:
        app: the app of its users.
        groups: their groups.
        heard: what the links heard.
        ears: those of each link.
        report: the judge's, once all came to rest.
        whole_world: all there is.
        planned: the faults, in words.
        unjudged: well-formed records that were made to fail, which the judge can't know: (topic, partition, offset).
    """

    def __init__(self, stage: Stage, seed: int, size: Size, links: str) -> None:
        """Prepare it; its links' names end with `links`."""
        settings = stage.settings
        self.app = f"a{uuid4().hex[:8]}"
        self.heard = Heard({})
        self.ears: dict[str, Ears] = {}
        self.report = Report()
        self.whole_world: World
        self.planned: list[str] = []
        self.unjudged: set[tuple[str, int, int]] = set()
        self._stage = stage
        self._links = links
        self._scenario = two_links(write(seed, size))
        self.groups = list(self._scenario.groups)
        self.partitions = {partition_of(key_of(self.app, group), settings.partitions) for group in self.groups}
        self.crowd = Crowd(self.app, LINKS[:2], self._link, subscribes=size.losses > 0)
        self._play = Play(self._scenario, stage, self.crowd)
        self._task: asyncio.Task[None] | None = None

    def _link(self, link: str, handler: Handler) -> SimulatedLink:
        settings = self._stage.settings
        ears = self.ears[link] = Ears(handler, self.heard, settings.partitions)
        return SimulatedLink(link + self._links, settings.kafka_bootstrap, ears)

    async def begin(self) -> None:
        """Until users are at work in every partition."""
        self._task = asyncio.create_task(self._play.perform())
        await self.until(lambda: self.heard.newest_ms.keys() >= self.partitions, 180, "all partitions are at work")

    async def until(self, so: Callable[[], Any], within_s: float, why: str) -> None:
        """Wait while the load goes on. Whoever does not answer is not there yet.

        Of the time between two looks `_STEP_S` counts at most: more, and the machine stood still, for everybody.
        """
        assert self._task is not None
        waited_s, looked_s = 0.0, time.monotonic()
        while not await asyncio.to_thread(_holds, so):
            if self._task.done():
                await self._task
                raise AssertionError(f"the load ended before “{why}”")
            now_s = time.monotonic()
            waited_s, looked_s = waited_s + min(now_s - looked_s, _STEP_S), now_s
            if waited_s > within_s:
                raise AssertionError(f"not within {within_s:.0f} s: {why}\n{self._stage.last_words()}")
            await asyncio.sleep(_POLL_S)

    async def all_hear(self, since_ms: int, within_s: float = 30.0) -> None:
        """Until something is delivered from every partition that was appended after a moment."""
        await self.until(
            lambda: all(self.heard.newest_ms[partition] > since_ms for partition in self.partitions),
            within_s,
            "all partitions deliver",
        )

    async def happens(self, name: str, plan: Plan) -> Happened:
        """Plan a fault and wait for it."""
        self._stage.plan(name, plan)
        await self.until(lambda: self._stage.happened(name), 30, f"{name}: {plan}")
        happened = self._stage.happened(name)
        assert happened is not None
        self.planned.append(f"{name}: {happened}")
        return happened

    async def dies_and_returns(self, name: str, plan: Plan) -> Happened:
        """A worker kills itself as planned and is started again; returns when it is at work."""
        stage, happened = self._stage, await self.happens(name, plan)
        await self.until(lambda: stage.died(name), 30, f"{name} dies")
        await asyncio.to_thread(stage.start, name)
        await self.until(lambda: stage.ready(name), 120, f"{name} is back")
        await self.until(lambda: stage.health(name)["counts"]["records"] > 0, 30, f"{name} goes on")
        return happened

    def steady_member(self, group: str) -> str:
        """A member of a group for all of the load."""
        gone = {
            user
            for _, act in self._scenario.actions
            if isinstance(act, Part) and act.group == group
            for user in act.users
        }
        return next(user for user in self._scenario.groups[group] if user not in gone)

    def was_enough(self, apps: int) -> bool:
        """Whether so much was sent, delivered and heard, of what apps share, that a fault would have hit something."""
        counts = self.crowd.counts
        return counts.accepted > _LEAST_ACCEPTED // apps and counts.delivered > _LEAST_DELIVERED // apps

    async def come_to_rest(self) -> None:
        """Nobody begins anything any more; wait until everything is answered and stored."""
        assert self._task is not None
        self._scenario.actions.clear()  # the play is at one of them: it was the last
        try:
            await self._task
        except ExceptionGroup as group:
            told = "\n".join(str(error) for error in group.exceptions)
            raise AssertionError(f"{told}\nplanned: {self.planned}\n{self._stage.last_words()}") from group

    async def end(self) -> None:
        """The links leave."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.crowd.stop()


def _holds(so: Callable[[], Any]) -> bool:
    try:
        return bool(so())
    except OSError:
        return False


def two_links(scenario: Scenario) -> Scenario:
    """The scenario without the demo's own faults, on two links."""
    faults = KillWorker | SilenceLink | RestartLink
    actions = [(at_ms, _moved(action)) for at_ms, action in scenario.actions if not isinstance(action, faults)]
    return replace(scenario, first=[_moved(come) for come in scenario.first], actions=actions)


def _moved(action: Any) -> Any:
    """Whoever comes to the third link, or goes on there, comes to the first."""
    return replace(action, link=LINKS[0]) if isinstance(action, Come | Lose) and action.link == LINKS[2] else action


def without(world: World, places: set[tuple[str, int, int]]) -> World:
    """The world without these records, and without their rejects."""
    topics = {
        name: [row for row in rows if (name, row.partition, row.offset) not in places]
        for name, rows in world.topics.items()
    }
    name = catalog.REJECTS.name
    topics[name] = [row for row in topics[name] if place_of(decode(name, row.value)) not in places]
    return replace(world, topics=topics)


def place_of(reject: Reject) -> tuple[str, int, int]:
    """Which record was rejected."""
    return reject.topic, reject.partition, reject.offset
