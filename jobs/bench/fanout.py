"""One message into a very large group: what it costs the core, and how many a worker brings to Kafka.

The cost of the core is measured in this process: the groups core itself, over rows in memory, from the bytes of its
input records to the bytes of what is to be written. The clock counts this thread's time on a core, so that other
processes of the machine are not in it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from jobs.bench.figures import Baseline, Figure, Mark, Plot, Result, Series, at_least, at_most, exactly
from jobs.bench.ingest import applied, settle
from jobs.bench.lab import Lab, Trial
from jobs.bench.listening import listening
from jobs.bench.world import APP, PUSHED, Churn, Crowd, Sends
from streams.batches.store import MemoryStore, Origin, State
from streams.groups.core import GroupsCore
from tables.batch import Outputs, Record
from tables.rows import Rows
from topics import catalog, limits
from topics.codec import encode
from topics.entities import GroupKind
from topics.policy import PolicySet

LINKS: Final = 100
BODY_BYTES: Final = 300
_CHURN: Final = 100  # sessions that join, and as many others that leave, between two messages
_ALONE: Final = "alone"
_CHURNED: Final = "churned"
_LOCAL: Final = State(Origin("", 1), 0, 0, 0)
_NS: Final = 1e9
_HUGE: Final = "fanout_ns_per_member_10m_100"
_CORE_FIGURES: Final = frozenset({"fanout_ns_per_member_1m_100", "fanout_growth_10k_1m", _HUGE})
_KAFKA_FIGURES: Final = frozenset({"fanout_batched_msgs_per_s", "fanout_entries_per_link"})


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        members: of the groups along the growth curve; the second and the last are what figures name.
        huge: of the group of a figure of its own.
        messages: to each of them in a repetition.
        batched: messages into the largest group through Kafka in a repetition.
    """

    members: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    huge: int = 10_000_000
    messages: int = 100
    batched: int = 6_000

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes((1_000, 2_000, 10_000), 20_000, 10, 500) if lab.quick else Sizes()


class Core:
    """A groups core with one group; all of its members are online over LINKS links."""

    def __init__(self, members: int, kind: GroupKind = "team") -> None:
        """Make the group and bind everybody."""
        self.crowd = Crowd(1, members, LINKS, 1, kind)
        self._rows = Rows(store := MemoryStore())
        self._store = store
        self._core = GroupsCore(self._rows, 0, 1, LINKS)
        self._offset = 0
        self._now_ms = 0
        self._sends = Sends(self.crowd, BODY_BYTES)
        self._churn = Churn(self.crowd, seed=members)
        self.apply([self.record(catalog.POLICIES.name, encode(PolicySet(APP, PUSHED)))])
        for topic, records in ((catalog.RELATIONS, self.crowd.relations()), (catalog.BINDINGS, self.crowd.bindings())):
            for filling in records:
                self.apply([self.record(topic.name, filling[2])])

    def record(self, topic: str, value: bytes) -> Record:
        """The next record of the partition."""
        self._offset += 1
        return Record(topic, self._offset, self._now_ms, None, value)

    def apply(self, records: Sequence[Record]) -> tuple[Outputs, int]:
        """A batch: what it wants written, and the nanoseconds that it took; it is committed afterwards."""
        self._now_ms += limits.BATCH_GAP_MS
        began = time.thread_time_ns()
        outputs = self._core.apply(records, self._now_ms)
        changes = self._rows.take()
        took = time.thread_time_ns() - began
        self._store.write(changes, _LOCAL)
        self._rows.settled()
        return outputs, took

    def rest(self, ms: int) -> Outputs:
        """A batch without records after some time: what is told later than the change that it is about."""
        self._now_ms += ms
        return self.apply([])[0]

    def message(self) -> Record:
        """A message to everybody."""
        ((_, _, value),) = self._sends.take(1, self._now_ms)
        return self.record(catalog.MESSAGES.name, value)

    def churn(self) -> Record:
        """Sessions of _CHURN members leave; those of the members who left the last time join, on the same links."""
        ((_, _, lot),) = self._churn.take(_CHURN)
        return self.record(catalog.BINDINGS.name, lot)


