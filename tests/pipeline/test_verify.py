"""`linkcast verify` on real services: a small run, written there record by record, is read whole and judged."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from jobs.services import Services
from jobs.verify.judge import judge
from jobs.verify.world import World
from jobs.verify_command import read_run
from streams.settings import Settings
from streams.sinks.cassandra import HistoryTable, message_runs
from streams.sinks.core import Entry
from streams.sinks.patience import patiently
from streams.sinks.redis import RecentCache
from streams.sinks.session import Writing
from tests.services import cassandra_of, paused
from tests.small_world import APP, SmallWorld
from topics import catalog
from topics.codec import decode, encode
from topics.relations import CreateGroup, RemoveMembers

KEYSPACE = "verify_test"
PAUSE_S = 8.0  # more than the driver waits for by itself
_FROM_OUTSIDE = (catalog.LINKS, catalog.SESSIONS, catalog.RELATIONS, catalog.MESSAGES, catalog.RESYNC)
INPUTS = {topic.name for topic in _FROM_OUTSIDE}


@pytest.fixture(scope="module")
def settings(fresh_topics: Settings) -> Settings:
    """A keyspace and a Redis database that nobody else writes to."""
    redis_url = re.sub(r"/0$", "/5", fresh_topics.redis_url)
    return fresh_topics.model_copy(update={"keyspace": KEYSPACE, "redis_url": redis_url})


@pytest.fixture(scope="module")
def made(settings: Settings) -> SmallWorld:
    made = SmallWorld(settings.partitions, settings.links)
    east, west = made.register("east", 0), made.register("west", 1)
    made.command(CreateGroup(APP, "team", members=["a", "b", "c"]))
    made.settle()
    sessions = {user: made.up(user, link) for user, link in (("a", east), ("b", west), ("c", west))}
    made.settle()
    for i in range(20):
        made.send("team", "abc"[i % 3], f"m{i}", sessions["abc"[i % 3]])
        made.work()
    made.append(catalog.MESSAGES, 0, b"not json")
    made.command(RemoveMembers(APP, "team", ["b"]))
    made.settle()
    made.send("team", "a", "without-b", sessions["a"])
    made.void(west)
    made.settle()
    made.send("team", "a", "east-only", sessions["a"])
    made.settle()
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored(settings: Settings, made: SmallWorld) -> AsyncIterator[World]:
    """The run in Kafka, in the order of time and with aborted transactions on the way; its history in both stores."""
    world = made.world()
    plain = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    outputs = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, transactional_id="verify-test")
    async with plain, outputs:
        rows = [(row.at_ms, name, row) for name, of_topic in world.topics.items() for row in of_topic]
        for i, (_, name, row) in enumerate(sorted(rows, key=lambda one: one[0])):
            if name in INPUTS:
                await plain.send_and_wait(name, row.value, key=row.key, partition=row.partition)
                continue
            if i % 5 == 0:
                await outputs.begin_transaction()
                await outputs.send_and_wait(name, b"aborted", partition=row.partition)
                await outputs.abort_transaction()
            async with outputs.transaction():
                await outputs.send_and_wait(name, row.value, key=row.key, partition=row.partition)
    await _store(settings, world)
    yield world
    async with Redis.from_url(settings.redis_url) as redis:
        await redis.flushdb()
    _cql(settings, f"DROP KEYSPACE {KEYSPACE}")


async def _store(settings: Settings, world: World) -> None:
    lots = [decode(catalog.HISTORY.name, row.value) for row in world.topics[catalog.HISTORY.name]]
    messages = [message for lot in lots for message in lot.entries]
    table, cache = HistoryTable(settings), RecentCache(settings)
    try:
        writing = Writing(message_runs(messages))
        async with asyncio.timeout(120):
            await patiently(lambda: table.write(writing), lambda _: None)
        await cache.write([Entry(0, message, encode(message)) for message in messages])
    finally:
        await table.close()
        await cache.close()


def _cql(settings: Settings, statement: str) -> None:
    with cassandra_of(settings) as session:
        session.execute(statement, timeout=120)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_run_is_read_whole_and_found_good(settings: Settings, stored: World) -> None:
    world = await read_run(settings, planned=["none"])
    for name, rows in world.topics.items():
        expected = sorted((row.partition, row.value) for row in stored.topics[name])
        assert sorted((row.partition, row.value) for row in rows) == expected, name
    assert sorted(world.stored or []) == sorted(stored.stored or [])
    assert sorted(world.cached or []) == sorted(stored.cached or [])
    # The watermarks were made for other offsets; at rest they do not matter.
    report = judge(world, settled=True)
    assert report.rules == {}, report.examples
    assert (report.accepted, report.rejected, report.planned) == (22, 1, ["none"])


async def test_a_cassandra_that_pauses_is_waited_for(services: Services, settings: Settings, stored: World) -> None:
    with paused(services, "cassandra", PAUSE_S):
        world = await read_run(settings)
    assert sorted(world.stored or []) == sorted(stored.stored or [])


async def test_a_row_lost_in_cassandra_is_seen(settings: Settings, stored: World) -> None:
    assert stored.stored is not None
    where = f"app = '{APP}' AND group_id = 'team' AND channel = 'main' AND bucket = 0 AND seq = 7"
    _cql(settings, f"DELETE FROM {KEYSPACE}.messages WHERE {where}")
    report = judge(await read_run(settings), settled=True)
    assert report.rules == {"not_stored": 1}


@pytest.mark.parametrize("keyspace", ["never_made", "system"])
async def test_without_a_table_of_messages_none_is_stored(settings: Settings, stored: World, keyspace: str) -> None:
    world = await read_run(settings.model_copy(update={"keyspace": keyspace}))
    assert world.stored == []
    assert judge(world, settled=True).rules == {"not_stored": len(stored.stored or [])}


async def test_an_entry_lost_in_redis_is_seen(settings: Settings, stored: World) -> None:
    assert stored.cached is not None
    async with Redis.from_url(settings.redis_url) as redis:
        await redis.xdel(f"{APP}:team:main:recent", "9-0")
    assert judge(await read_run(settings), settled=True).rules["cache_hole"] == 1
