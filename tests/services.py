"""Real Kafka, Redis and Cassandra for tests: started once a session, stopped at its end.

A test asks for `services` to have them, or for `fresh_topics` to have the catalogue's topics empty as well. Topics are
deleted and made anew once a module (0.3 s; a fresh broker would take 4), and their groups' offsets go with them. Tests
may stop and kill services: the next module finds them up again.

With `LINKCAST_TEST_SERVICES=<data folder>` the services of that folder are used, and left running.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from cassandra.cluster import Cluster, Session
from redis import Redis

from jobs.services import Services
from jobs.services.service import Name
from jobs.topics import counts, create
from streams.settings import Settings, load

Result = TypeVar("Result")

PORT_SETTINGS = (
    *("kafka_port", "kafka_controller_port", "redis_port"),
    *("cassandra_port", "cassandra_storage_port", "cassandra_jmx_port", "view_port"),
)


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The services, healthy when the first test asks for them; `services.settings` says where they are."""
    if running := os.environ.get("LINKCAST_TEST_SERVICES"):
        reused = Services(load(data=running))
        reused.up()
        yield reused
        return
    data = tmp_path_factory.mktemp("services")
    started = Services(settings_in(data))
    try:
        started.up()
        yield started
    finally:
        started.down()
        if not request.session.testsfailed:  # else their logs may tell why
            started.forget()
            shutil.rmtree(data)


@pytest.fixture(scope="module")
def fresh_topics(services: Services) -> Settings:
    """The settings of running services whose topics are new and empty."""
    services.up()
    in_thread(recreate_topics(services.settings))
    return services.settings


def settings_in(data: Path, **given: Any) -> Settings:
    """Settings of a small cluster in `data`, on free ports."""
    ports = dict(zip(PORT_SETTINGS, free_ports(len(PORT_SETTINGS)), strict=True))
    return load(None, **({"data": data, "partitions": 4, "links": 8} | ports | given))


def own_settings(services: Settings, data: Path) -> Settings:
    """Settings on these services, with a folder, a keyspace and a Redis database that nobody else writes to."""
    given = services.model_dump(exclude={"token_keys", "view_port"})
    redis = f"{services.redis_url.rpartition('/')[0]}/6"
    own = {"data": data, "keyspace": f"own_{uuid4().hex[:8]}", "redis_url": redis}
    return load(None, **{**given, **own, "view_port": free_ports(1)[0]})


def forget_stored(own: Settings) -> None:
    """Removes what was stored under such settings."""
    with Redis.from_url(own.redis_url) as redis:
        redis.flushdb()
    with cassandra_of(own) as session:
        session.execute(f"DROP KEYSPACE IF EXISTS {own.keyspace}", timeout=120)


@contextmanager
def cassandra_of(settings: Settings) -> Iterator[Session]:
    """A patient session, with the settings' keyspace only where it is named."""
    points, port = list(settings.cassandra_contact_points), settings.cassandra_port
    cluster = Cluster(points, port=port, connect_timeout=30, control_connection_timeout=30)
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()


@contextmanager
def paused(services: Services, name: Name, for_s: float) -> Iterator[None]:
    """A service stands still for a while, as one does that collects its garbage."""
    pid = next(one.pid for one in services.status() if one.name == name)
    assert pid is not None
    wakes = threading.Timer(for_s, os.kill, (pid, signal.SIGCONT))
    os.kill(pid, signal.SIGSTOP)
    wakes.start()
    try:
        yield
    finally:
        wakes.cancel()
        os.kill(pid, signal.SIGCONT)


def free_ports(count: int) -> list[int]:
    """Free ports below those of outgoing connections, so that a server finds its own again when it restarts."""
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), k=1_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


async def recreate_topics(settings: Settings) -> None:
    """Deletes every topic but the broker's own, and creates the catalogue's."""
    await delete_topics(settings)
    await create(settings)


async def delete_topics(settings: Settings) -> None:
    """Deletes every topic but the broker's own."""
    async with admin_of(settings) as admin:
        if there := await ours(settings):
            await admin.delete_topics(there)
        while await ours(settings):  # noqa: ASYNC110 - deletion goes on behind the answer, without an event
            await asyncio.sleep(0.05)


@asynccontextmanager
async def admin_of(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Whoever asks the broker about itself."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def ours(settings: Settings) -> list[str]:
    """The topics on the broker that are not its own."""
    return [name for name in await counts(settings) if not name.startswith("__")]


def in_thread(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs `work` in a loop of its own, whatever loop the test has."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
