"""How the partitions of a role are shared out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from streams.batches.kind import LaneKind
from streams.batches.role import RoleApp, RoleConfig
from topics import catalog

PARTITIONS = 4


class Cluster:
    """What the assignor asks of the brokers."""

    def partitions_for_topic(self, _: str) -> set[int]:
        return set(range(PARTITIONS))


def _no_core(*_: Any) -> Any:
    raise AssertionError("no lane is opened")


async def test_each_of_three_workers_gets_some_of_four_partitions_also_who_comes_when_two_share_them(
    tmp_path: Path,
) -> None:
    kind = LaneKind("groups", (catalog.MESSAGES,), None, _no_core)
    config = RoleConfig("c", "groups", "localhost:1", PARTITIONS, 1, tmp_path)
    workers: list[Any] = []
    for come in range(1, 4):
        workers.append(RoleApp(config, [kind]).assignor)
        asked = {str(n): worker.metadata({catalog.MESSAGES.name}) for n, worker in enumerate(workers)}
        shared = workers[0].assign(Cluster(), asked)
        for n, worker in enumerate(workers):
            worker.on_assignment(shared[str(n)])
        counts = sorted(len(worker.assigned_actives()) for worker in workers)
        assert counts == sorted(PARTITIONS // come + (n < PARTITIONS % come) for n in range(come))


async def test_whatever_crashes_inside_of_faust_stops_the_worker(tmp_path: Path) -> None:
    kind = LaneKind("groups", (catalog.MESSAGES,), None, _no_core)
    app: Any = RoleApp(RoleConfig("c", "groups", "localhost:1", PARTITIONS, 1, tmp_path), [kind])
    error = ValueError("something of Faust's")
    await app.add_dependency(app.topics).crash(error)
    async with asyncio.timeout(5):
        assert await app.failure is error
