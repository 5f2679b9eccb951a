"""Throughput: `messages` to committed deliveries, history and state.

The topic is filled first; then the worker starts and works it off. What counts is what a reader of committed records
finds afterwards, between the broker's append times of the first and the last output. The first lot of each partition
is not counted: it was worked on before the clock began.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from jobs.bench.appended import ENTRY
from jobs.bench.figures import Baseline, Figure, Result, at_least
from jobs.bench.lab import Lab, Record, Trial, Worker
from jobs.bench.programs import BASELINES, Program, answer_of, quix_python, running
from jobs.bench.world import APP, PUSHED, Crowd, Sends
from jobs.problem import Problem
from topics import catalog
from topics.catalog import Topic

LINKS: Final = 10
BODY_BYTES: Final = 200
_POLL_S: Final = 0.25
_WITHIN_S: Final = 240.0
_CAPTURED: Final = 5  # transactions of a partition: 7 MB each


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        groups: of `members` each.
        members: of each group, all online.
        messages: through Linkcast.
        stock: messages through stock Faust.
        quix: messages through Quix Streams.
        limit_s: how long the bare producer writes.
    """

    groups: int = 1_000
    members: int = 100
    messages: int = 150_000
    stock: int = 4_000
    quix: int = 60_000
    limit_s: float = 6.0

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes(50, 20, 20_000, 400, 4_000, 1.0) if lab.quick else Sizes()


@dataclass(slots=True)
class Window:
    """Outputs between the first and the last: when, how many messages, how many bytes."""

    first_ms: float = float("inf")
    last_ms: float = 0
    messages: int = 0
    began_with: Counter[int] = field(default_factory=Counter)  # messages in the first lot of each partition
    entries: int = 0
    bytes: int = 0

    def history(self, record: Record, messages: int) -> None:
        """A record of history with so many messages."""
        if record.partition not in self.began_with:
            self.began_with[record.partition] = messages
        self.first_ms = min(self.first_ms, record.timestamp)
        self.messages += messages
        self.output(record)

    def output(self, record: Record) -> None:
        """Any output."""
        self.last_ms = max(self.last_ms, record.timestamp)
        self.bytes += len(record.value or b"") + len(record.key or b"")

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(self.last_ms - self.first_ms, 1) / 1000

    @property
    def counted(self) -> int:
        """The messages after the first lots; all of them where there are no others."""
        return self.messages - self.began_with.total() or self.messages

    @property
    def messages_per_s(self) -> float:
        """The rate."""
        return self.counted / self.seconds

    @property
    def bytes_per_s(self) -> float:
        """The rate of all outputs, as their readers see them: unpacked."""
        return self.bytes / self.seconds * self.counted / self.messages


class _Numbered(msgspec.Struct, rename={"group": "g", "seq": "s"}):
    group: str
    seq: int


class _Lot(msgspec.Struct):
    entries: list[_Numbered]


_LOTS: Final = msgspec.json.Decoder(_Lot)


def crowd_of(lab: Lab, trial: Trial) -> Crowd:
    """The groups of the job."""
    sizes = Sizes.of(lab)
    return Crowd(sizes.groups, sizes.members, LINKS, trial.settings.partitions)


async def settle(trial: Trial, *crowds: Crowd, name: str = "groups") -> Worker:
    """A groups worker that has made the groups and bound everybody; messages are pushed to all of them."""
    await trial.serve(APP, PUSHED)
    relations = [record for crowd in crowds for record in crowd.relations()]
    bindings = [record for crowd in crowds for record in crowd.bindings()]
    await trial.fill(catalog.RELATIONS.name, relations)
    worker = await trial.start_worker("groups", name)
    await trial.consumed(worker, catalog.RELATIONS)
    await trial.fill(catalog.BINDINGS.name, bindings)
    await trial.consumed(worker, catalog.BINDINGS)
    return worker


