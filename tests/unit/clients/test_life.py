"""A link goes on living whatever becomes of Kafka's clients under it."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from linkcast_gateway import Handler, Link, Registration, kafka, life


class Client:
    """Stops half-way, with the cancellation of a task of its own."""

    def __init__(self) -> None:
        self.closed = False
        self._client = SimpleNamespace(close=self._close)

    async def _close(self) -> None:
        self.closed = True

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        raise asyncio.CancelledError


class Producer:
    """Takes all records, but none of `sessions`."""

    def __init__(self) -> None:
        self.links: list[str] = []  #: what was said on `links`

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def send_and_wait(self, topic: str, value: bytes = b"", **_: Any) -> None:
        if topic == "links":
            self.links.append(json.loads(value)["t"])
            await self.takes(self.links[-1])

    async def takes(self, kind: str) -> None:
        """How long Kafka takes."""

    async def flush(self) -> None:
        pass

    async def send(self, *_: Any, **__: Any) -> None:
        await asyncio.Event().wait()


async def test_a_client_that_stops_half_way_is_closed_and_cancels_nobody() -> None:
    client: Any = Client()
    with pytest.raises(TimeoutError):
        async with kafka.started(client):
            raise TimeoutError
    assert client.closed


async def test_a_link_whose_clients_end_badly_registers_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    async def register(*_: Any) -> None:
        nonlocal tries
        tries += 1
        if tries % 2:
            raise asyncio.CancelledError
        raise TimeoutError

    monkeypatch.setattr(life, "_RETRY_S", 0.001)
    monkeypatch.setattr(life, "producer_of", lambda *_: Producer())
    monkeypatch.setattr(life, "consumer_of", lambda *_: Client())
    monkeypatch.setattr(Link, "_register", register)
    link = Link("L1", "nowhere:9", Handler())
    await link.start()
    async with asyncio.timeout(5):
        while tries < 5:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.001)
    await link.stop()


async def test_what_waits_for_room_in_kafka_holds_up_no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "BEAT_MS", 1)
    monkeypatch.setattr(Link, "_read", lambda *_: asyncio.Event().wait())
    link = Link("L1", "nowhere:9", Handler())
    link._producer = producer = Producer()
    link.registration = registration = Registration(epoch=41, partition=3, partitions=8)
    session = link.new_session("demo", "ann", "phone")
    link._unsaid[0] = session, {"t": "down", "epoch": 41}
    link._life = serving = asyncio.create_task(link._serve(registration, Client()))
    async with asyncio.timeout(5):
        while len(producer.links) < 5:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.001)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_nothing_is_said_on_links_after_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Producer):
        async def takes(self, kind: str) -> None:
            if kind == "leave":
                await asyncio.sleep(0.05)  # many beats

    monkeypatch.setattr(life, "BEAT_MS", 1)
    monkeypatch.setattr(Link, "_read", lambda *_: asyncio.Event().wait())
    link = Link("L1", "nowhere:9", Handler())
    link._producer = producer = Slow()
    link.registration = registration = Registration(epoch=41, partition=3, partitions=8)
    link._life = serving = asyncio.create_task(link._serve(registration, Client()))
    async with asyncio.timeout(5):
        while not producer.links:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.001)
        await link.stop()
    assert serving.cancelled()
    assert producer.links.index("leave") == len(producer.links) - 1