def ns_a_message(core: Core, messages: int, *, churned: bool) -> float:
    """Nanoseconds of a batch with one message, in the mean; `churned`: the sessions that came and went before it, too.

    Raises:
        ValueError: a message did not stand once in a lot of each link.
    """
    spent = 0
    for _ in range(messages):
        records = [core.churn(), core.message()] if churned else [core.message()]
        outputs, took = core.apply(records)
        spent += took
        if set(entries_by_partition(outputs).values()) != {1} or len(outputs.records) < LINKS:
            raise ValueError("a message is not once in a lot of each link")
    return spent / messages


def entries_by_partition(outputs: Outputs) -> dict[int, int]:
    """How many messages stand in each partition of `deliveries`."""
    return {
        partition: sum(value.count(_ENTRY) for _, value in records)
        for (topic, partition), records in outputs.records.items()
        if topic == catalog.DELIVERIES.name
    }


_ENTRY: Final = b'{"t":"m",'


async def measure(lab: Lab) -> Result:
    """All figures of fan-out."""
    figures: list[Figure] = []
    plots: list[Plot] = []
    if any(lab.wants(name) for name in _CORE_FIGURES):
        curves = await asyncio.to_thread(_curves, lab)
        figures += [figure for figure in _of_core(curves, Sizes.of(lab)) if lab.wants(figure.name)]
        plots.append(_plot(curves))
    if any(lab.wants(name) for name in _KAFKA_FIGURES):
        figures += [figure for figure in await _through_kafka(lab) if lab.wants(figure.name)]
    return Result(tuple(figures), tuple(plots))


# -- the core --------------------------------------------------------------------------------------------------------

#: Members of the group and whether sessions came and went → nanoseconds a message, one a repetition.
Curves = dict[tuple[int, str], list[float]]


def _curves(lab: Lab) -> Curves:
    sizes = Sizes.of(lab)
    cores: dict[int, Core] = {}
    for members in (*sizes.members, sizes.huge) if lab.wants(_HUGE) else sizes.members:
        lab.tell(f"a group of {members:,} in this process")
        cores[members] = Core(members)
    curves: Curves = {}
    for core in cores.values():  # the first batches make what later ones find made
        ns_a_message(core, 3, churned=True)
    for _ in range(max(lab.pace.repeat, _LEAST_TURNS)):
        for members, core in cores.items():
            for what in (_ALONE, _CHURNED):
                spent = ns_a_message(core, sizes.messages, churned=what == _CHURNED)
                curves.setdefault((members, what), []).append(spent)
    return curves


_LEAST_TURNS: Final = 5  # a turn is short


def _of_core(curves: Curves, sizes: Sizes) -> list[Figure]:
    small, large = sizes.members[1], sizes.members[-1]
    growth = tuple(more / less for more, less in zip(curves[large, _CHURNED], curves[small, _CHURNED], strict=True))
    few = tuple(ns / 1000 for ns in curves[small, _CHURNED])
    figures = [
        _per_member("fanout_ns_per_member_1m_100", curves, large),
        Figure(
            "fanout_growth_10k_1m",
            "ratio",
            growth,
            at_most(1.2),
            Baseline(f"a message with the same comings and goings to {small:,} members", few, "µs"),
            f"The same batch with {large:,} members, divided by that with {small:,}, in turns.",
        ),
    ]
    return [*figures, _per_member(_HUGE, curves, sizes.huge)] if (sizes.huge, _ALONE) in curves else figures


def _per_member(name: str, curves: Curves, members: int) -> Figure:
    return Figure(
        name,
        "ns",
        tuple(ns / members for ns in curves[members, _CHURNED]),
        at_most(0.1),
        Baseline(
            "the same message when nobody came or went", tuple(ns / members for ns in curves[members, _ALONE]), "ns"
        ),
        f"A batch with one message to audience 0 of {members:,}, and before it {_CHURN} sessions that left and "
        f"{_CHURN} that joined, from the records' bytes to the encoded lots of {LINKS} links, divided by the members.",
    )


