"""A worker process with counting cores that tells what it does on its output and can end, or freeze, at a chosen step.

Run: python -m tests.pipeline.counting_worker '<json of Options>'
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop

from streams.batches import producer
from streams.batches.kind import Edges, LaneKind, Source
from streams.batches.lane import Applied, Lane
from streams.batches.role import RoleApp, RoleConfig, run_worker
from tables.rows import Rows
from tests.pipeline.counting import CountingCore, topic
from topics.catalog import Count

_TELL_S = 0.05


@dataclass(frozen=True)
class Options:
    """How the process behaves.

    Attributes:
        run: leads the names of its topics and groups.
        bootstrap: the broker.
        folder: its lasting folder.
        partitions: how many partitions its topics have.
        point: the step at which it ends or freezes; None for never.
        after: how often it passes that step before.
        freeze: freezes there instead of ending.
        tick_ms: how often its cores tick; None for never.
        transaction_ms: after which the broker itself ends a transaction that nobody ends; None: as shipped.

    Its role has two kinds: one that counts two topics, one that counts a topic of one partition.
    """

    run: str
    bootstrap: str
    folder: str
    partitions: int
    point: str | None = None
    after: int = 2
    freeze: bool = False
    tick_ms: int | None = None
    transaction_ms: int | None = None


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - the parent reads it


class StoppingSource:
    """The consumer, with the step after committed offsets were read."""

    def __init__(self, source: Source, lane: StoppingLane) -> None:
        self._source, self._lane = source, lane

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def committed(self, topics: Sequence[str]) -> dict[str, int]:
        offsets = await self._source.committed(topics)
        self._lane.passing("offsets read")
        return offsets


class StoppingLane(Lane):
    """Passes its steps to `passing`."""

    options: Options
    passed = 0

    def __init__(self, kind: LaneKind, partition: int, edges: Edges) -> None:
        source = cast("Source", StoppingSource(edges.source, self))
        super().__init__(kind, partition, dataclasses.replace(edges, source=source))

    def passing(self, step: str) -> None:
        if self.options.point != step or self.kind.name != "count":
            return
        StoppingLane.passed += 1
        if StoppingLane.passed == self.options.after + 1:
            tell(at=step, lane=repr(self))
            os.kill(os.getpid(), signal.SIGSTOP if self.options.freeze else signal.SIGKILL)

    async def _send(self, applied: Applied) -> dict[tuple[str, int], int]:
        self.passing("before the send")
        return await super()._send(applied)

    async def _end(self) -> None:
        self.passing("before the commit")
        await super()._end()
        self.passing("after the commit")


def kinds(options: Options) -> list[LaneKind]:
    run = options.run

    def count(rows: Rows, partition: int) -> CountingCore:
        return CountingCore(rows, partition, f"{run}-out", f"{run}-rejects", options.tick_ms)

    def single(rows: Rows, partition: int) -> CountingCore:
        return CountingCore(rows, partition, f"{run}-single-out", f"{run}-rejects")

    one = partial(topic, count=Count.ONE)
    return [
        LaneKind("count", (topic(f"{run}-a"), topic(f"{run}-b")), topic(f"{run}-changelog", compacted=True), count),
        LaneKind("single", (one(f"{run}-single"),), one(f"{run}-single-changelog", compacted=True), single),
    ]


def status(app: RoleApp) -> dict[str, Any]:
    return {
        "lanes": {repr(lane): lane.state for lane in app.lanes},
        "records": sum(lane.counters.records for lane in app.lanes),
        "openings": sum(lane.counters.openings for lane in app.lanes),
        "aborts": sum(lane.counters.aborts for lane in app.lanes),
        "rebalances": app.lanes.rebalances,
        "rebalance_s": app.rebalance_s,
        "opening_s": max((lane.counters.opening_s for lane in app.lanes), default=0.0),
    }


async def tell_status(app: RoleApp) -> None:
    while True:
        tell(status=status(app))
        await asyncio.sleep(_TELL_S)


async def main(options: Options) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks: list[asyncio.Task[None]] = []
    StoppingLane.options = options
    if options.transaction_ms is not None:
        vars(producer)["_BROKER_TRANSACTION_MS"] = options.transaction_ms
    config = RoleConfig(
        cluster=options.run,
        role="test",
        bootstrap=options.bootstrap,
        partitions=options.partitions,
        links=1,
        folder=Path(options.folder),
    )
    await run_worker(
        config,
        kinds(options),
        stop=stop,
        started=lambda app: tasks.append(asyncio.create_task(tell_status(app))),
        lane_class=StoppingLane,
    )
    tell(stopped=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    uvloop.install()
    asyncio.run(main(Options(**json.loads(sys.argv[1]))))
