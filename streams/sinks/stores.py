"""The stores of a worker: made once, used by its lanes and its views, closed at its end."""

from __future__ import annotations

import asyncio
from typing import Self

from streams.settings import Settings
from streams.sinks.cassandra import HistoryTable
from streams.sinks.final.store import FinalState
from streams.sinks.redis import RecentCache


class Stores:
    """Cassandra and Redis. Entering connects to nothing: a worker may begin while they are away."""

    def __init__(self, settings: Settings) -> None:
        self.table = HistoryTable(settings)
        self.cache = RecentCache(settings)
        self.state = FinalState(settings)

    async def __aenter__(self) -> Self:
        """They connect on first use."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnects."""
        await asyncio.gather(self.table.close(), self.cache.close(), self.state.close())
