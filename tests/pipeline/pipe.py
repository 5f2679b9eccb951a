"""A small pipeline for tests: topics of its own, a feed, worker processes, and a reader that trusts nobody."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.pipeline.counting import topic
from tests.pipeline.counting_worker import Options
from topics.catalog import Topic

ROOT = Path(__file__).parents[2]


async def until(check: Callable[[], Any], within_s: float = 30.0, why: str = "") -> None:
    try:
        async with asyncio.timeout(within_s):
            while not check():  # noqa: ASYNC110 - other processes have no events
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s: {why or check}") from None


async def listed(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Until the broker knows topics that its controller has made."""
    async with asyncio.timeout(60):
        while not names <= {*await admin.list_topics()}:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.05)


class Worker:
    """One worker process."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log
        self.status: dict[str, Any] = {}
        self.at: str | None = None
        self.stopped = False
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            told = json.loads(line)
            self.status = told.get("status", self.status)
            self.at = told.get("at", self.at)
            self.stopped = told.get("stopped", self.stopped)

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None

    @property
    def serving(self) -> set[str]:
        """Its lanes of the kind with many partitions."""
        return {lane for lane in self.all_serving if lane.startswith("count/")}

    @property
    def all_serving(self) -> set[str]:
        return {lane for lane, state in self.status.get("lanes", {}).items() if state == "serving"}

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def serves(self, lanes: int, within_s: float = 30.0) -> None:
        await until(lambda: self.ended or len(self.serving) == lanes, within_s, f"{lanes} lanes at {self.log}")
        assert not self.ended, self.log.read_text()[-2_000:]

    async def reaches_its_point(self) -> None:
        await until(lambda: self.at, 30, f"its point at {self.log}")

    async def ends(self, within_s: float = 20.0) -> int:
        async with asyncio.timeout(within_s):
            code = await self.process.wait()
            await self._reading
        return code

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
            await self.process.wait()
        await self._reading


class Pipe:
    """Topics, a feed of numbered records, workers and their outputs."""

    def __init__(self, bootstrap: str, folder: Path, partitions: int) -> None:
        self.bootstrap = bootstrap
        self.folder = folder
        self.partitions = partitions
        self.run = f"t{uuid.uuid4().hex[:8]}"
        self.fed: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        self.out: dict[int, list[bytes]] = defaultdict(list)
        self.single: list[bytes] = []
        self.rejects: list[dict[str, Any]] = []
        self.seen_at = time.monotonic()
        self._producer: AIOKafkaProducer
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._workers = 0

    async def __aenter__(self) -> Self:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        topics = [topic(f"{self.run}-{name}", compacted=name.endswith("changelog")) for name in self.names]
        await admin.create_topics([NewTopic(one.name, self.count(one), 1, topic_configs=one.config) for one in topics])
        await listed(admin, {one.name for one in topics})
        await admin.close()
        self._producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, enable_idempotence=True)
        await self._producer.start()
        self._stack.push_async_callback(self._producer.stop)
        reader = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, isolation_level="read_committed", fetch_max_wait_ms=50
        )
        await reader.start()
        self._stack.push_async_callback(reader.stop)
        outputs = [TopicPartition(f"{self.run}-{name}", p) for name in ("out", "rejects") for p in self.all]
        reader.assign([*outputs, TopicPartition(f"{self.run}-single-out", 0)])
        await reader.seek_to_beginning()
        reading = asyncio.create_task(self._read(reader))
        self._stack.push_async_callback(_end, reading)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    @property
    def names(self) -> tuple[str, ...]:
        return ("a", "b", "out", "rejects", "changelog", "single", "single-out", "single-changelog")

    def count(self, of: Topic) -> int:
        return 1 if "-single" in of.name else self.partitions

    @property
    def all(self) -> range:
        return range(self.partitions)

    async def _read(self, reader: AIOKafkaConsumer) -> None:
        async for record in reader:
            self.seen_at = time.monotonic()
            if record.topic.endswith("-single-out"):
                self.single.append(record.value)
            elif record.topic.endswith("-out"):
                self.out[record.partition].append(record.value)
            else:
                self.rejects.append(json.loads(record.value))

    async def feed(self, count: int, *, poison: int | None = None) -> None:
        """Write records to both inputs, told apart by topic, partition and number; every `poison`-th is poison."""
        sends = []
        for _ in range(count):
            for name in "ab":
                for partition in self.all:
                    place = len(self.fed[name, partition])
                    bad = poison is not None and place % poison == 0
                    value = b"%s%s-%d-%d" % (b"poison" if bad else b"", name.encode(), partition, place)
                    self.fed[name, partition].append(value)
                    key = b"k%d" % (place % 7)
                    sends.append(await self._producer.send(f"{self.run}-{name}", value, key=key, partition=partition))
        await asyncio.gather(*sends)

    async def feed_single(self, *values: bytes) -> None:
        for value in values:
            await self._producer.send_and_wait(f"{self.run}-single", value)

    @asynccontextmanager
    async def feeding(self, every_s: float = 0.02) -> AsyncIterator[None]:
        """Records keep coming while the block runs."""

        async def go() -> None:
            while True:
                await self.feed(2)
                await asyncio.sleep(every_s)

        task = asyncio.create_task(go())
        try:
            yield
        finally:
            await _end(task)
            async with asyncio.timeout(30):
                await self._producer.flush()

    async def worker(self, folder: str | None = None, **options: Any) -> Worker:
        """Start a worker process."""
        self._workers += 1
        name = folder or f"worker-{self._workers}"
        home = self.folder / name
        home.mkdir(parents=True, exist_ok=True)
        chosen = Options(self.run, self.bootstrap, str(home), self.partitions, **options)
        log = self.folder / f"{name}-{self._workers}.log"
        with log.open("wb") as err:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.pipeline.counting_worker", json.dumps(asdict(chosen))),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=err,
                env=dict(os.environ),
            )
        worker = Worker(process, log)
        self._stack.push_async_callback(worker.kill)
        return worker

    def missing(self) -> int:
        good = sum(not value.startswith(b"poison") for values in self.fed.values() for value in values)
        return good - sum(map(len, self.out.values()))

    async def all_arrives(self, within_s: float = 60.0) -> None:
        """Wait for as many outputs as records, then check that each is there once and in order."""
        await until(lambda: self.missing() <= 0, within_s, f"still missing outputs: {self.missing()}")
        await asyncio.sleep(0.3)  # what is doubled may come late
        self.check()

    def check(self) -> None:
        """Nothing lost, nothing doubled, nothing out of order, and the counts show that state went on exactly."""
        for partition in self.all:
            lines = [value.split(b" ", 1) for value in self.out[partition] if not value.endswith(b"tick")]
            assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1)), "the count has a break"
            for name in "ab":
                good = [value for value in self.fed[name, partition] if not value.startswith(b"poison")]
                got = [value for _, value in lines if value.startswith(name.encode())]
                assert got == good, f"{name}/{partition}: {len(got)} of {len(good)}"


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
