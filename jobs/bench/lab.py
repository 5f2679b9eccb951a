"""A place to measure in: services and data of its own, new topics for each trial, real workers that can be asked.

A trial is one measurement's cluster. Its topics are new and empty, and its name is used once: nothing that an earlier
one left (state, offsets, transactions, local stores) can help or hinder it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from jobs import topics
from jobs.alone import alone
from jobs.bench.reading import reading
from jobs.demo.cluster import free_ports, own_settings
from jobs.policy import write as write_policies
from jobs.problem import Problem
from jobs.services import Services
from jobs.services.process import Process, recorded, spawn
from jobs.services.service import Name
from jobs.stack import as_environment, ask
from streams.app import Role
from streams.batches.inputs import Raw
from streams.settings import PREFIX, Settings, load
from topics.catalog import Topic
from topics.policy import Policy

T = TypeVar("T")

#: What a trial may have of its own beside its topics.
KAFKA: Final[tuple[Name, ...]] = ("kafka",)
_READY_S: Final = 90.0
_STOP_S: Final = 25.0
_POLL_S: Final = 0.05
_CONSUMED_S: Final = 240.0
_CONSUMED_POLL_S: Final = 0.25
_LOG_BYTES: Final = 2_000
_FILL_BATCH_BYTES: Final = 512 * 1024
_FILL_RECORDS: Final = 100_000  # made ready at once: ten million take too much memory
_KIB: Final = 1024
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")

#: A record to write: its partition, key and value.
Filling = tuple[int, bytes | None, bytes]


class Record(Raw, Protocol):
    """A record as it is read back."""

    @property
    def partition(self) -> int:
        """Where it stands."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How thoroughly to measure.

    Attributes:
        repeat: how often each figure and its baseline, in turns.
        quick: with small numbers: shows that everything works, not how fast.
    """

    repeat: int = 3
    quick: bool = False


class Lab:
    """A data folder, services on free ports, and what a measurement asks for.

    Attributes:
        pace: how thoroughly to measure.
        tell: is told what happens, a line at a time.
        profiles: where workers' profiles go; None: none are made.
        kept: the folder for what lasts from run to run.
        known: what was measured so far in this run, by the names of figures.
    """

    def __init__(
        self,
        folder: Path,
        *,
        file: Path | None = None,
        pace: Pace | None = None,
        wanted: frozenset[str] | None = None,
        tell: Callable[[str], None] = lambda _: None,
        profiles: Path | None = None,
    ) -> None:
        """Prepare it; nothing is started.

        Args:
            folder: a new folder for everything; what lasts from run to run lies beside it.
            file: the settings file to begin with.
            pace: how thoroughly to measure.
            wanted: names of figures; None means all.
            tell: is told what happens, a line at a time.
            profiles: where workers' profiles go; None: none are made.
        """
        self.pace = pace or Pace()
        self.tell = tell
        self.profiles = profiles
        self.kept = folder.parent
        self.known: dict[str, float] = {}
        self._wanted = wanted
        self._file = file
        self._settings = own_settings(file, folder)
        self._services = Services(self._settings, lambda name, what: tell(f"{name}: {what}"))
        self._up: set[Name] = set()
        self._numbers = itertools.count(1)

    @property
    def folder(self) -> Path:
        """Everything it keeps."""
        return self._settings.data

    @property
    def quick(self) -> bool:
        """Small numbers: shows that everything works, not how fast."""
        return self.pace.quick

    def wants(self, name: str) -> bool:
        """Whether a figure was asked for."""
        return self._wanted is None or name in self._wanted

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Lab]:
        """Services are started when a trial needs them, and all stopped and forgotten on leaving.

        What a run that was killed left in the folder is ended and removed first.

        Raises:
            Problem: another run is at work in the folder.
        """
        with alone(self.kept / "lab.lock", f"Another benchmark runs in {self.kept}. Wait for its end."):
            await asyncio.to_thread(self._clear)
            try:
                yield self
            finally:
                self.tell("stopping services")
                await asyncio.to_thread(self._clear)

    def _clear(self) -> None:
        """End and remove everything in the folder."""
        found = [Path(where, file) for where, _, files in os.walk(self.folder) for file in files]
        for pid_file in (file for file in found if file.suffix == ".pid"):  # the broker removes folders meanwhile
            if (process := recorded(pid_file)) is not None:
                process.signal(signal.SIGKILL)
                process.ends_within(_STOP_S)
        self._services.forget()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def alternate(self, what: Mapping[str, Callable[[], Awaitable[T]]]) -> dict[str, list[T]]:
        """Each of `what` in turn, `pace.repeat` times around: neighbours in time saw the same machine."""
        found: dict[str, list[T]] = {name: [] for name in what}
        for turn in range(self.pace.repeat):
            for name, one in what.items():
                self.tell(f"{name}: {turn + 1} of {self.pace.repeat}")
                found[name].append(await one())
        return found

    @contextlib.asynccontextmanager
    async def trial(self, *services: Name, **given: Any) -> AsyncIterator[Trial]:
        """A fresh cluster; its workers are stopped on leaving.

        Args:
            *services: what it needs; `KAFKA` is enough for groups and users workers, which begin without the stores.
            **given: settings of the cluster: partitions, links, ...
        """
        await self._start(services or KAFKA)
        name = f"bench{next(self._numbers)}"
        base = self._settings
        fixed = {field: getattr(base, field) for field in type(base).model_fields if base.origin(field) == "given"}
        settings = load(self._file, **{**fixed, "data": base.data / name, "cluster": name, "keyspace": name, **given})
        trial = Trial(settings, self.profiles)
        await trial.renew_topics()
        try:
            yield trial
        finally:
            await asyncio.to_thread(trial.stop)
            await asyncio.to_thread(shutil.rmtree, settings.data, ignore_errors=True)

    async def _start(self, names: Iterable[Name]) -> None:
        if missing := [name for name in names if name not in self._up]:
            await asyncio.to_thread(self._services.up, missing)
            self._up.update(missing)

    @contextlib.asynccontextmanager
    async def profiled(self, worker: Worker, name: str) -> AsyncIterator[None]:
        """Records where a worker spends its time meanwhile, if profiles were asked for: `<name>.svg`, a flame graph.

        Raises:
            Problem: the profiler may not look into the worker.
        """
        if self.profiles is None:
            yield
            return
        self.profiles.mkdir(parents=True, exist_ok=True)
        command = [Path(sys.executable).with_name("py-spy"), "record", "--rate", "200", "--threads"]
        command += ["--pid", str(worker.process.pid), "--output", self.profiles / f"{name}.svg"]
        profiler = await asyncio.create_subprocess_exec(
            *map(str, command), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                profiler.send_signal(signal.SIGINT)
            _, complained = await profiler.communicate()
        if profiler.returncode:
            raise Problem(f"py-spy failed; it may need root:\n{complained.decode(errors='replace')[-_LOG_BYTES:]}")

    async def rest(self, *names: Name) -> None:
        """Stop services that the next trials don't need: they would use memory and cores."""
        running = [name for name in names if name in self._up]
        if running:
            await asyncio.to_thread(self._services.down, running)
            self._up.difference_update(running)


