"""Gateways break under load: one dies, one does not read. Others go on, and the judge of runs finds nothing wrong."""

from __future__ import annotations

import asyncio
from typing import Final

from jobs.demo.scenario import LINKS
from tests.faults.stage import Release, Stage
from tests.faults.test_faults import LONG_S, WAIT_MS, now_ms
from tests.faults.worker import Plan

BROKEN: Final = LINKS[1]
STRICT: Final = Release(("tests.faults.strict_worker",))


async def test_a_link_is_killed_and_workers_die_while_its_sessions_resume_elsewhere(stage: Stage) -> None:
    async with stage.load(seed=9, most_s=LONG_S, settle_ms=WAIT_MS) as scene:
        crowd, registrations = scene.crowd, scene.heard.registrations
        online, resumed = crowd.online, crowd.counts.resumed
        await crowd.silence(BROKEN)
        scene.planned.append(f"{BROKEN} was killed")
        for name in ("users", "groups"):
            await scene.dies_and_returns(name, Plan(name, "before the commit", batch=2))
        await scene.until(lambda: crowd.counts.resumed > resumed + online // 8, 60, "many resumed elsewhere")
        await scene.all_hear(now_ms())

        await crowd.links[BROKEN].start()
        scene.planned.append(f"{BROKEN} was started again")
        await scene.until(lambda: scene.heard.registrations > registrations, 60, "it registers anew")
        for name in ("users", "groups"):
            await scene.dies_and_returns(name, Plan(name, "after the commit", batch=2))
        await scene.until(lambda: crowd.online > online * 3 // 4, 60, "those who waited for it are online")
        await scene.all_hear(now_ms())
    assert scene.heard.registrations == registrations + 1, "no other link died of it"


async def test_a_gateway_that_does_not_read_is_told_notices_then_nothing_and_begins_anew(stage: Stage) -> None:
    async with stage.load(seed=10, most_s=LONG_S, settle_ms=WAIT_MS) as scene:
        await asyncio.to_thread(stage.replace, "groups", STRICT)
        await scene.until(lambda: stage.ready("groups"), 120, "it is back")
        await scene.all_hear(now_ms())

        ears = scene.ears[BROKEN]
        ears.reads.clear()
        scene.planned.append(f"{BROKEN} reads nothing")
        await scene.until(lambda: stage.gauge("groups", "linkcast_links_slow"), 60, "it is slow")
        await scene.until(lambda: stage.gauge("groups", "linkcast_links_overrun"), 60, "it is overrun")
        await scene.all_hear(now_ms(), within_s=10)  # those on other links hear as ever
        await scene.until(lambda: stage.gauge("groups", "linkcast_links_overrun"), 10, "meanwhile it read nothing")

        lives = scene.heard.lives
        ears.reads.set()
        scene.planned.append(f"{BROKEN} reads again")
        await scene.until(lambda: not stage.gauge("groups", "linkcast_links_overrun"), 60, "it began anew")
        await scene.until(lambda: not stage.gauge("groups", "linkcast_links_slow"), 60, "it keeps up")
        assert scene.heard.lives > lives, "its sessions were told to it once more"
        assert scene.heard.registrations == len(scene.crowd.links), "it never died of it"
        await scene.all_hear(now_ms())
        await asyncio.to_thread(stage.replace, "groups")
        await scene.until(lambda: stage.ready("groups"), 120, "workers are as others again")
