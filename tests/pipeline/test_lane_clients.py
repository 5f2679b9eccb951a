"""What aiokafka's own tasks do when something goes wrong in them: they go on, or somebody hears of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from jobs.services import Services
from streams.batches.errors import ConsumerGoneError
from streams.batches.role import RoleApp, RoleConfig, run_worker
from tests.pipeline.counting_worker import Options, kinds
from tests.pipeline.pipe import Pipe, until


@asynccontextmanager
async def worker(pipe: Pipe) -> AsyncIterator[tuple[RoleApp, asyncio.Task[None]]]:
    """One in this process, when it serves everything."""
    stop, apps = asyncio.Event(), list[RoleApp]()
    options = Options(pipe.run, pipe.bootstrap, str(pipe.folder), pipe.partitions)
    config = RoleConfig(pipe.run, "test", pipe.bootstrap, pipe.partitions, 1, pipe.folder)
    task = asyncio.create_task(run_worker(config, kinds(options), stop=stop, started=apps.append))
    await until(lambda: task.done() or (apps and len(serving(apps[0])) == pipe.partitions + 1), 30, "it serves")
    try:
        yield apps[0], task
    finally:
        stop.set()
        await asyncio.wait({task})


def serving(app: RoleApp) -> set[str]:
    return {repr(lane) for lane in app.lanes if lane.state == "serving"}


async def in_thread(app: RoleApp, act: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Do something to the consumer where it lives."""
    await app.thread.run(act(app.thread._ensure_consumer()))


async def reset(connection: Any) -> None:
    """As when the broker dies: the connection is gone, and its reader's task is about to hear of it."""
    reader = connection._reader
    reader.feed_eof = lambda: reader.set_exception(ConnectionResetError())
    connection._writer.transport.abort()
    await asyncio.sleep(0)
    assert connection.connected()


def test_a_connection_that_broke_under_a_write_is_an_error_of_kafkas_and_the_next_write_connects_anew(
    services: Services,
) -> None:
    async def write_to_a_broken_one() -> None:
        client = AIOKafkaClient(bootstrap_servers=services.settings.kafka_bootstrap)
        await client.bootstrap()
        try:
            node = client.get_random_node()
            assert await client.ready(node)
            await reset(client._conns[node, ConnectionGroup.DEFAULT])
            with pytest.raises(KafkaConnectionError):
                await client.send(node, MetadataRequest([]))
            assert (await client.send(node, MetadataRequest([]))).brokers
        finally:
            await client.close()

    for loop_factory in (uvloop.new_event_loop, asyncio.new_event_loop):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(write_to_a_broken_one())


@pytest.mark.parametrize("error", [KafkaError("the broker said something unheard of"), KeyError("a defect")])
async def test_a_heartbeat_that_fails_for_good_is_followed_by_a_new_membership(
    services: Services, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 2) as pipe, worker(pipe) as (app, _):
        await pipe.feed(1)
        await pipe.all_arrives()

        async def fail_once(consumer: Any) -> None:
            coordinator = consumer._coordinator
            beat = coordinator._do_heartbeat

            async def fails() -> bool:
                coordinator._do_heartbeat = beat
                raise error

            coordinator._do_heartbeat = fails

        failed_at = time.monotonic()
        await in_thread(app, fail_once)
        await until(lambda: "joins its group anew" in caplog.text, 10, "it is noticed")
        await until(lambda: len(serving(app)) == 3 and app.lanes.rebalances == 2, 20, "it serves as a new member")
        await until(lambda: app.thread.heartbeat_at > failed_at + 5, 10, "and its heart beats")
        await pipe.feed(1)
        await pipe.all_arrives()


@pytest.mark.parametrize("task", ["_fetcher._fetch_task", "_coordinator._coordination_task", "_client._sync_task"])
async def test_a_consumer_whose_own_task_died_stops_the_worker_and_says_which(
    services: Services, tmp_path: Path, task: str
) -> None:
    async with Pipe(services.settings.kafka_bootstrap, tmp_path, 1) as pipe, worker(pipe) as (_app, running):

        async def kill(consumer: Any) -> None:
            owner, name = task.split(".")
            getattr(getattr(consumer, owner), name).cancel()

        await in_thread(_app, kill)
        await asyncio.wait({running}, timeout=30)
        with pytest.raises(ConsumerGoneError, match=task.rpartition("._")[2].replace("_", " ")):
            running.result()
