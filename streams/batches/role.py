"""A worker of one role: a Faust app whose agents hand record batches to lanes.

Nothing is made at import; `run_worker` embeds a role in any event loop, without Faust's command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import faust
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from faust.app.base import BootStrategy
from faust.types import TP
from mode.supervisors import CrashingSupervisor

from streams.batches.changelog import PartitionCountError, Recovery
from streams.batches.kind import Edges, LaneKind
from streams.batches.lane import Lane
from streams.batches.lanes import Lanes, numbering
from streams.batches.producer import LaneProducer, Producer
from streams.batches.transport import BatchConsumer, BatchThread, BatchTransport
from topics import limits

log = logging.getLogger(__name__)

_STOP_S: Final = 20.0
_REBALANCE_S: Final = 30.0  # members that don't join again within it are left out
_REQUEST_S: Final = _REBALANCE_S + 10.0  # joining is answered when all have joined, or that time is over
_BROKER_PAUSE_S: Final = 1.0
_TELL_S: Final = 30.0


@dataclass(frozen=True)
class RoleConfig:
    """How a worker is placed.

    Attributes:
        cluster: leads the names of groups and transactional ids.
        role: names the consumer group: `{cluster}-{role}`.
        bootstrap: brokers to ask first, host:port, by commas.
        partitions: the cluster's number of partitions.
        links: the cluster's number of link partitions.
        folder: the worker's own lasting folder.
        session_s: a worker silent for this long loses its partitions.
        heartbeat_s: how often it tells its group that it lives.
        instance: makes its membership static, so that a quick restart is no rebalance; None for none.
        security: further connection arguments of aiokafka (security_protocol, ssl_context, sasl_…).
    """

    cluster: str
    role: str
    bootstrap: str
    partitions: int
    links: int
    folder: Path
    session_s: float = 6.0
    heartbeat_s: float = 1.0
    instance: str | None = None
    security: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The consumer group."""
        return f"{self.cluster}-{self.role}"

    @property
    def kafka(self) -> dict[str, Any]:
        """How to connect, as aiokafka's keyword arguments."""
        return {"bootstrap_servers": self.bootstrap, **self.security}


class _NoProducer(BootStrategy):
    """Lanes have their own producers; Faust's would be a connection nobody uses."""

    enable_kafka_producer = False
    enable_web = False