async def applied(worker: Worker, what: str, count: int, within_s: float = _WITHIN_S) -> None:
    """Wait until a worker that had no fault has counted so many.

    Raises:
        Problem: it ended, or takes too long.
    """
    until_s = time.monotonic() + within_s
    while (done := (await worker.counts()).get(what, 0)) < count:
        if time.monotonic() > until_s or not worker.process.alive:
            raise Problem(f"The {worker.name} worker did {done} of {count} {what}:\n\n{worker.last_words()}")
        await asyncio.sleep(_POLL_S)


class _Source(msgspec.Struct):
    source: int


_SOURCES: Final = msgspec.json.Decoder(_Source)
Item = tuple[bytes | None, bytes | None]


class Capture:
    """The first transactions of each partition, put together again from what they wrote.

    A batch writes one record of history, one lot to each link, and the rows it changed in a run of offsets that the
    transaction's marker ends. So the n-th of each belong together, give or take a batch that had nothing for a link.
    """

    def __init__(self) -> None:
        self.bytes_per_s = 0.0
        self._transactions: dict[int, list[dict[tuple[str, int], list[Item]]]] = {}
        self._lots: Counter[tuple[int, int]] = Counter()
        self._runs: dict[int, tuple[int, int]] = {}

    def history(self, record: Record) -> None:
        """A record of history: a transaction."""
        mine = self._transactions.setdefault(record.partition, [])
        if len(mine) < _CAPTURED:
            mine.append({(catalog.HISTORY.name, record.partition): [(record.key, record.value)]})

    def output(self, topic: Topic, record: Record) -> None:
        """A record of another topic; those of history were told before."""
        if topic is catalog.DELIVERIES:
            source = _SOURCES.decode(record.value or b"").source
            number = self._lots[source, record.partition]
            self._lots[source, record.partition] += 1
        else:
            source = record.partition
            number, next_ = self._runs.get(source, (-1, -1))
            number += record.offset != next_
            self._runs[source] = number, record.offset + 1
        mine = self._transactions.get(source, [])
        if number < len(mine):
            mine[number].setdefault((topic.name, record.partition), []).append((record.key, record.value))

    def lanes(self) -> list[list[list[tuple[str, int, list[Item]]]]]:
        """For each partition its transactions: the records of each (topic, partition)."""
        return [
            [[(*tp, records) for tp, records in transaction.items()] for transaction in lane]
            for lane in self._transactions.values()
        ]


async def linkcast(lab: Lab, *, answered: bool = False, capture: Capture | None = None) -> Window:
    """One run of the job.

    Args:
        lab: where.
        answered: whether senders ask for answers: one more entry a message.
        capture: is filled with transactions of the run.
    """
    count = Sizes.of(lab).messages
    async with lab.trial() as trial:
        crowd = crowd_of(lab, trial)
        worker = await settle(trial, crowd)
        await asyncio.to_thread(worker.stop)
        outputs = (catalog.DELIVERIES, catalog.GROUPS_CHANGELOG)
        since = {topic.name: await trial.ends(topic) for topic in outputs}
        sends = Sends(crowd, BODY_BYTES, answered=answered)
        await trial.fill(catalog.MESSAGES.name, sends.take(count, int(time.time() * 1000)))
        worker = await trial.start_worker("groups", worker.name, wait=False)
        async with lab.profiled(worker, "ingest-answered" if answered else "ingest"):
            await worker.ready()
            await trial.consumed(worker, catalog.MESSAGES)
        await asyncio.to_thread(worker.stop)
        return await _window(trial, count, since, capture)


async def _window(trial: Trial, count: int, since: dict[str, dict[int, int]], capture: Capture | None) -> Window:
    """What was committed; each group's seqs are checked to be 1, 2, 3, … and each message to be once on each link."""
    window = Window()
    heads: Counter[str] = Counter()
    async for record in trial.read(catalog.HISTORY):
        entries = _LOTS.decode(record.value or b"").entries
        window.history(record, len(entries))
        for entry in entries:
            heads[entry.group] += 1
            if entry.seq != heads[entry.group]:
                raise Problem(f"{entry.group}: message {entry.seq} follows {heads[entry.group] - 1} in history")
        if capture is not None:
            capture.history(record)
    for topic in (catalog.DELIVERIES, catalog.GROUPS_CHANGELOG):
        async for record in trial.read(topic, since=since[topic.name]):
            window.output(record)
            if topic is catalog.DELIVERIES:
                window.entries += (record.value or b"").count(ENTRY)
            if capture is not None:
                capture.output(topic, record)
    if window.messages != count or window.entries != count * LINKS:
        raise Problem(
            f"Of {count} messages {window.messages} are in history, with {window.entries} entries on {LINKS} links."
        )
    return window