class Trial:
    """One measurement's cluster."""

    def __init__(self, settings: Settings, profiles: Path | None = None) -> None:
        self.settings = settings
        self._profiles = profiles
        self._workers: list[Worker] = []
        self._names = itertools.count(1)

    def partitions_of(self, topic: Topic) -> int:
        """How many partitions a topic has here."""
        return topic.partitions(self.settings.partitions, self.settings.links)

    async def renew_topics(self) -> None:
        """Topics of the catalogue, new and empty."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap)
        await admin.start()
        try:
            if there := await _others(self.settings):
                await admin.delete_topics(there)
            while await _others(self.settings):  # noqa: ASYNC110 - deletion goes on behind the answer, without an event
                await asyncio.sleep(_POLL_S)
        finally:
            await admin.close()
        await topics.create(self.settings)

    # -- workers -----------------------------------------------------------------------------------------------------

    async def start_worker(
        self, role: Role, name: str | None = None, *, wait: bool = True, environment: Mapping[str, str] | None = None
    ) -> Worker:
        """A real worker process.

        Args:
            role: what it does.
            name: its lasting name: with the name of one that was stopped it finds that one's local state.
            wait: whether to return only when all its lanes are open.
            environment: what it gets beside the trial's settings.
        """
        name = name or f"{role}-{next(self._names)}"
        port = free_ports(1)[0]
        command = [sys.executable, "-m", "jobs", "worker", "--role", role, "--name", name]
        run = self.settings.data / "run"
        run.mkdir(parents=True, exist_ok=True)
        log = run / f"{name}.log"
        own = {**as_environment(self.settings), f"{PREFIX}VIEW_PORT": str(port), **(environment or {})}
        process = spawn(command, log, run / f"{name}.pid", {**os.environ, **own})
        worker = Worker(role, name, process, f"http://{self.settings.host}:{port}", log)
        self._workers.append(worker)
        if wait:
            await worker.ready()
        return worker

    def stop(self) -> None:
        """End all its workers in order."""
        for worker in self._workers:
            worker.process.signal(signal.SIGTERM)
        for worker in self._workers:
            worker.ended()

    async def serve(self, app: str, policy: Policy) -> None:
        """An app has this policy from here on."""
        await write_policies(self.settings, lambda _: {app: policy})

    # -- records -----------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def producer(self, **given: Any) -> AsyncIterator[AIOKafkaProducer]:
        """A plain producer."""
        bounds = {"max_batch_size": _FILL_BATCH_BYTES, "max_request_size": 2 * _FILL_BATCH_BYTES}
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka_bootstrap, **{**bounds, **given})
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def fill(self, topic: str, records: Iterable[Filling]) -> int:
        """Write records as fast as it goes, in order within a partition; gives their number."""
        written, left = 0, iter(records)
        async with self.producer() as producer:
            while some := list(itertools.islice(left, _FILL_RECORDS)):
                await asyncio.gather(*await submit(producer, topic, some))
                written += len(some)
        return written

    async def read(self, topic: Topic, *, since: Mapping[int, int] | None = None) -> AsyncIterator[Record]:
        """What is committed of a topic, partition by partition in order, up to where the log ends now.

        A transaction that was committed, and whose markers the broker still writes, is waited for.
        """
        ends = await self.ends(topic)
        tps = [TopicPartition(topic.name, partition) for partition in range(self.partitions_of(topic))]
        open_ = [tp for tp in tps if ends[tp.partition] > (since or {}).get(tp.partition, 0)]
        if not open_:
            return  # aiokafka raises when a consumer is stopped at once
        starts = {tp: (since or {}).get(tp.partition, 0) for tp in tps}
        async with reading(self.settings.kafka_bootstrap, starts) as consumer:
            while open_:
                for records in (await consumer.getmany(*open_, timeout_ms=200)).values():
                    for record in records:
                        yield record
                open_ = [tp for tp in open_ if await consumer.position(tp) < ends[tp.partition]]

    async def ends(self, topic: Topic) -> dict[int, int]:
        """Where a topic's partitions end, with what transactions wrote that are not over."""
        return await self._ends(topic.name, self.partitions_of(topic))

    async def consumed(self, worker: Worker, *wanted: Topic, within_s: float = _CONSUMED_S) -> None:
        """Wait until the worker's role has committed everything that stands in some topics now.

        Raises:
            Problem: the worker ended, or it takes too long.
        """
        ends = {(topic.name, part): end for topic in wanted for part, end in (await self.ends(topic)).items() if end}
        group = f"{self.settings.cluster}-{worker.role}"
        until_s = time.monotonic() + within_s
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap)
        await admin.start()
        try:
            while left := await _left(admin, group, ends):
                if time.monotonic() > until_s or not worker.process.alive:
                    raise Problem(f"The {worker.name} worker has {left} records to do:\n\n{worker.last_words()}")
                await asyncio.sleep(_CONSUMED_POLL_S)
        finally:
            await admin.close()

    async def written(self, topic: str) -> int:
        """Offsets of any topic that are taken, by records and by markers; 0 while there is no such topic."""
        count = (await topics.counts(self.settings)).get(topic, 0)
        return sum((await self._ends(topic, count)).values()) if count else 0

    async def _ends(self, topic: str, partitions: int) -> dict[int, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap)
        await consumer.start()
        try:
            tps = [TopicPartition(topic, partition) for partition in range(partitions)]
            return {tp.partition: end for tp, end in (await consumer.end_offsets(tps)).items()}
        finally:
            await consumer.stop()


