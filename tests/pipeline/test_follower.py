"""Every worker follows who serves a partition; it gets on by itself, whatever becomes of its consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from streams.settings import Settings
from streams.web import follower as module
from streams.web.follower import Follower
from streams.web.owners import Directory
from tests.pipeline.pipe import until
from topics import catalog
from topics.codec import encode
from topics.owners import Owner, Stored

Say = Any
_SPEAKER = "speaker"


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[tuple[Directory, Say]]:
    """A directory that is kept up to date, and what writes to the topics it follows."""
    directory = Directory()
    kafka = {"bootstrap_servers": settings.kafka_bootstrap}
    async with (
        AIOKafkaProducer(**kafka, client_id=_SPEAKER) as producer,
        Follower(kafka, settings.partitions, directory),
    ):

        async def say(record: Owner | Stored) -> None:
            topic, partition = (catalog.OWNERS, 0) if isinstance(record, Owner) else (catalog.STORED, record.partition)
            key = f"{record.partition}".encode()
            await producer.send_and_wait(topic.name, encode(record), key=key, partition=partition)

        yield directory, say


def tasks_of_aiokafka(routine: str) -> list[asyncio.Task[Any]]:
    """Its tasks in this loop, by the name of what they do."""
    return [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == routine]


async def test_it_knows_what_was_there_and_what_comes(fresh_topics: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 1.0)
    async with following(fresh_topics) as (directory, say):
        await say(Owner("groups", 1, "http://a"))
        await until(lambda: directory.complete and directory.url("groups", 1) == "http://a", 20)
        await say(Owner("groups", 1, "http://b"))
        await say(Stored(2, 40, 5_000))
        await until(lambda: directory.url("groups", 1) == "http://b" and directory.offset(2) == 40, 10)
        await until(lambda: directory.looked_at is not None and directory.behind == 0, 10)
        assert directory.begun_anew == 0


class _All(set[Any]):
    """Has whatever is asked for."""

    def __contains__(self, _: object) -> bool:
        return True


def end(fetching: asyncio.Task[Any]) -> None:
    fetching.cancel()


def wait_for_ever(fetching: asyncio.Task[Any]) -> None:
    """It thinks of every broker that an answer is on its way."""
    owner_of(fetching)._in_flight = _All()


def owner_of(task: asyncio.Task[Any]) -> Any:
    frame = getattr(task.get_coro(), "cr_frame", None)
    assert frame is not None
    return frame.f_locals["self"]


@pytest.mark.parametrize(("harm", "told"), [(end, "fetch task has ended"), (wait_for_ever, "owners/0 stands at")])
async def test_a_consumer_that_finds_nothing_any_more_is_replaced(
    fresh_topics: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[asyncio.Task[Any]], None],
    told: str,
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 1.0)
    async with following(fresh_topics) as (directory, say):
        await until(lambda: directory.complete, 20)
        for fetching in tasks_of_aiokafka("_fetch_requests_routine"):
            harm(fetching)
        for url in ("http://c", "http://d"):  # what is on its way already may find the first one
            await say(Owner("groups", 3, url))
            await asyncio.sleep(0.5)
        await until(lambda: directory.begun_anew == 1, 20, "it is noticed")
        await until(lambda: directory.url("groups", 3) == "http://d", 20, "and read all the same")
        assert told in caplog.text


async def test_a_consumer_that_does_not_learn_of_the_brokers_any_more_is_replaced(
    fresh_topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 1.0)
    monkeypatch.setattr(module, "_ANSWER_S", 3.0)
    async with following(fresh_topics) as (directory, say):
        await until(lambda: directory.complete, 20)
        for syncing in tasks_of_aiokafka("_md_synchronizer"):
            client = owner_of(syncing)
            if client._client_id != _SPEAKER:
                syncing.cancel()
                client.force_metadata_update()  # as after a broken connection: nothing comes of it any more
        await until(lambda: directory.begun_anew, 20, "it is noticed")
        await say(Owner("groups", 2, "http://d"))
        await until(lambda: directory.url("groups", 2) == "http://d", 20, "and read all the same")