# -- baselines -------------------------------------------------------------------------------------------------------


async def stock_faust(lab: Lab) -> Window:
    """The same job as Faust's guide would write it."""
    async with lab.trial() as trial:
        crowd = crowd_of(lab, trial)
        command = (sys.executable, "-m", "faust", "-A", "jobs.bench.baselines.stock_faust", "-L", "uvloop")
        start = (*command, "worker", "--loglevel", "warn")
        environment = _environment(trial, "stock")
        relations = [(partition, key, value) for partition, key, value in crowd.relations()]
        await trial.fill(catalog.RELATIONS.name, relations)
        async with running(trial.settings.data, "stock-0", *start, environment=environment) as program:
            await _rows(trial, program, "stock-faust-groups-changelog", crowd.groups)
        return await _other(trial, crowd, Sizes.of(lab).stock, "stock", start, environment)


async def quix(lab: Lab) -> Window:
    """The same job on Quix Streams."""
    python = await quix_python(lab)
    async with lab.trial() as trial:
        start = (str(python), str(BASELINES / "quix_streams.py"))
        environment = _environment(trial, "quix")
        return await _other(trial, crowd_of(lab, trial), Sizes.of(lab).quix, "quix", start, environment)


def _environment(trial: Trial, name: str) -> dict[str, str]:
    return {
        "BENCH_BOOTSTRAP": trial.settings.kafka_bootstrap,
        "BENCH_DATA": str(trial.settings.data / name),
        "BENCH_PARTITIONS": str(trial.settings.partitions),
    }


async def _other(
    trial: Trial, crowd: Crowd, count: int, name: str, start: tuple[str, ...], environment: dict[str, str]
) -> Window:
    """A baseline works off what was filled; its outputs are one record a message and link."""
    await trial.fill(catalog.MESSAGES.name, Sends(crowd, BODY_BYTES).take(count, int(time.time() * 1000)))
    async with running(trial.settings.data, name, *start, environment=environment) as program:
        for topic, records in ((catalog.HISTORY, count), (catalog.DELIVERIES, count * LINKS)):
            await _rows(trial, program, topic.name, records)
        window = Window()
        async for record in trial.read(catalog.HISTORY):
            window.history(record, 1)
        async for record in trial.read(catalog.DELIVERIES):
            window.output(record)
    return window


async def _rows(trial: Trial, program: Program, topic: str, count: int) -> None:
    """Wait until a program has written so many records to a topic.

    Raises:
        Problem: it ended, or takes too long.
    """
    until_s = time.monotonic() + _WITHIN_S
    while (there := await trial.written(topic)) < count:
        if time.monotonic() > until_s or not program.process.alive:
            raise Problem(f"The baseline wrote {there} of {count} records to {topic}:\n\n{program.last_words()}")
        await asyncio.sleep(_POLL_S)


async def bare_producer(lab: Lab, capture: Capture) -> float:
    """Bytes a second of a producer that does nothing but write the captured transactions again and again."""
    async with lab.trial() as trial:
        trial.settings.data.mkdir(parents=True, exist_ok=True)
        file = trial.settings.data / "transactions.msgpack"
        file.write_bytes(msgspec.msgpack.encode(capture.lanes()))
        module = "jobs.bench.baselines.bare_producer"
        seconds = str(Sizes.of(lab).limit_s)
        answer = await answer_of(sys.executable, "-m", module, trial.settings.kafka_bootstrap, file, seconds)
        return float(answer["bytes"]) / float(answer["seconds"])