class RoleApp(faust.App):
    """Faust's consumer group, assignor, agents and life cycle around lanes."""

    BootStrategy = _NoProducer

    def __init__(self, config: RoleConfig, kinds: Sequence[LaneKind], *, lane_class: type[Lane] = Lane) -> None:
        """Compose it.

        Args:
            config: how the worker is placed.
            kinds: the kinds of lanes of the role.
            lane_class: what lanes are made of.
        """
        self.config = config
        self.kinds = tuple(kinds)
        self.kafka = config.kafka
        self.lanes = Lanes(self.kinds, self._edges, lane_class)
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.rebalance_s = 0.0
        self._rebalance_began: float | None = None
        self.recovery = Recovery(config.kafka, config.folder, wall_ms)
        self._openings = numbering()
        super().__init__(
            config.group,
            broker=[f"kafka://{address.strip()}" for address in config.bootstrap.split(",")],
            datadir=str(config.folder / "faust"),
            autodiscover=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_wait_empty=False,
            stream_buffer_maxsize=64,
            stream_recovery_delay=0.0,
            web_enabled=False,
            table_standby_replicas=0,  # shipped as 1: workers would keep what they have, and a third of two get nothing
            agent_supervisor=CrashingSupervisor,
            broker_session_timeout=config.session_s,
            broker_heartbeat_interval=config.heartbeat_s,
            broker_request_timeout=max(_REQUEST_S, config.session_s),
            broker_rebalance_timeout=_REBALANCE_S,
            broker_max_poll_interval=60.0,
            consumer_group_instance_id=config.instance,
        )
        for kind in self.kinds:
            self._feed(kind)

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def _feed(self, kind: LaneKind) -> None:
        topic = self.topic(*(one.name for one in kind.inputs), key_serializer="raw", value_serializer="raw")

        async def feed(stream: Any) -> None:
            async for event in stream.noack().events():
                self.lanes.offer(event.message.tp, event.value)

        self.agent(topic, name=f"{kind.name}-lanes", isolated_partitions=True)(feed)

    @property
    def thread(self) -> BatchThread:
        """Where the consumer runs."""
        return cast("BatchConsumer", self.consumer).thread

    def _edges(self, kind: LaneKind, partition: int) -> Edges:
        def make_producer() -> Producer:
            return LaneProducer(self.kafka, f"{self.config.cluster}-{kind.name}-{partition}")

        open_store = None
        if kind.changelog is not None:
            changelog, count, index = kind.changelog.name, self._count(kind.changelog), kind.index

            async def open_store() -> Any:
                return await self.recovery.open(changelog, partition, count, index)

        return Edges(
            source=_Source(self, partition),
            make_producer=make_producer,
            open_store=open_store,
            crash=self.fail,
            openings=self._openings,
            monotonic=time.monotonic,
            wall_ms=wall_ms,
            group=self.config.group,
            session_s=self.config.session_s,
            gap_s=limits.BATCH_GAP_MS / 1000,
        )

    def _count(self, topic: Any) -> int:
        count: int = topic.partitions(self.config.partitions, self.config.links)
        return count

    def fail(self, error: BaseException) -> None:
        """Stop the worker with this error; the first one counts."""
        if not self.failure.done():
            self.failure.set_result(error)

    def _crash(self, reason: BaseException) -> None:
        """Something of Faust's own failed, maybe in the consumer's thread: it marks all above itself as crashed."""
        self.failure.get_loop().call_soon_threadsafe(self.fail, reason)
        super()._crash(reason)

    # -- the group's life --------------------------------------------------------------------------------------------

    def on_rebalance_start(self) -> None:
        """Faust calls this in the consumer's thread when partitions are taken away."""
        self._rebalance_began = time.monotonic()
        super().on_rebalance_start()

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Lanes finish their commits first: the group waits for this worker to let go."""
        await self.lanes.close()
        await super()._on_partitions_revoked(revoked)

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """From now until they are revoked; Faust resumes its flow, on which lanes open, some time later."""
        if not self.should_stop:
            self.lanes.given(generation_id)
        await super()._on_partitions_assigned(assigned, generation_id)

    def on_rebalance_end(self) -> None:
        """Faust resumed its flow: now, and not before, lots reach the agents."""
        super().on_rebalance_end()
        if self._rebalance_began is not None:
            self.rebalance_s = time.monotonic() - self._rebalance_began
        generation = self.consumer_generation_id  # read first: an assignment of a later one is never taken for its own
        self.add_future(self._open_lanes(set(self.consumer.assignment()), generation))

    async def _open_lanes(self, assigned: set[TP], generation: int) -> None:
        """Open what was assigned; if it was revoked meanwhile, whoever is told of the next assignment opens that."""
        try:
            await self._check_counts()
            await self.lanes.open(assigned, generation)
        except Exception as error:  # noqa: BLE001 - the worker ends with it
            self.fail(error)

    async def _check_counts(self) -> None:
        wanted = {topic.name: self._count(topic) for kind in self.kinds for topic in kind.inputs}
        found = await self.thread.run(self.thread.counts(wanted))
        for topic, count in wanted.items():
            if found[topic] != count:
                raise PartitionCountError(f"{topic} has {found[topic]} partitions, the cluster was born with {count}")

    async def on_stop(self) -> None:
        """Drain: lanes finish their commits before the group learns that this worker leaves."""
        await self.lanes.close()
        await super().on_stop()

    async def _producer_flush(self, logger: Any) -> None:
        """Lanes await their own sends; there is no other producer."""


class _Source:
    """The consumer as one lane sees it."""

    def __init__(self, app: RoleApp, partition: int) -> None:
        self._app = app
        self._partition = partition

    @property
    def generation(self) -> int:
        generation: int = self._app.consumer_generation_id
        return generation

    @property
    def heartbeat_at(self) -> float:
        return self._app.thread.heartbeat_at

    async def committed(self, topics: Sequence[str]) -> dict[str, int]:
        thread = self._app.thread
        found = await thread.run(thread.committed([TP(topic, self._partition) for topic in topics]))
        return {tp.topic: offset for tp, offset in found.items()}

    async def start_at(self, offsets: Mapping[str, int], opening: int) -> None:
        thread = self._app.thread
        await thread.run(
            thread.start_at({TP(topic, self._partition): offset for topic, offset in offsets.items()}, opening)
        )

    async def stop(self, topics: Sequence[str], opening: int) -> None:
        thread = self._app.thread
        await thread.run(thread.close_for([TP(topic, self._partition) for topic in topics], opening))

    def tell(self, topic: str, opening: int) -> None:
        self._app.thread.tell(TP(topic, self._partition), opening)


def wall_ms() -> int:
    """The machine's clock."""
    return time.time_ns() // 1_000_000


