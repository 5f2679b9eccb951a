"""A sinks worker on real services: while a store is away it stands still and says why; then it goes on where it stood.

And the view over all of it: whatever memory, cache and table hold, any worker shows the same page.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from msgspec import Raw

from jobs.services import Services
from streams.app import Role, Worker
from streams.settings import Settings
from streams.sinks.cassandra import HistoryTable
from streams.sinks.patience import patiently
from streams.web.tokens import Claims, Tokens
from topics import catalog
from topics.codec import encode
from topics.keys import key_of, partition_of
from topics.messages import HistoryLot, Message, Send
from topics.relations import CreateGroup

APP = "acme"
AWAY_S = 12.0  # longer than a session, than any request to Cassandra, and any pause between two, may take
SESSION_MS = 10_000  # two services are started beside the worker meanwhile


async def until(check: Callable[[], Awaitable[Any]], within_s: float = 60.0) -> Any:
    """What `check` gives once it gives something."""
    async with asyncio.timeout(within_s):
        while not (found := await check()):  # noqa: ASYNC110 - other services have no events
            await asyncio.sleep(0.1)
    return found


class Cluster:
    """Workers in this process, a producer, and a client of their views."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, http: aiohttp.ClientSession) -> None:
        self.settings = settings
        self.producer = producer
        self.http = http
        self.run = uuid4().hex  # stores outlive topics: each test talks in groups of its own

    @asynccontextmanager
    async def worker(self, role: Role) -> AsyncIterator[Worker]:
        async with Worker(role, self.settings, f"test-{role}").running() as worker:
            yield worker

    async def health(self, worker: Worker) -> dict[str, Any]:
        async with self.http.get(f"{worker.views.url}/health") as response:
            told: dict[str, Any] = await response.json()
            return told

    async def ready(self, worker: Worker) -> bool:
        async with self.http.get(f"{worker.views.url}/ready") as response:
            return response.status == 200

    async def pull(self, worker: Worker, group: str, **window: int) -> tuple[int, dict[str, Any]]:
        token = Tokens.of(self.settings).mint(Claims(APP, "user", "ann"), 60)
        path = f"{worker.views.url}/v1/apps/{APP}/groups/{group}/channels/main/messages"
        async with self.http.get(path, params=window, headers={"Authorization": f"Bearer {token}"}) as response:
            return response.status, await response.json()

    def partition(self, group: str) -> int:
        return partition_of(key_of(APP, group), self.settings.partitions)

    async def history(self, partition: int, group: str, first: int, last: int) -> None:
        """What a groups lane would write, in lots of ten."""
        for begin in range(first, last + 1, 10):
            seqs = range(begin, min(begin + 10, last + 1))
            lot = HistoryLot(
                partition,
                [Message(APP, group, "main", n, n - 1, n, 1, 1, "ann", "d", f"c{n}", n, Raw(b'"hi"')) for n in seqs],
            )
            await self.producer.send_and_wait(catalog.HISTORY.name, encode(lot), partition=partition)


@pytest.fixture
async def cluster(fresh_topics: Settings) -> AsyncIterator[Cluster]:
    producer = AIOKafkaProducer(bootstrap_servers=fresh_topics.kafka_bootstrap)
    async with producer, aiohttp.ClientSession() as http:
        yield Cluster(fresh_topics.model_copy(update={"session_timeout_ms": SESSION_MS}), producer, http)


async def stored(cluster: Cluster, group: str, last: int) -> list[int]:
    table = HistoryTable(cluster.settings)
    try:
        return sorted(await patiently(lambda: table.read(APP, group, "main", 1, last), lambda _: None))
    finally:
        await table.close()


