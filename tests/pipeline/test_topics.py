from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from jobs.problem import Problem
from jobs.services import Services
from jobs.stack import ask
from jobs.topics import counts, create
from streams.app import run
from streams.links import core as links
from streams.settings import Settings, load
from streams.users import core as users
from tests.services import admin_of, delete_topics, free_ports, own_settings
from topics.catalog import CATALOG, LINKS_CHANGELOG, MESSAGES, USERS_CHANGELOG

#: What a users worker reads.
NEEDED = {topic.name for topic in (*users.INPUTS, *links.INPUTS, USERS_CHANGELOG, LINKS_CHANGELOG)}


async def test_every_topic_of_the_catalogue_is_there_with_its_partitions(fresh_topics: Settings) -> None:
    wanted = {topic.name: topic.partitions(fresh_topics.partitions, fresh_topics.links) for topic in CATALOG}
    assert {name: count for name, count in (await counts(fresh_topics)).items() if not name.startswith("__")} == wanted


async def test_creating_again_creates_nothing(fresh_topics: Settings) -> None:
    assert await create(fresh_topics) == []


async def test_a_cluster_born_with_other_numbers_is_refused(fresh_topics: Settings) -> None:
    other = fresh_topics.model_copy(update={"links": fresh_topics.links + 1})
    with pytest.raises(Problem, match=r"deliveries has \d+ partitions, the settings say \d+") as raised:
        await create(other)
    assert "messages" not in str(raised.value)


async def test_topics_carry_the_brokers_time(fresh_topics: Settings) -> None:
    async with admin_of(fresh_topics) as admin:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, MESSAGES.name)])
    found = {name: value for name, value, *_ in answer.resources[0][4]}
    assert MESSAGES.config.items() <= found.items()


async def test_a_topic_nobody_created_is_not_made_by_accident(fresh_topics: Settings) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=fresh_topics.kafka_bootstrap, request_timeout_ms=5_000)
    await producer.start()
    try:
        with pytest.raises(Exception, match=r"."):
            await producer.send_and_wait("accident", b"")
    finally:
        await producer.stop()
    assert "accident" not in await counts(fresh_topics)


async def test_without_a_broker_its_address_is_told() -> None:
    (port,) = free_ports(1)
    with pytest.raises(Problem, match=f"No broker answers at 127.0.0.1:{port}"):
        await create(load(kafka_port=port))


async def test_a_worker_that_starts_before_its_topics_names_them_and_serves_when_they_are_there(
    services: Services, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    services.up()
    await delete_topics(services.settings)
    own, stop = own_settings(services.settings, tmp_path), asyncio.Event()
    worker = asyncio.create_task(run("users", own, "early", stop))
    try:
        said = f"no topic {', '.join(sorted(NEEDED))} yet: linkcast topics create"
        async with asyncio.timeout(60):
            while said not in caplog.messages:  # noqa: ASYNC110 - a log has no events
                await asyncio.sleep(0.1)
        await asyncio.sleep(2)  # it looks again each second
        assert caplog.messages.count(said) == 1
        await create(own)
        async with asyncio.timeout(120):
            while not await asyncio.to_thread(ask, f"http://{own.host}:{own.view_port}/ready"):
                assert not worker.done()
                await asyncio.sleep(0.1)
        health = await asyncio.to_thread(ask, f"http://{own.host}:{own.view_port}/health")
    finally:
        stop.set()
        await worker
    assert health is not None
    lanes = {(lane["kind"], lane["partition"]): lane["status"] for lane in health["lanes"]}
    assert lanes == dict.fromkeys([*(("users", n) for n in range(own.partitions)), ("links", 0)], "serving")
