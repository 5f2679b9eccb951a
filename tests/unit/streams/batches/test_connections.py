"""Consumers are let go of whatever state they are in."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.batches.connections import let_go


class Consumer:
    """Ends badly."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.closed: list[str] = []
        connection = SimpleNamespace(close=lambda: self.closed.append("connection"))
        self._client = SimpleNamespace(_conns={0: connection})

    async def stop(self) -> None:
        await asyncio.sleep(0.01)
        raise self.error


@pytest.mark.parametrize("error", [OSError("gone"), asyncio.CancelledError()])
async def test_what_a_consumer_raises_as_it_stops_concerns_nobody(error: BaseException) -> None:
    consumer: Any = Consumer(error)
    await let_go(consumer)
    assert consumer.closed == ["connection"]


async def test_who_is_cancelled_while_a_consumer_stops_is_cancelled() -> None:
    consumer: Any = Consumer(OSError("gone"))
    task = asyncio.create_task(let_go(consumer))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert consumer.closed == ["connection"]
