"""Things break under load, on real services; `linkcast verify`'s judge then finds nothing wrong.

Each test brings its fault about for certain: a worker says what it does to itself just before.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from aiokafka import AIOKafkaProducer
from msgspec import Raw
from redis.asyncio import Redis

from jobs.demo.scenario import TEAM
from jobs.services import Services
from jobs.verify.world import World
from streams.app import ROLES
from tests.faults.pulls import Pulls
from tests.faults.stage import SESSION_S, Stage, place_of
from tests.faults.worker import UNBEARABLE, Plan, Step
from tests.services import admin_of
from topics import catalog, limits
from topics.catalog import Topic
from topics.codec import decode, encode
from topics.deliveries import Bound, DeliveryLot, Unbound
from topics.keys import key_of, partition_of
from topics.messages import Send
from topics.rejects import Reason
from topics.wire import ToRequester

AWAY_S: Final = 12.0  # longer than any request to Cassandra, and any pause between two, may take
LONG_S: Final = 400
WAIT_MS: Final = 60_000  # a worker that is restarted on a busy machine
GIVEN_UP: Final = re.compile("fenced by a newer producer|begins anew after")
TROUBLE: Final = re.compile("ERROR|CRITICAL|Traceback")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_workers_are_killed_in_the_middle_of_a_batch_at_each_step(stage: Stage) -> None:
    kills: list[tuple[str, Step]] = [
        ("groups", "before the send"),
        ("groups", "before the commit"),
        ("groups", "after the commit"),  # and before the local store is written
        ("users", "before the commit"),
        ("sinks", "before the commit"),  # and after the stores were written
    ]
    async with stage.load(seed=1, most_s=LONG_S, settle_ms=WAIT_MS) as scene:
        for name, step in kills:
            happened = await scene.dies_and_returns(name, Plan(name, step, batch=5))
            assert (happened.plan.step, happened.lane.split("/")[0], happened.records > 0) == (step, name, True)
            await scene.all_hear(now_ms())


async def test_an_owner_frozen_before_its_commit_wakes_up_when_another_has_its_partitions(stage: Stage) -> None:
    async with stage.load(seed=2, most_s=LONG_S) as scene:
        alone = stage.serving("groups")
        await asyncio.to_thread(stage.start, "groups-2")
        await scene.until(
            lambda: 0 < stage.serving("groups-2") == alone - stage.serving("groups"), 120, "both serve, all partitions"
        )
        happened = await scene.happens("groups", Plan("groups", "before the commit", batch=5, freeze=True))
        assert (happened.plan.freeze, stage.died("groups")) == (True, False)
        await scene.all_hear(happened.at_ms, within_s=60)  # that nobody waits for the frozen one: see test_lane_crash
        took_ms = now_ms() - happened.at_ms
        assert took_ms > SESSION_S * 500, "the frozen owner's partitions went on without a new owner"
        await scene.until(lambda: stage.serving("groups-2") == alone, 60, "the other has all")

        said = len(stage.log("groups"))
        stage.wake("groups")
        await scene.until(lambda: GIVEN_UP.search(stage.log("groups"), said), 60, "the old owner finds that it is none")
        await scene.until(lambda: stage.serving("groups") and stage.ready("groups-2"), 120, "both take part again")
        await scene.all_hear(now_ms())


async def test_another_worker_comes_under_load_and_goes_again(stage: Stage) -> None:
    async with stage.load(seed=3, most_s=LONG_S) as scene:
        alone = stage.serving("groups")
        await asyncio.to_thread(stage.start, "groups-2")
        await scene.until(
            lambda: stage.serving("groups") + stage.serving("groups-2") == alone and stage.serving("groups-2"),
            120,
            "partitions are shared",
        )
        await scene.until(lambda: stage.health("groups-2")["counts"].get("messages", 0) > 100, 60, "groups-2 at work")
        await scene.all_hear(now_ms())
        scene.planned.append("groups-2 came")

        went_ms = now_ms()
        await asyncio.to_thread(stage.stop, "groups-2")
        scene.planned.append("groups-2 went")
        assert await members(stage, "groups") == 1, "it said that it left, so nobody has to wait for its silence"
        await scene.all_hear(went_ms)
        await scene.until(lambda: stage.serving("groups") == alone, 60, "all partitions are back")
        assert "groups-2 stopped in order" in stage.log("groups-2")
        assert not TROUBLE.search(stage.log("groups-2")), stage.log("groups-2")


async def members(stage: Stage, role: str) -> int:
    """How many workers of a role the broker knows."""
    async with admin_of(stage.settings) as admin:
        (told,) = await admin.describe_consumer_groups([f"{stage.settings.cluster}-{role}"])
        return len(told.groups[0][5])


async def test_three_groups_and_two_users_workers_share_the_load_the_first_are_restarted_the_others_taken_away(
    stage: Stage, tell: Callable[[str], None]
) -> None:
    added = ("groups-2", "groups-3", "users-2")
    async with stage.load(seed=6, most_s=LONG_S, settle_ms=WAIT_MS) as scene:
        alone = {name: stage.serving(name) for name in ROLES}

        def shared() -> bool:
            """Every worker has some of its role's lanes, and together they have all."""
            lanes = [[stage.serving(name) for name in (role, *added) if name.startswith(role)] for role in alone]
            return all(map(all, lanes)) and [sum(of_role) for of_role in lanes] == [*alone.values()]

        for name in added:
            await asyncio.to_thread(stage.start, name)
            scene.planned.append(f"{name} came")
        await scene.until(shared, 180, "the workers of each role share its partitions")
        await scene.until(
            lambda: all(stage.health(name)["counts"]["records"] > 0 for name in added), 30, "all are at work"
        )
        scene.heard.longest_silence_s()

        for name in ROLES:
            lives = scene.heard.lives
            await asyncio.to_thread(stage.replace, name)
            await scene.until(lambda name=name: stage.ready(name), 60, f"{name} is back")  # type: ignore[misc]
            await scene.all_hear(now_ms())
            await scene.until(lambda lives=lives: scene.heard.lives > lives, 30, "who comes is bound")  # type: ignore[misc]
            scene.planned.append(f"{name} was restarted")
        silence_s = scene.heard.longest_silence_s()

        for name in added:
            await asyncio.to_thread(stage.stop, name)
            scene.planned.append(f"{name} was taken away")
        await scene.until(lambda: {name: stage.serving(name) for name in ROLES} == alone, 60, "the first own all again")
        await scene.all_hear(now_ms())
    assert scene.heard.registrations == len(scene.crowd.links), "no link died: each was told of all that changed on it"
    for group, told in map_versions(scene.whole_world, scene.app).items():
        assert told == {*range(1, max(told) + 1)}, f"the Link map of {group} has a gap in its versions"
    tell(
        f"rolling restart of {len(alone)} of {len(alone) + len(added)} workers: a partition's longest silence "
        f"{silence_s:.1f} s"
    )