class Worker:
    """A running worker."""

    def __init__(self, role: Role, name: str, process: Process, url: str, log: Path) -> None:
        self.role = role
        self.name = name
        self.process = process
        self.url = url
        self._log = log

    async def ready(self, within_s: float = _READY_S) -> None:
        """Wait until every lane is open.

        Raises:
            Problem: it ended, or takes too long.
        """
        await self.until(lambda: ask(f"{self.url}/ready") is not None, within_s, "is not ready")

    async def until(self, reached: Callable[[], bool], within_s: float, otherwise: str) -> None:
        """Wait until something is so, asked in a thread.

        Raises:
            Problem: the worker ended, or it takes too long.
        """
        until_s = time.monotonic() + within_s
        while not await asyncio.to_thread(reached):
            if not self.process.alive:
                raise Problem(f"The {self.name} worker ended by itself:\n\n{self.last_words()}")
            if time.monotonic() > until_s:
                raise Problem(f"The {self.name} worker {otherwise} after {within_s:.0f} s:\n\n{self.last_words()}")
            await asyncio.sleep(_POLL_S)

    async def health(self) -> dict[str, Any]:
        """What it answers at /health; empty when it does not answer."""
        return await asyncio.to_thread(ask, f"{self.url}/health") or {}

    async def counts(self) -> dict[str, int]:
        """What it counted since it started."""
        counts: dict[str, int] = (await self.health()).get("counts", {})
        return counts

    async def lag(self) -> int | None:
        """Offsets not yet applied, of all its lanes; None when it does not answer."""
        health = await self.health()
        return sum(sum(lane["lag"].values()) for lane in health["lanes"]) if health else None

    def rss_bytes(self) -> int:
        """Its memory that is in RAM."""
        return self._status_kib("VmRSS") * _KIB

    def peak_rss_bytes(self) -> int:
        """The most it ever had."""
        return self._status_kib("VmHWM") * _KIB

    def _status_kib(self, field: str) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
        raise Problem(f"The {self.name} worker ended by itself:\n\n{self.last_words()}")

    def cpu_s(self) -> float:
        """Seconds of a core that it used since it started."""
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICKS_PER_S

    def last_words(self) -> str:
        """The end of what it printed."""
        return self._log.read_bytes()[-_LOG_BYTES:].decode(errors="replace") if self._log.exists() else ""

    def stop(self) -> None:
        """End it in order: it finishes its batches and leaves its group."""
        self.process.signal(signal.SIGTERM)
        self.ended()

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.signal(signal.SIGKILL)
        self.ended()

    def ended(self) -> None:
        """Wait for its end; what takes too long is killed."""
        if not self.process.ends_within(_STOP_S):
            self.process.signal(signal.SIGKILL)
            self.process.ends_within(_STOP_S)


