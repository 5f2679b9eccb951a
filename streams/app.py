"""A worker, composed: the lanes of its role, the stores they write, the views it serves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final, Literal, TypeVar, cast

from streams.announce import Announced
from streams.batches.errors import UnavailableError
from streams.batches.kind import LaneKind
from streams.batches.lane import Lane
from streams.batches.role import RoleApp, RoleConfig, broker_is_prepared, running, until, wall_ms
from streams.groups import core as groups
from streams.links import core as links
from streams.metrics.collector import Sources, registry_of
from streams.settings import Settings
from streams.sinks import core as sinks
from streams.sinks.effects import FinalEffects, StoreEffects, Waits
from streams.sinks.final import core as final
from streams.sinks.stores import Stores
from streams.users import core as users
from streams.web.health import Facts, LaneState, Progress, WorkerState, judge
from streams.web.requests import Requests
from streams.web.server import ViewServer
from tables import versions
from tables.batch import Core, MakeCore
from tables.rows import Rows
from topics import catalog, limits
from topics.owners import Owner

T = TypeVar("T")
Role = Literal["groups", "users", "sinks"]
ROLES: Final[tuple[Role, ...]] = ("groups", "users", "sinks")
_FINAL: Final = "final"


class Worker:
    """One worker of one role. Enter it to start it; `wait` until it is told to stop or fails."""

    def __init__(self, role: Role, settings: Settings, name: str, *, lane_class: type[Lane] = Lane) -> None:
        """Compose it.

        Args:
            role: what it does.
            settings: where everything is.
            name: its own, lasting name: names its folder, and its membership in the role's consumer group.
            lane_class: what its lanes are made of.
        """
        self.role = role
        self._lane_class = lane_class
        self._settings = settings
        self.config = RoleConfig(
            cluster=settings.cluster,
            role=role,
            bootstrap=settings.kafka_bootstrap,
            partitions=settings.partitions,
            links=settings.links,
            folder=settings.data / "workers" / name,
            session_s=settings.session_timeout_ms / 1000,
            heartbeat_s=settings.heartbeat_ms / 1000,
        )
        self._stores = Stores(settings, writes=role == "sinks")
        self._effects = StoreEffects(self._stores.table, self._stores.cache)
        self._final = FinalEffects(self._stores.state)
        self._app: RoleApp | None = None
        self._requests = Requests()
        self.metrics = registry_of(self._sources())
        self.views = ViewServer(
            settings, self.config.kafka, self._stores, self.state, self.metrics, self._requests, self._read
        )

    async def may_begin(self, stop: asyncio.Event) -> bool:
        """Wait until its broker and its topics are there; False when told to stop before."""
        return await broker_is_prepared(self.config, self._kinds(), stop)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Worker]:
        """Stores, views, lanes, in this order; stopped in the other, lanes drained."""
        self.config.folder.mkdir(parents=True, exist_ok=True)
        async with (
            self._stores,
            self.views,
            running(RoleApp(self.config, self._kinds(), lane_class=self._lane_class)) as self._app,
        ):
            yield self

    async def wait(self, stop: asyncio.Event) -> None:
        """Until `stop` is set.

        Raises:
            Exception: what stopped the worker otherwise.
        """
        if self._app is not None:
            await until(self._app, stop)

    def state(self) -> WorkerState:
        """What it does now, for those who run it."""
        app = self._app
        if app is None:
            return WorkerState(self.role, joined=False, lanes=[], counts={})
        lanes = [self._lane_state(app, lane) for lane in app.lanes if lane.assigned]
        return WorkerState(self.role, joined=app.lanes.rebalances > 0, lanes=lanes, counts=self._counts(app))

    def _sources(self) -> Sources:
        settings = self._settings
        partitions = {
            kind.name: kind.inputs[0].partitions(settings.partitions, settings.links) for kind in self._kinds()
        }
        return Sources(
            settings.cluster,
            self.role,
            partitions,
            app=lambda: self._app,
            state=self.state,
            effects=self._effects,
            final=self._final,
            stores=self._stores,
            requests=self._requests,
        )

    def _lane_state(self, app: RoleApp, lane: Lane) -> LaneState:
        now = time.monotonic()
        waits: Waits = self._final if lane.kind.name == _FINAL else self._effects
        oldest = lane.oldest_ms()
        changelog = lane.kind.changelog
        reading = app.recovery.progress.get((changelog.name, lane.partition)) if changelog is not None else None
        facts = Facts(
            lane.kind.name,
            lane.partition,
            lane.state,
            reason=waits.paused_for(lane.partition) or lane.paused_for,
            lag=lane.lag(),
            oldest_s=None if oldest is None else max(0, wall_ms() - oldest) / 1000,
            closed_s=now - lane.opening_since,
            idle_s=now - lane.counters.progressed_at,
            failures=lane.failures,
            heartbeat_s=now - lane.heartbeat_at,
            stores={store: now - wait.since for store, wait in waits.waits(lane.partition).items()},
            progress=None
            if reading is None
            else Progress(reading.position - reading.begin, reading.end - reading.begin),
        )
        return judge(facts, self.config.session_s)

    def _counts(self, app: RoleApp) -> dict[str, int]:
        counts = {"records": 0, "batches": 0, "aborts": 0, "rejects": 0, "poisoned": 0, "stored": self._effects.stored}
        for lane in app.lanes:
            counted = lane.counters
            counts["records"] += counted.records
            counts["batches"] += counted.batches
            counts["aborts"] += counted.aborts
            counts["rejects"] += counted.rejects
            counts["poisoned"] += counted.poisoned
            for what, count in (*counted.counts.items(), *(counted.gauges.items() if lane.assigned else ())):
                counts[what] = counts.get(what, 0) + count
        return counts

    def _kinds(self) -> list[LaneKind]:
        match self.role:
            case "groups":
                memory_bytes = (self._settings.groups_memory_mb << 20) // self._settings.partitions
                make_core = partial(groups.GroupsCore, memory_bytes=memory_bytes)
                make_groups = self._announced("groups", make_core)
                return [
                    LaneKind(
                        "groups",
                        groups.INPUTS,
                        catalog.GROUPS_CHANGELOG,
                        make_groups,
                        version=versions.GROUPS,
                        patient=(catalog.LINK_ACKS,),
                    )
                ]
            case "users":
                make_users = self._announced("users", users.UsersCore)
                make_links = self._announced("links", links.LinksCore)
                return [
                    LaneKind(
                        "users",
                        users.INPUTS,
                        catalog.USERS_CHANGELOG,
                        make_users,
                        index=users.index,
                        version=versions.USERS,
                    ),
                    LaneKind("links", links.INPUTS, catalog.LINKS_CHANGELOG, make_links, version=versions.LINKS),
                ]
            case "sinks":
                make_sinks = self._announced("sinks", lambda rows, partition, *_: sinks.SinksCore(rows, partition))
                make_final = self._announced(
                    _FINAL, lambda rows, partition, partitions, _: final.FinalCore(rows, partition, partitions)
                )
                return [
                    LaneKind(
                        "sinks",
                        sinks.INPUTS,
                        None,
                        make_sinks,
                        self._effects,
                        batch_bytes=limits.SINK_BATCH_BYTES,
                    ),
                    # Lanes of their own: a million changed rows on their way do not hold up messages.
                    LaneKind(_FINAL, final.INPUTS, None, make_final, self._final, batch_bytes=limits.RECORD_BYTES),
                ]

    def _announced(self, kind: str, make: Callable[[Rows, int, int, int], Core]) -> MakeCore:
        """The kind's cores, each saying with its first batch that this worker is the partition's owner."""

        def make_core(rows: Rows, partition: int) -> Core:
            core = make(rows, partition, self._settings.partitions, self._settings.links)
            return Announced(core, Owner(kind, partition, self.views.url))

        return make_core

    def _read(self, kind: str, partition: int, fn: Callable[[Any], T]) -> Awaitable[T]:
        lane = self._app.lanes.of(kind, partition) if self._app is not None else None
        if lane is None:
            raise UnavailableError(f"{kind}/{partition} is not served here")
        return lane.read(lambda core: fn(cast("Announced[Core]", core).core))


async def run(role: Role, settings: Settings, name: str, stop: asyncio.Event) -> None:
    """Run a worker until `stop` is set or it fails. It may begin before its broker and its topics are there."""
    worker = Worker(role, settings, name)
    if await worker.may_begin(stop):
        async with worker.running():
            await worker.wait(stop)