def map_versions(world: World, app: str) -> dict[str, set[int]]:
    """The versions of each group's Link map that any link was told of."""
    told: dict[str, set[int]] = defaultdict(set)
    for _, lot in world.rows(catalog.DELIVERIES):
        for entry in lot.entries if isinstance(lot, DeliveryLot) else ():
            if isinstance(entry, Bound | Unbound) and entry.app == app:
                told[entry.group].add(entry.map)
    return told


async def test_the_broker_is_killed_and_comes_back_under_load(
    services: Services, stage: Stage, tell: Callable[[str], None]
) -> None:
    async with stage.load(seed=7, most_s=LONG_S, settle_ms=WAIT_MS) as scene:
        scene.heard.longest_silence_s()
        await asyncio.to_thread(services.kill, "kafka")
        scene.planned.append("the broker was killed")
        await asyncio.to_thread(services.start, "kafka")
        scene.planned.append("the broker was started")
        await scene.all_hear(now_ms(), 90)
        await scene.until(lambda: all(map(stage.ready, ROLES)), 60, "all workers serve")
        lives = scene.heard.lives
        await scene.until(lambda: scene.heard.lives > lives, 60, "who comes is bound")
        silence_s = scene.heard.longest_silence_s()
        assert scene.heard.registrations == len(scene.crowd.links), "an outage of the broker kills no link"
    tell(f"broker killed and started: longest silence of a partition {silence_s:.1f} s")


async def test_redis_is_flushed_under_load_and_pages_stay_whole(stage: Stage) -> None:
    async with (
        stage.load(seed=8, most_s=LONG_S, settle_ms=WAIT_MS) as scene,
        Pulls(stage, scene.app) as pulls,
        Redis.from_url(stage.settings.redis_url) as redis,
    ):
        for _ in range(3):
            await redis.flushdb()
            scene.planned.append("Redis was flushed")
            flushed_ms = now_ms()
            for group in [TEAM, *scene.groups[1:6]]:
                await pulls.pull(group)
            await scene.all_hear(flushed_ms)
        await scene.until(lambda: "the cache was lost, and fills again" in stage.log("sinks"), 30, "it is noticed")
        await pulls.compare()
    pulls.check(3 * 6)
    assert scene.report.cached, "the cache fills again"


