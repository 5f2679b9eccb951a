"""What the sinks role does outside of Kafka: each batch into both stores, side by side, before its transaction.

A store that is away is waited for; until then the batch's lane stands still with a reason, takes no more than its
bounded queue holds, and goes on where it stood. What Cassandra will never take goes to `rejects` with this batch.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from streams.rejects import reject
from streams.sinks.cassandra import Writing
from streams.sinks.core import Entry, Keep
from streams.sinks.patience import patiently
from tables.batch import Outputs, Record


class Table(Protocol):
    """Where history is kept for good."""

    async def write(self, writing: Writing) -> None:
        """See `HistoryTable.write`."""


class Cache(Protocol):
    """Where the newest messages are kept."""

    async def write(self, entries: Sequence[Entry]) -> None:
        """See `RecentCache.write`."""


class Wait(NamedTuple):
    """A store is waited for.

    Attributes:
        reason: what it answered last, if anything.
        since: from when on, by the monotonic clock.
    """

    reason: str
    since: float


class StoreEffects:
    """The lanes' `store_effects`, one for all lanes of a worker."""

    def __init__(self, table: Table, cache: Cache) -> None:
        self.stored = 0  #: messages stored since the worker began
        self._table = table
        self._cache = cache
        self.tries_failed: Counter[str] = Counter()  #: by store
        self._waits: dict[int, dict[str, Wait]] = {}

    async def __call__(self, outputs: Outputs, records: Sequence[Record]) -> None:
        """Store what a batch brings; returns when it is there, however long that takes."""
        if not isinstance(outputs, Keep) or not outputs.entries:
            return
        writing = Writing([entry.message for entry in outputs.entries])
        async with asyncio.TaskGroup() as both:
            both.create_task(self._patiently(outputs, "cassandra", lambda: self._table.write(writing)))
            both.create_task(self._patiently(outputs, "redis", lambda: self._cache.write(outputs.entries)))
        for index, detail in {outputs.entries[at].record: detail for at, detail in writing.refused}.items():
            reject(outputs, outputs.partition, records[index], "handler_failed", f"cassandra: {detail}")
        self.stored += len(outputs.entries) - len(writing.refused)

    def paused_for(self, partition: int) -> str | None:
        """Which stores a partition waits for and why; None if it does not wait."""
        return "; ".join(wait.reason for wait in self._waits.get(partition, {}).values()) or None

    def waits(self, partition: int) -> Mapping[str, Wait]:
        """The stores that a partition waits for now."""
        return self._waits.get(partition, {})

    async def _patiently(self, outputs: Keep, store: str, attempt: Callable[[], Awaitable[None]]) -> None:
        waits = self._waits.setdefault(outputs.partition, {})

        def tell(reason: str | None) -> None:
            if reason is None:
                waits.pop(store, None)
            else:
                since = waits[store].since if store in waits else time.monotonic()
                waits[store] = Wait(reason, since)
                self.tries_failed[store] += 1

        await patiently(attempt, tell)
