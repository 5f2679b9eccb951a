"""Workers of two releases take turns under load, and `linkcast verify`'s judge finds nothing wrong.

The release before is the real one, in an archive; the one to come is made up, with rows that this one cannot read.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from streams.app import ROLES
from tests.faults.stage import THIS, Release, Scene, Stage
from tests.faults.test_faults import LONG_S, WAIT_MS, now_ms

BEFORE: Final = Release(("jobs", "worker"), Path(__file__).with_name("linkcast-0.1.0.zip"))
NEXT: Final = Release(("tests.upgrade.next_worker",))
READY_S: Final = 60.0


async def take_turns(stage: Stage, scene: Scene, release: Release, *names: str) -> None:
    """Replace workers one by one, each when the one before is at work."""
    for name in names:
        await asyncio.to_thread(stage.replace, name, release)
        await scene.until(lambda name=name: stage.ready(name), READY_S, f"{name} is back")  # type: ignore[misc]
        await scene.all_hear(now_ms())
        scene.planned.append(f"{name} replaced by {release.module[0]} of {release.place.name}")


async def test_workers_of_the_release_before_are_replaced_one_by_one_and_may_come_back(
    stage: Stage, tell: Callable[[str], None]
) -> None:
    def both() -> bool:
        return bool(stage.serving("groups") and stage.serving("groups-2"))

    for name in ROLES:
        stage.start(name, BEFORE)
    async with stage.load(seed=11, most_s=LONG_S, settle_ms=WAIT_MS, first_release=True) as scene:
        await asyncio.to_thread(stage.start, "groups-2", BEFORE)
        await scene.until(lambda: stage.serving("groups") and stage.ready("groups-2"), READY_S, "groups-2 takes part")
        scene.heard.longest_silence_s()

        await take_turns(stage, scene, THIS, "sinks", "users", "groups-2")
        await scene.until(both, READY_S, "owners of both releases are at work")
        await take_turns(stage, scene, THIS, "groups")
        silence_s = scene.heard.longest_silence_s()

        await asyncio.gather(*(take_turns(stage, scene, BEFORE, name) for name in ("groups-2", "users")))
        await scene.until(both, READY_S, "and so are they on the way back")
    tell(f"rolling upgrade from 0.1.0: longest silence of a partition {silence_s:.1f} s")


async def test_older_rows_are_brought_up_under_load_and_who_cannot_read_them_then_refuses(stage: Stage) -> None:
    async with stage.load(seed=12, most_s=LONG_S, settle_ms=WAIT_MS) as scene:
        await take_turns(stage, scene, NEXT, "groups")
        said = {f"groups/{partition}: brings rows from version 2 to 3" for partition in scene.partitions}
        assert {line for line in said if line in stage.log("groups")} == said

        await asyncio.to_thread(stage.start, "groups-2", THIS)
        stage.doom("groups-2")
        await scene.until(lambda: stage.died("groups-2"), READY_S, "the older worker ends")
        assert "state of version 3, this worker knows 2: upgrade this worker" in stage.log("groups-2")
        await scene.all_hear(now_ms())

        await asyncio.to_thread(stage.stop, "groups", signal.SIGKILL)
        await asyncio.to_thread(stage.start, "groups", NEXT)
        await scene.until(lambda: stage.ready("groups"), READY_S, "the next release is back")
        await scene.all_hear(now_ms())
    assert "brings rows" not in stage.log("groups"), "once is enough"