async def test_cassandra_is_away_at_the_start_and_again_for_a_while(services: Services, cluster: Cluster) -> None:
    services.stop("cassandra")
    async with cluster.worker("sinks") as worker:

        async def paused() -> bool:
            health = await cluster.health(worker)
            lanes = [lane for lane in health["lanes"] if lane["kind"] == "sinks" and lane["partition"] < 2]
            told = {health["status"], *(lane["status"] for lane in lanes)}
            return told == {"paused: Cassandra away"} and all("cassandra away" in lane["paused_for"] for lane in lanes)

        async def drained() -> bool:
            counts: dict[str, int] = (await cluster.health(worker))["counts"]
            return counts["stored"] >= wanted

        await until(lambda: cluster.ready(worker))
        wanted = 2 * 100
        for partition in (0, 1):
            await cluster.history(partition, f"away-{partition}-{cluster.run}", 1, 100)
        await until(paused)
        await asyncio.to_thread(services.start, "cassandra")
        await until(drained)

        rebalances = worker._app.lanes.rebalances if worker._app else 0
        services.kill("cassandra")
        wanted = 2 * 300
        for partition in (0, 1):
            await cluster.history(partition, f"away-{partition}-{cluster.run}", 101, 300)
        await until(paused)
        await asyncio.sleep(AWAY_S)
        assert await paused()
        assert (await cluster.health(worker))["for_s"] > AWAY_S - 5
        assert await cluster.ready(worker)  # its partitions are still its own: heartbeats went on
        await asyncio.to_thread(services.start, "cassandra")
        await until(drained)

        async def watermarks() -> bool:
            told: dict[int, int] = {one["partition"]: one["offset"] for one in (await cluster.health(worker))["stored"]}
            return told.get(0, 0) >= 30 and told.get(1, 0) >= 30

        await until(watermarks, 30)
        health = await cluster.health(worker)
        assert health["status"] == "serving"
        assert all(lane["paused_for"] is None and not any(lane["lag"].values()) for lane in health["lanes"])
        assert (health["counts"]["aborts"], health["counts"]["rejects"]) == (0, 0)
        assert worker._app is not None
        assert worker._app.lanes.rebalances == rebalances
    for partition in (0, 1):
        assert await stored(cluster, f"away-{partition}-{cluster.run}", 300) == list(range(1, 301))


async def test_any_worker_shows_the_same_page_wherever_its_messages_are(services: Services, cluster: Cluster) -> None:
    group, count = f"talk-{cluster.run}", 120

    async def head_is(worker: Worker) -> bool:
        status, told = await cluster.pull(worker, group, limit=1)
        return status == 200 and told["head"] == count

    async def pages(worker: Worker) -> list[Any]:
        return [
            await cluster.pull(worker, group, **window)
            for window in ({"limit": 200}, {"after": 7, "limit": 20}, {"before": 50, "limit": 10}, {"after": count})
        ]

    async with cluster.worker("groups") as owner:
        key = key_of(APP, group)
        create = CreateGroup(APP, group, members=["ann"])
        await cluster.producer.send_and_wait(catalog.RELATIONS.name, encode(create), key=key)
        now_ms = time.time_ns() // 1_000_000
        for n in range(1, count + 1):
            send = Send(APP, group, "ann", "phone", f"c{n}", now_ms, Raw(b'{ "n": %d }' % n))
            await cluster.producer.send(catalog.MESSAGES.name, encode(send), key=key)
        await cluster.producer.flush()
        await until(lambda: head_is(owner))
        from_memory = await pages(owner)
        assert [message["s"] for message in from_memory[0][1]["messages"]] == list(range(1, count + 1))
        assert from_memory[3] == (200, {"messages": [], "head": count, "first": 1, "more": False})

    async with cluster.worker("groups") as owner, cluster.worker("users") as other:
        await until(lambda: head_is(owner))
        await until(lambda: same(pages(owner), from_memory))  # nothing is stored, memory is empty: from the topic
        await until(lambda: head_is(other))
        await until(lambda: same(pages(other), from_memory))
        async with cluster.worker("sinks") as sinks:

            async def all_stored() -> bool:
                told = {one["partition"] for one in (await cluster.health(other))["stored"]}
                counts: dict[str, int] = (await cluster.health(sinks))["counts"]
                return cluster.partition(group) in told and counts["stored"] >= count

            await until(all_stored)
            assert await pages(sinks) == from_memory
        await asyncio.to_thread(services.stop, "cassandra")
        assert await pages(other) == from_memory  # from Redis
        services.kill("redis")
        services.start("redis")
        told = await pages(other)
        assert [(status, page.get("code")) for status, page in told[:3]] == [(503, "not_stored_yet")] * 3
        assert told[3] == from_memory[3]
        await asyncio.to_thread(services.start, "cassandra")
        assert await until(lambda: same(pages(other), from_memory))


async def same(found: Awaitable[list[Any]], wanted: list[Any]) -> bool:
    return bool(await found == wanted)