def _plot(curves: Curves) -> Plot:
    sizes = sorted({members for members, _ in curves})
    labels = {_ALONE: "one message", _CHURNED: f"{_CHURN} sessions leave, {_CHURN} join, one message"}
    series = tuple(
        Series(
            label,
            tuple(float(members) for members in sizes),
            tuple(float(np.median(curves[members, what])) / 1000 for members in sizes),
        )
        for what, label in labels.items()
    )
    budget = Mark("0.1 ns a member of a million", y=100.0)
    return Plot(
        "fanout_growth",
        f"A message to a group on {LINKS} links costs what changed, not what there is",
        "members, all online",
        "µs of the core",
        series,
        (budget,),
        log_x=True,
        log_y=True,
    )


# -- a worker and Kafka ----------------------------------------------------------------------------------------------


class _Numbered(msgspec.Struct):
    seq: int = msgspec.field(name="s", default=0)
    tag: str = msgspec.field(name="t", default="")


class _Lot(msgspec.Struct):
    link: str
    entries: list[_Numbered]


_LOTS: Final = msgspec.json.Decoder(_Lot)


@dataclass(slots=True)
class Seen:
    """What the links' partitions hold of a run."""

    last_ms: int = 0
    entries: Counter[tuple[str, int]] = field(default_factory=Counter)
    times: dict[int, int] = field(default_factory=dict)  # seq -> when its first entry was appended

    def add(self, at_ms: int, value: bytes) -> None:
        """A record."""
        lot = _LOTS.decode(value)
        self.last_ms = max(self.last_ms, at_ms)
        for entry in lot.entries:
            if entry.tag == "m":
                self.entries[lot.link, entry.seq] += 1
                self.times[entry.seq] = min(self.times.get(entry.seq, at_ms), at_ms)

    @property
    def messages_per_s(self) -> float:
        """From the first batch, which is not counted, to the last."""
        first = min(self.times.values())
        later = sum(at > first for at in self.times.values())
        return later / max(self.last_ms - first, 1) * 1000

    def entries_per_link(self, messages: int) -> float:
        """How often a message stands on a link: 1 if each is on each exactly once, else the count furthest from it."""
        counts = {*self.entries.values()}
        if len(self.entries) != messages * LINKS:
            counts.add(0)
        return float(max(counts, key=lambda count: abs(count - 1)))


async def _through_kafka(lab: Lab) -> list[Figure]:
    sizes = Sizes.of(lab)
    async with lab.trial(links=LINKS) as trial:
        crowd = Crowd(1, sizes.members[-1], LINKS, trial.settings.partitions)
        lab.tell(f"a group of {crowd.members:,} on a worker")
        worker = await settle(trial, crowd)
        await trial.fill(catalog.BINDINGS.name, listening(crowd, "messages"))
        await trial.consumed(worker, catalog.BINDINGS)
        sends, runs = Sends(crowd, BODY_BYTES), []
        async with lab.profiled(worker, "fanout"):
            for turn in range(lab.pace.repeat):
                lab.tell(f"fanout_batched: {turn + 1} of {lab.pace.repeat}")
                since = await trial.ends(catalog.DELIVERIES)
                await trial.fill(catalog.MESSAGES.name, sends.take(sizes.batched, int(time.time() * 1000)))
                await applied(worker, "messages", sizes.batched * (turn + 1))
                runs.append(await _seen(trial, since))
    rates = tuple(run.messages_per_s for run in runs)
    return [
        Figure(
            "fanout_batched_msgs_per_s",
            "msgs/s",
            rates,
            at_least(2_000),
            note=f"{sizes.batched:,} messages of {BODY_BYTES} incompressible bytes at once into one group of "
            f"{crowd.members:,} on {LINKS} links, by the append times of what a reader of committed deliveries finds. "
            "Everybody subscribed to the channel's messages: others would get notices, at so many a second.",
        ),
        Figure(
            "fanout_entries_per_link",
            "entries",
            tuple(run.entries_per_link(sizes.batched) for run in runs),
            exactly(1),
            note="Counted in the same deliveries: the count furthest from 1, over all messages and links.",
        ),
    ]


async def _seen(trial: Trial, since: dict[int, int]) -> Seen:
    seen = Seen()
    async for record in trial.read(catalog.DELIVERIES, since=since):
        seen.add(record.timestamp, record.value or b"")
    return seen
