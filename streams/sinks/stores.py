"""The stores of a worker: made once, used by its lanes and its views, closed at its end."""

from __future__ import annotations

import asyncio
from typing import Self

from streams.settings import Settings
from streams.sinks.cassandra import HistoryTable
from streams.sinks.final.store import FinalState
from streams.sinks.patience import patiently
from streams.sinks.redis import RecentCache


class Stores:
    """Cassandra and Redis. Entering waits for nothing: a worker may begin while they are away.

    Args:
        settings: where they are.
        writes: its worker writes to them: tables are made at once, so that others find them before the first row.
    """

    def __init__(self, settings: Settings, *, writes: bool = False) -> None:
        self.table = HistoryTable(settings)
        self.cache = RecentCache(settings)
        self.state = FinalState(settings)
        self._writes = writes
        self._making: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """They connect on first use; those that are written to begin now."""
        if self._writes:
            self._making = asyncio.create_task(self._make())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnects."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])
        await asyncio.gather(self.table.close(), self.cache.close(), self.state.close())

    async def _make(self) -> None:
        """The tables are there once this returns, however long that takes."""
        await asyncio.gather(*(patiently(one.connect, lambda _: None) for one in (self.table, self.state)))