async def submit(producer: AIOKafkaProducer, topic: str, records: Iterable[Filling]) -> list[asyncio.Future[Any]]:
    """Hand records over in full batches, in order within a partition; the futures tell when the broker has them."""
    by_partition: dict[int, list[tuple[bytes | None, bytes]]] = {}
    for partition, key, value in records:
        by_partition.setdefault(partition, []).append((key, value))
    sent = await asyncio.gather(*(_submit(producer, topic, *items) for items in by_partition.items()))
    return [future for futures in sent for future in futures]


async def _submit(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes]]
) -> list[asyncio.Future[Any]]:
    sent = []
    batch = producer.create_batch()
    for key, value in records:
        if batch.append(key=key, value=value, timestamp=None) is None:
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)
    sent.append(await producer.send_batch(batch, topic, partition=partition))
    return sent


async def _left(admin: AIOKafkaAdminClient, group: str, ends: Mapping[tuple[str, int], int]) -> int:
    """Records before these ends that a group has not committed."""
    try:
        told = await admin.list_consumer_group_offsets(group)
    except KafkaError:  # the group's coordinator is not found yet: ask again
        return sum(ends.values())
    committed = {(tp.topic, tp.partition): max(0, at.offset) for tp, at in told.items()}
    return sum(max(0, end - committed.get(tp, 0)) for tp, end in ends.items())


async def _others(settings: Settings) -> list[str]:
    """The topics on the broker that are not its own."""
    try:
        return [name for name in await topics.counts(settings) if not name.startswith("__")]
    except KafkaError as error:
        raise Problem(f"The broker refused: {error}") from error
