"""History: rows a second that the sinks bring from a filled topic into Cassandra and Redis, and the driver alone.

The rows are those of the job that ingest is measured on: messages to 1,000 groups, mixed as they come, in lots as the
groups role writes them. The driver alone writes the same rows into a table of the same shape, without Kafka and Redis,
in the best batches that a trial of several shapes found.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from jobs.bench.figures import Baseline, Figure, Result, at_least
from jobs.bench.ingest import applied, messages_per_s, ratios
from jobs.bench.lab import Filling, Lab, Trial, Worker
from jobs.bench.programs import answer_of
from jobs.bench.world import APP, DEVICE, Crowd, bodies
from jobs.problem import Problem
from topics import catalog
from topics.codec import encode
from topics.messages import MAIN, HistoryLot, Message

_BODY_BYTES: Final = 200
_LOT_ROWS: Final = 500  # of a groups worker that has more to do than it can
_WITHIN_S: Final = 120.0
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        groups: of which each has one channel.
        rows: to drain in a repetition.
    """

    groups: int = 1_000
    rows: int = 120_000

    @staticmethod
    def of(lab: Lab) -> Sizes:
        """Small ones where the lab is in a hurry."""
        return Sizes(50, 4_000) if lab.quick else Sizes()


class Rows:
    """Messages as they stand in `history`, mixed over the groups; each call goes on where the last ended."""

    def __init__(self, sizes: Sizes, partitions: int) -> None:
        """Prepare them."""
        self._crowd = Crowd(sizes.groups, 100, 10, partitions)
        self._random = np.random.default_rng(1)
        self._bodies = bodies(10_007, _BODY_BYTES)
        self._seqs = [0] * sizes.groups
        self._partitions = [self._crowd.keyed(group)[0] for group in range(sizes.groups)]

    def take(self, count: int, now_ms: int) -> dict[int, list[Message]]:
        """The next messages, by partition of `history`."""
        taken: dict[int, list[Message]] = {}
        for number, group in enumerate(self._random.integers(0, len(self._seqs), count).tolist()):
            taken.setdefault(self._partitions[group], []).append(self._message(group, number, now_ms))
        return taken

    def _message(self, group: int, number: int, now_ms: int) -> Message:
        seq = self._seqs[group] = self._seqs[group] + 1
        return Message(
            app=APP,
            group=self._crowd.group(group),
            channel=MAIN,
            seq=seq,
            prev=seq - 1,
            counter=seq,
            version=1,
            map=1,
            sender=self._crowd.user(group, number % self._crowd.members),
            device=DEVICE,
            client_id=f"g1-{number}",
            at=now_ms,
            body=msgspec.Raw(self._bodies[number % len(self._bodies)]),
        )


def lots(by_partition: dict[int, list[Message]]) -> Iterator[Filling]:
    """Records of `history` that hold these messages."""
    for partition, messages in by_partition.items():
        for start in range(0, len(messages), _LOT_ROWS):
            yield partition, None, encode(HistoryLot(partition, messages[start : start + _LOT_ROWS]))


async def measure(lab: Lab) -> Result:
    """Both figures of history."""
    sizes = Sizes.of(lab)
    async with lab.trial("kafka", "redis", "cassandra") as trial:
        rows = Rows(sizes, trial.settings.partitions)
        turns = {"sinks": lambda: _drain(trial, rows, sizes.rows)}
        if lab.wants("history_vs_bare_driver"):
            turns["bare driver"] = lambda: _bare(lab, trial, rows, sizes.rows)
        lab.tell("a drain that does not count: a Cassandra that just started compiles as it goes")
        await _drain(trial, rows, sizes.rows // 4)
        found = await lab.alternate(turns)
    await lab.rest("redis", "cassandra")
    figures: list[Figure] = []
    ours = found["sinks"]
    if lab.wants("history_drain_vs_ingest"):
        ingest = await messages_per_s(lab)
        figures.append(_vs_ingest(ours, ingest))
    if lab.wants("history_vs_bare_driver"):
        figures.append(_vs_driver(ours, found["bare driver"]))
    return Result(tuple(figures))


def _vs_ingest(ours: Sequence[float], ingest: float) -> Figure:
    rates = ", ".join(f"{rate:,.0f}" for rate in ours)
    return Figure(
        "history_drain_vs_ingest",
        "ratio",
        tuple(rate / ingest for rate in ours),
        at_least(1),
        Baseline("ingest_msgs_per_s of this run", (ingest,), "msgs/s"),
        f"Rows of 1,000 channels a second into Cassandra and Redis, alone: {rates}.",
    )


def _vs_driver(ours: Sequence[float], bare: Sequence[float]) -> Figure:
    return Figure(
        "history_vs_bare_driver",
        "ratio",
        ratios(ours, bare),
        at_least(0.6),
        Baseline("jobs/bench/baselines/bare_driver.py: the same rows in its best batches", tuple(bare), "rows/s"),
        "The driver alone reads no topic, decodes nothing, fills no cache, and knows all rows beforehand.",
    )


async def _drain(trial: Trial, rows: Rows, count: int) -> float:
    """Rows a second of a sinks worker before a filled topic: from its first open lane to the last row in both."""
    told = await trial.ends(catalog.STORED)
    await trial.fill(catalog.HISTORY.name, lots(rows.take(count, int(time.time() * 1000))))
    worker = await trial.start_worker("sinks", "sinks", wait=False)
    began_ms = await _serves(worker)
    await applied(worker, "stored", count)
    await asyncio.to_thread(worker.stop)
    last_ms = max([record.timestamp async for record in trial.read(catalog.STORED, since=told)])
    return count / (last_ms - began_ms) * 1000


async def _serves(worker: Worker) -> float:
    """The moment of the last look at which no lane of the worker was open yet, in milliseconds."""
    until_s = time.monotonic() + _WITHIN_S
    before_ms = looked_ms = time.time() * 1000
    while not any(lane["state"] == "serving" for lane in (await worker.health()).get("lanes", [])):
        if time.monotonic() > until_s or not worker.process.alive:
            raise Problem(f"The {worker.name} worker does not serve:\n\n{worker.last_words()}")
        await asyncio.sleep(_POLL_S)
        before_ms, looked_ms = looked_ms, time.time() * 1000
    return before_ms


async def _bare(lab: Lab, trial: Trial, rows: Rows, count: int) -> float:
    """Rows a second of the driver alone, in a keyspace of its own."""
    settings = trial.settings
    messages = [message for of in rows.take(count, int(time.time() * 1000)).values() for message in of]
    settings.data.mkdir(parents=True, exist_ok=True)
    file = settings.data / "rows.json"
    file.write_bytes(encode(messages))
    module, keyspace = "jobs.bench.baselines.bare_driver", f"{settings.keyspace}_bare"
    host, port = settings.cassandra_contact_points[0], str(settings.cassandra_port)
    answer = await answer_of(sys.executable, "-m", module, host, port, keyspace, file)
    tried = ", ".join(f"{shape}: {rate:,.0f}" for shape, rate in answer["tried"].items())
    lab.tell(f"  {answer['rows_per_s']:,.0f} rows/s with {answer['batch_rows']} rows a batch; tried {tried}")
    return float(answer["rows_per_s"])
