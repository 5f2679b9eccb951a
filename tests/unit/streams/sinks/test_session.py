"""A session with Cassandra that is slow to begin."""

from __future__ import annotations

import asyncio
import threading

import pytest

from streams.settings import load
from streams.sinks import session as session_module
from streams.sinks.patience import AwayError
from streams.sinks.session import CassandraSession


async def test_whoever_waits_for_a_slow_connect_is_told_and_the_same_connect_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers, opened = threading.Event(), []

    def slow(*_: object) -> object:
        opened.append(1)
        answers.wait(30)
        return object()

    monkeypatch.setattr(session_module, "_REQUEST_S", 0.01)
    monkeypatch.setattr(session_module, "_open", slow)
    session = CassandraSession(load(None), (), {})
    for _ in range(2):
        with pytest.raises(AwayError, match="it is being connected to"):
            await session.connect()
    answers.set()
    async with asyncio.timeout(10):
        while session._connection is None:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)
    await session.connect()
    assert opened == [1]