async def test_cassandra_is_away_for_a_while_under_load(services: Services, stage: Stage) -> None:
    async with stage.load(seed=4, most_s=LONG_S, settle_ms=WAIT_MS) as scene, Pulls(stage, scene.app) as pulls:

        def stored() -> int:
            count: int = stage.health("sinks")["counts"]["stored"]
            return count

        def held_up() -> bool:
            lanes = [lane for lane in stage.health("sinks")["lanes"] if lane["kind"] == "sinks"]
            return bool(lanes) and all("cassandra" in (lane["paused_for"] or "") for lane in lanes)

        await asyncio.to_thread(services.stop, "cassandra")
        scene.planned.append("Cassandra was stopped")
        await scene.until(held_up, 60, "the sinks worker waits for Cassandra")
        back_s = time.monotonic() + AWAY_S
        before, accepted = stored(), scene.crowd.counts.accepted
        while time.monotonic() < back_s:
            asked_ms = now_ms()
            for group in [TEAM, *scene.groups[1:4]]:
                await pulls.pull(group)
            await scene.all_hear(asked_ms)
        await scene.until(held_up, 60, "it waits still")
        assert stored() == before
        accepted = scene.crowd.counts.accepted - accepted

        await asyncio.to_thread(services.start, "cassandra")
        scene.planned.append("Cassandra was started")
        await scene.until(lambda: stored() >= before + accepted, 60, "what waited is stored")
        await pulls.compare()
    assert accepted > AWAY_S
    pulls.check(int(AWAY_S))


async def test_bad_records_are_set_aside_and_harm_nothing_else(stage: Stage) -> None:
    settings = stage.settings
    async with stage.load(seed=5, most_s=LONG_S) as scene:
        group = scene.groups[1]
        member = scene.steady_member(group)
        key = key_of(scene.app, group)
        right = partition_of(key, settings.partitions)
        wrong = (right + 1) % settings.partitions

        def send(client_id: str, body: bytes = b'"bad"') -> bytes:
            asks = ToRequester(f"{scene.app}-{client_id}")
            return encode(Send(scene.app, group, member, "phone", client_id, now_ms(), Raw(body), reply=asks))

        future = send("future").replace(b'{"t":"send"', b'{"t":"send","v":2')
        assert future != send("future")
        handler = send("handler", b'"%s"' % UNBEARABLE)
        bad: list[tuple[Topic, int, bytes | None, bytes, Reason]] = [
            (catalog.MESSAGES, right, key, b"\xff\xfe not JSON", "undecodable"),
            (catalog.MESSAGES, right, key, future, "unknown_version"),
            (catalog.MESSAGES, wrong, key, send("astray"), "wrong_partition"),
            (catalog.MESSAGES, right, key, send("huge", b'"%s"' % (b"x" * limits.RECORD_BYTES)), "record_too_large"),
            (catalog.MESSAGES, right, key, handler, "handler_failed"),
            (catalog.RELATIONS, right, key, b"{}", "undecodable"),
            (catalog.RESYNC, right, None, b"", "undecodable"),
            (catalog.SESSIONS, wrong, None, b"[", "undecodable"),
            (catalog.LINKS, 0, b"L1", b'{"t":"beat"}', "undecodable"),
        ]
        wanted: dict[tuple[str, int, int], Reason] = {}
        async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, max_request_size=2 << 20) as producer:
            for topic, partition, at_key, value, reason in bad:
                told = await producer.send_and_wait(topic.name, value, key=at_key, partition=partition)
                wanted[topic.name, partition, told.offset] = reason
                if reason == "handler_failed":
                    scene.unjudged.add((topic.name, partition, told.offset))  # it is well-formed: the judge can't know
                scene.planned.append(f"{topic.name}/{partition} at {told.offset}: {reason}")
                await asyncio.sleep(0.1)
            too_large = send("too-large", b'"%s"' % (b"x" * limits.BODY_BYTES))
            await producer.send_and_wait(catalog.MESSAGES.name, too_large, key=key, partition=right)
        await scene.all_hear(now_ms())
    rejects = [decode(catalog.REJECTS.name, row.value) for row in scene.whole_world.topics[catalog.REJECTS.name]]
    found = {place_of(reject): reject.reason for reject in rejects}
    assert {place: found.get(place) for place in wanted} == wanted
    assert stage.health("groups")["counts"]["poisoned"] > 0
    assert scene.report.refused["message_too_large"] == 1  # that is no bad record: its sender is told
    kept = {row.value for row in scene.whole_world.topics[catalog.HISTORY.name]}
    assert not [row for row in kept if row and (UNBEARABLE in row or b"too-large" in row)]
