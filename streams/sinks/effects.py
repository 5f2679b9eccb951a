"""What the sinks role does outside of Kafka: each batch into its stores, side by side, before its transaction.

A store that is away is waited for; until then the batch's lane stands still with a reason, takes no more than its
bounded queue holds, and goes on where it stood. What Cassandra will never take goes to `rejects` with this batch.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from streams.rejects import reject
from streams.sinks.cassandra import message_runs
from streams.sinks.core import Entry, Keep
from streams.sinks.final import store
from streams.sinks.final.changes import Change, Ended
from streams.sinks.final.core import Settle
from streams.sinks.patience import patiently
from streams.sinks.session import Refusal, Writing
from tables.batch import Outputs, Record
from topics.messages import Message


class Table(Protocol):
    """Where history is kept for good."""

    async def write(self, writing: Writing[Message]) -> None:
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


class State(Protocol):
    """Where the final state is kept."""

    async def write(self, writing: Writing[Change]) -> list[Refusal]:
        """See `FinalState.write`."""

    async def end(self, ended: Ended) -> None:
        """See `FinalState.end`."""


class Waits:
    """The stores that the lanes of a kind wait for."""

    def __init__(self) -> None:
        self.tries_failed: Counter[str] = Counter()  #: by store
        self._waits: dict[int, dict[str, Wait]] = {}

    def paused_for(self, partition: int) -> str | None:
        """Which stores a partition waits for and why; None if it does not wait."""
        return "; ".join(wait.reason for wait in self._waits.get(partition, {}).values()) or None

    def waits(self, partition: int) -> Mapping[str, Wait]:
        """The stores that a partition waits for now."""
        return self._waits.get(partition, {})

    async def _patiently(self, partition: int, store: str, attempt: Callable[[], Awaitable[object]]) -> None:
        waits = self._waits.setdefault(partition, {})

        def tell(reason: str | None) -> None:
            if reason is None:
                waits.pop(store, None)
            else:
                since = waits[store].since if store in waits else time.monotonic()
                waits[store] = Wait(reason, since)
                self.tries_failed[store] += 1

        await patiently(attempt, tell)


class StoreEffects(Waits):
    """The `store_effects` of the lanes of history, one for all lanes of a worker."""

    def __init__(self, table: Table, cache: Cache) -> None:
        super().__init__()
        self.stored = 0  #: messages stored since the worker began
        self._table = table
        self._cache = cache

    async def __call__(self, outputs: Outputs, records: Sequence[Record]) -> None:
        """Store what a batch brings; returns when it is there, however long that takes."""
        if not isinstance(outputs, Keep) or not outputs.entries:
            return
        writing = Writing(message_runs([entry.message for entry in outputs.entries]))
        at = outputs.partition
        async with asyncio.TaskGroup() as both:
            both.create_task(self._patiently(at, "cassandra", lambda: self._table.write(writing)))
            both.create_task(self._patiently(at, "redis", lambda: self._cache.write(outputs.entries)))
        _reject(outputs, at, records, [outputs.entries[one.at].record for one in writing.refused], writing.refused)
        self.stored += len(outputs.entries) - len(writing.refused)


class FinalEffects(Waits):
    """The `store_effects` of the lanes of the final state, one for all lanes of a worker."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    async def __call__(self, outputs: Outputs, records: Sequence[Record]) -> None:
        """Write what a batch changes, empty what ended, then say up to where; returns when it is so, however long."""
        if not isinstance(outputs, Settle) or not outputs.changes:
            return
        rows, upto, at = store.writing(outputs.changes), store.writing(outputs.upto), outputs.partition
        await self._patiently(at, "cassandra", lambda: self._state.write(rows))
        for ended in outputs.ended:
            await self._patiently(at, "cassandra", partial(self._state.end, ended))
        await self._patiently(at, "cassandra", lambda: self._state.write(upto))
        sources = [outputs.sources[one.at] for one in rows.refused] + [len(records) - 1] * len(upto.refused)
        _reject(outputs, at, records, sources, rows.refused + upto.refused)


def _reject(
    outputs: Outputs, partition: int, records: Sequence[Record], indexes: list[int], refused: list[Refusal]
) -> None:
    """What Cassandra will never take goes to `rejects`, once a record."""
    for index, one in dict(zip(indexes, refused, strict=True)).items():
        reject(outputs, partition, records[index], "handler_failed", f"cassandra: {one.detail}")
