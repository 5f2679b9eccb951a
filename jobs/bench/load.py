"""Messages at a steady pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from jobs.bench.lab import Filling, Trial, submit
from topics import catalog

_TICK_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Paced:
    """What was sent at a pace.

    Attributes:
        count: messages.
        began_ms: the wall clock at the first.
        seconds: how long it took; more than was asked for when the machine could not keep the pace.
    """

    count: int
    began_ms: int
    seconds: float

    @property
    def per_s(self) -> float:
        """The pace that was kept."""
        return self.count / self.seconds


async def paced(
    trial: Trial,
    rate: float,
    seconds: float,
    take: Callable[[int, int], list[Filling]],
    topic: str = catalog.MESSAGES.name,
) -> Paced:
    """Send `rate` messages a second, in a few lots every 10 ms, whatever becomes of them.

    Args:
        trial: where.
        rate: messages a second.
        seconds: for how long.
        take: makes so many messages, first tried at that moment.
        topic: where to.
    """
    began_ms, began, sent = int(time.time() * 1000), time.monotonic(), 0
    total = int(rate * seconds)
    async with trial.producer(linger_ms=0) as producer:
        await producer.partitions_for(topic)
        pending: list[asyncio.Future[Any]] = []
        while sent < total:
            due = min(total, int((time.monotonic() - began) * rate))
            if due > sent:
                pending = [future for future in pending if not future.done()]
                pending += await submit(producer, topic, take(due - sent, int(time.time() * 1000)))
                sent = due
            await asyncio.sleep(_TICK_S)
        await asyncio.gather(*pending)
    return Paced(sent, began_ms, time.monotonic() - began)