# -- the figures -----------------------------------------------------------------------------------------------------


async def messages_per_s(lab: Lab) -> float:
    """What this run measured, else what one run of the job tells."""
    if "ingest_msgs_per_s" not in lab.known:
        lab.tell("ingest rate, to know what load is half and twice of it")
        lab.known["ingest_msgs_per_s"] = (await linkcast(lab)).messages_per_s
    return lab.known["ingest_msgs_per_s"]


async def measure(lab: Lab) -> Result:
    """Throughput, beside that of what people would use instead."""
    captures: list[Capture] = []

    async def ours() -> float:
        captures.append(Capture())
        window = await linkcast(lab, capture=captures[-1] if lab.wants("ingest_vs_kafka_limit") else None)
        captures[-1].bytes_per_s = window.bytes_per_s
        lab.tell(f"  {window.messages_per_s:,.0f} messages/s, {window.bytes_per_s / 1e6:,.0f} MB/s")
        return window.messages_per_s

    async def rate(what: Callable[[Lab], Awaitable[Window]]) -> float:
        window = await what(lab)
        lab.tell(f"  {window.messages_per_s:,.0f} messages/s")
        return window.messages_per_s

    async def limit() -> float:
        bytes_per_s = await bare_producer(lab, captures[-1])
        lab.tell(f"  {bytes_per_s / 1e6:,.0f} MB/s")
        return bytes_per_s

    turns: dict[str, Callable[[], Awaitable[float]]] = {"linkcast": ours}
    if lab.wants("ingest_vs_stock_faust"):
        turns["stock Faust"] = lambda: rate(stock_faust)
    if lab.wants("ingest_vs_quix"):
        turns["Quix Streams"] = lambda: rate(quix)
    if lab.wants("ingest_vs_kafka_limit"):
        turns["bare producer"] = limit
    found = await lab.alternate(turns)
    return Result(tuple(_figures(lab, found, [capture.bytes_per_s for capture in captures])))


def _figures(lab: Lab, found: dict[str, list[float]], bytes_per_s: list[float]) -> Iterator[Figure]:
    ours = found["linkcast"]
    if lab.wants("ingest_msgs_per_s"):
        yield Figure("ingest_msgs_per_s", "msgs/s", tuple(ours), at_least(20_000), _KAFKA_STREAMS, _JOB)
    for name, other, target, text, note in (
        ("ingest_vs_stock_faust", "stock Faust", 20, "jobs/bench/baselines/stock_faust.py", _LESS),
        ("ingest_vs_quix", "Quix Streams", 2, "jobs/bench/baselines/quix_streams.py, at least once", _LESS),
    ):
        if lab.wants(name):
            baseline = Baseline(f"{other}: {text}", tuple(found[other]), "msgs/s")
            yield Figure(name, "ratio", ratios(ours, found[other]), at_least(target), baseline, note)
    if lab.wants("ingest_vs_kafka_limit"):
        limit = [one / 1e6 for one in found["bare producer"]]
        baseline = Baseline("jobs/bench/baselines/bare_producer.py: the same transactions", tuple(limit), "MB/s")
        mine = [one / 1e6 for one in bytes_per_s]
        note = "Bytes of deliveries, history and changelog a second, unpacked; the bare producer decides nothing."
        yield Figure("ingest_vs_kafka_limit", "ratio", ratios(mine, limit), at_least(0.4), baseline, note)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Each to its neighbour in time."""
    return tuple(mine / other for mine, other in zip(ours, theirs, strict=True))


_KAFKA_STREAMS: Final = Baseline(
    "Kafka Streams (Java), exactly once, one thread, on two cores: 21,400 msgs/s; not measured in this run"
)
_JOB: Final = (
    "1,000 groups of 100 members online on 10 links, bodies of 200 B as incompressible as JSON gets, no answers asked "
    "for; one groups worker on a filled topic, from the first to the last committed output."
)
_LESS: Final = "The baseline checks no membership, knows no resends, and repeats deliveries after a crash."