@contextlib.asynccontextmanager
async def running(app: RoleApp) -> AsyncIterator[RoleApp]:
    """The app started; stopped on leaving, its lanes drained."""
    app.finalize()
    await app.start()
    try:
        yield app
    finally:
        async with asyncio.timeout(_STOP_S):
            await app.stop()


async def run_worker(
    config: RoleConfig,
    kinds: Sequence[LaneKind],
    *,
    stop: asyncio.Event,
    started: Callable[[RoleApp], None] | None = None,
    lane_class: type[Lane] = Lane,
) -> None:
    """Run a worker until `stop` is set or it fails.

    Args:
        config: how the worker is placed.
        kinds: the kinds of lanes of the role.
        stop: set by whoever handles signals; the worker then drains and leaves its group.
        started: told the app once it runs, for views and status.
        lane_class: what lanes are made of.

    Raises:
        BaseException: what stopped the worker, if not `stop`.
    """
    if not await broker_is_prepared(config, kinds, stop):
        return
    async with running(RoleApp(config, kinds, lane_class=lane_class)) as app:
        if started is not None:
            started(app)
        await until(app, stop)


async def until(app: RoleApp, stop: asyncio.Event) -> None:
    """Until `stop` is set or the app fails.

    Raises:
        BaseException: what stopped the app otherwise.
    """
    stopped = asyncio.ensure_future(stop.wait())
    either: set[asyncio.Future[Any]] = {stopped, app.failure}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if app.failure.done():
        raise app.failure.result()


async def broker_is_prepared(config: RoleConfig, kinds: Sequence[LaneKind], stop: asyncio.Event) -> bool:
    """Wait for a broker with the topics of these kinds, for as long as it takes; False when told to stop before.

    Whoever joins its group before all of its topics are there is not given those that come later.
    """
    needed = {topic.name for kind in kinds for topic in (*kind.inputs, kind.changelog) if topic is not None}
    told, told_at = "", 0.0
    while not stop.is_set():
        lacks, now = await _lacks(config, needed), time.monotonic()
        if not lacks:
            return True
        if lacks != told or now - told_at > _TELL_S:
            log.warning(lacks)
            told, told_at = lacks, now
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _BROKER_PAUSE_S)
    return False


async def _lacks(config: RoleConfig, needed: set[str]) -> str:
    """What is not there yet; empty when all is. Asks for all topics: naming one may make it, with a wrong count."""
    client = AIOKafkaClient(**config.kafka)
    try:
        await client.bootstrap()
        missing = needed - (await client.fetch_all_metadata()).topics()
    except KafkaError as error:
        return f"no broker yet: {error}"
    finally:
        await client.close()
    return f"no topic {', '.join(sorted(missing))} yet: linkcast topics create" if missing else ""
