"""A session with Cassandra that begins slowly, or in vain."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import InvalidRequest

from streams.settings import load
from streams.sinks import session as session_module
from streams.sinks.making import Needed
from streams.sinks.patience import AwayError
from streams.sinks.session import CassandraSession

NEEDED = [Needed("make one", "k"), Needed("make another", "k")]


class Driver:
    """Stands for the driver's cluster and its session: knows no tables, and refuses every question."""

    def __init__(self) -> None:
        self.metadata = SimpleNamespace(keyspaces={})
        self.opened = 0
        self.made: list[str] = []
        self.goes_on = threading.Event()
        self.goes_on.set()

    def __call__(self, *_: object, **__: object) -> Driver:
        self.opened += 1
        return self

    def connect(self, **_: object) -> Driver:
        return self

    def shutdown(self) -> None:
        pass

    def execute(self, statement: str, **_: object) -> None:
        self.made.append(statement)
        assert self.goes_on.wait(30)

    def prepare(self, _: str) -> Any:
        return SimpleNamespace(bind=lambda _: None)

    def execute_async(self, *_: object, **__: object) -> Any:
        def add_callbacks(_: object, refuse: Callable[[Exception], None]) -> None:
            refuse(InvalidRequest("unconfigured table"))

        return SimpleNamespace(add_callbacks=add_callbacks)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(session_module, "Cluster", driver)
    return driver


@pytest.fixture
def session() -> CassandraSession:
    return CassandraSession(load(None), NEEDED, {"find": "SELECT"})


async def until(check: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110 - another thread has no event for it
            await asyncio.sleep(0.001)


async def test_whoever_waits_for_a_slow_connect_is_told_and_the_same_connect_goes_on(
    driver: Driver, session: CassandraSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "_REQUEST_S", 0.01)
    driver.goes_on.clear()
    for _ in range(2):
        with pytest.raises(AwayError, match="it is being connected to"):
            await session.connect()
    driver.goes_on.set()
    await until(lambda: session._connection)
    await session.connect()
    assert (driver.opened, driver.made) == (1, ["make one", "make another"])


async def test_once_it_is_closed_nothing_more_is_made(driver: Driver, session: CassandraSession) -> None:
    driver.goes_on.clear()
    connecting = asyncio.create_task(session.connect())
    await until(lambda: driver.made)
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0.01)
    driver.goes_on.set()
    await closing
    assert driver.made == ["make one"]
    with pytest.raises(AwayError):
        await connecting


async def test_after_a_refused_question_it_connects_anew_but_not_at_once(
    driver: Driver, session: CassandraSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        with pytest.raises(AwayError, match="unconfigured table"):
            await session.read("find", [])
    assert driver.opened == 1
    monkeypatch.setattr(session_module, "_AGAIN_S", 0.0)
    with pytest.raises(AwayError, match="unconfigured table"):
        await session.read("find", [])
    assert driver.opened == 2
