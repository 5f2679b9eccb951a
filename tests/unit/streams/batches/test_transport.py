"""The consumer's thread, as lanes meet it."""

from __future__ import annotations

import asyncio

import pytest

from streams.batches.errors import FATAL, ConsumerGoneError
from streams.batches.transport import BatchThread


async def test_a_lane_without_a_consumer_stops_the_worker() -> None:
    thread = BatchThread.__new__(BatchThread)
    thread.thread_loop = asyncio.new_event_loop()
    thread.thread_loop.close()
    with pytest.raises(ConsumerGoneError):
        await thread.run(asyncio.sleep(0))
    assert ConsumerGoneError in FATAL
