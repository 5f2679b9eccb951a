"""A worker as `linkcast worker` runs it, that can end or freeze itself at a chosen step of a batch.

Run: python -m tests.faults.worker --role ROLE --name NAME; the plan of a fault is put into its folder while it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, cast

import msgspec
import uvloop

from jobs import logs
from jobs.services.whole import write_whole
from streams.announce import Announced
from streams.app import ROLES, Role, Worker
from streams.batches.kind import Edges, LaneKind
from streams.batches.lane import Applied, Lane
from streams.settings import Settings, load
from tables.batch import NO_BACKLOG, Backlog, Core, MakeCore, Outputs, Record
from tables.rows import Rows
from topics import catalog

Step = Literal["before the send", "before the commit", "after the commit"]

#: A record that holds this is one that the core cannot bear.
UNBEARABLE: Final = b"the handler raises on this"

#: Which batches are counted: those with records of this topic.
_COUNTED: Final = {
    "groups": catalog.MESSAGES.name,
    "users": catalog.SESSIONS.name,
    "sinks": catalog.HISTORY.name,
    "links": catalog.LINKS.name,
}


class Plan(msgspec.Struct, frozen=True):
    """A fault to come.

    Attributes:
        kind: of which lanes.
        step: where in a batch. Effects on stores outside of Kafka come before all of these steps; the local store is
            written after them.
        batch: at which batch that has what the kind is there for, counted from when the plan is put down.
        freeze: stop the process instead of ending it.
        topic: batches with records of this topic are counted; None: of what the kind is there for.
    """

    kind: str
    step: Step
    batch: int
    freeze: bool = False
    topic: str | None = None


class Happened(msgspec.Struct, frozen=True):
    """A fault that was brought about, just before it was.

    Attributes:
        plan: the plan.
        pid: whose fault.
        lane: where.
        records: how many of the counted records the batch had.
        at_ms: when.
    """

    plan: Plan
    pid: int
    lane: str
    records: int
    at_ms: int


def plan_in(folder: Path) -> Path:
    """Where a worker with this folder looks for its plan."""
    return folder / "plan.json"


def happened_in(folder: Path) -> Path:
    """Where it says what it brought about."""
    return folder / "happened.json"


class FaultyLane(Lane):
    """A lane that does what is planned for the process."""

    folder: Path
    _counted = 0

    def __init__(self, kind: LaneKind, partition: int, edges: Edges) -> None:
        super().__init__(kind, partition, edges)
        self._applied: Applied | None = None

    async def _send(self, applied: Applied) -> dict[tuple[str, int], int]:
        self._applied = applied
        self._passes("before the send")
        return await super()._send(applied)

    async def _end(self) -> None:
        self._passes("before the commit")
        await super()._end()
        self._passes("after the commit")

    def _passes(self, step: Step) -> None:
        place = plan_in(self.folder)
        if self._applied is None or not place.exists():
            return
        plan = msgspec.json.decode(place.read_bytes(), type=Plan)
        counted = plan.topic or _COUNTED[self.kind.name]
        records = sum(record.topic == counted for record in self._applied.records)
        if (plan.kind, plan.step) != (self.kind.name, step) or not records:
            return
        FaultyLane._counted += 1
        if FaultyLane._counted < plan.batch:
            return
        FaultyLane._counted = 0
        now_ms = self._edges.wall_ms()
        happened = Happened(plan, os.getpid(), repr(self), records, now_ms)
        place.unlink()
        write_whole(happened_in(self.folder), msgspec.json.encode(happened))
        os.kill(os.getpid(), signal.SIGSTOP if plan.freeze else signal.SIGKILL)


class FaultyCore:
    """A core that raises in the middle of a batch, at a record that it cannot bear. Views see the core below it."""

    def __init__(self, announced: Announced[Core]) -> None:
        self.core = announced.core
        self._announced = announced
        self._raised_at: int | None = None

    @property
    def applying(self) -> int:
        return self._announced.applying if self._raised_at is None else self._raised_at

    def apply(self, records: Sequence[Record], now_ms: int, backlog: Backlog = NO_BACKLOG) -> Outputs:
        for place, record in enumerate(records):
            if UNBEARABLE in record.value and record.poison is None:
                self._announced.apply(
                    records[:place], now_ms, backlog
                )  # rows are dirty: all of it has to be taken back
                self._raised_at = place
                raise ArithmeticError("raised on purpose")
        return self._announced.apply(records, now_ms, backlog)

    def due_ms(self) -> int | None:
        return self._announced.due_ms()


class FaultyWorker(Worker):
    """A worker of such lanes and cores."""

    def __init__(self, role: Role, settings: Settings, name: str) -> None:
        super().__init__(role, settings, name, lane_class=FaultyLane)
        FaultyLane.folder = settings.data / "workers" / name

    def _announced(self, kind: str, make: Callable[[Rows, int, int, int], Core]) -> MakeCore:
        make_announced = super()._announced(kind, make)
        return lambda rows, partition: FaultyCore(cast("Announced[Core]", make_announced(rows, partition)))


async def _run(worker_class: type[FaultyWorker], role: Role, name: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with worker_class(role, load(None), name).running() as worker:
        logging.getLogger(__name__).info("%s runs, views at %s", name, worker.views.url)
        await worker.wait(stop)
    logging.getLogger(__name__).info("%s stopped in order", name)


def main(worker_class: type[FaultyWorker] = FaultyWorker) -> None:
    """Run one worker of a class until it is told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", choices=ROLES, required=True)
    parser.add_argument("--name", required=True)
    given = parser.parse_args()
    logs.configure("INFO", "json", role=given.role, worker=given.name)
    uvloop.install()
    asyncio.run(_run(worker_class, given.role, given.name))


if __name__ == "__main__":
    main()
