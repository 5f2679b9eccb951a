"""Both stores are written before a batch commits; one that is away is waited for, with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from streams.sinks.core import Entry, Keep, SinksCore
from streams.sinks.effects import StoreEffects
from streams.sinks.patience import AwayError
from streams.sinks.session import Refusal, Writing
from tables.batch import Outputs, Record
from tests.unit.streams.sinks.test_sinks_core import PARTITION, message, record
from topics import catalog
from topics.codec import decode
from topics.messages import Message


class Store:
    """A store of either kind that can be away."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.here = asyncio.Event()
        self.here.set()
        self.tries = 0
        self.held: list[int] = []
        self.refuses: set[int] = set()

    async def write(self, what: Writing[Message] | Sequence[Entry]) -> None:
        self.tries += 1
        if not self.here.is_set():
            raise AwayError(self.name, "refused")
        if isinstance(what, Writing):
            for at, one in (pair for run in what.left for pair in run.rows):
                if one.seq in self.refuses:
                    what.refused.append(Refusal(at, "bad row"))
                else:
                    self.held.append(one.seq)
        else:
            self.held += [entry.message.seq for entry in what]


class Batch:
    """A batch on its way."""

    def __init__(self, *records: Record) -> None:
        self.table, self.cache = Store("cassandra"), Store("redis")
        self.effects = StoreEffects(self.table, self.cache)
        self.records = records
        self.out: Keep = SinksCore(None, PARTITION).apply(records, 0)  # type: ignore[arg-type] # it keeps no rows

    async def store(self) -> None:
        await self.effects(self.out, self.records)


async def test_a_batch_is_in_both_stores_when_it_returns() -> None:
    batch = Batch(record(1, message(1), message(2)))
    await batch.store()
    assert batch.table.held == batch.cache.held == [1, 2]
    assert batch.effects.stored == 2
    assert batch.effects.paused_for(PARTITION) is None


@pytest.mark.parametrize("away", ["table", "cache"])
async def test_a_store_that_is_away_is_waited_for_with_a_reason(away: str) -> None:
    batch = Batch(record(1, message(1)))
    store: Store = getattr(batch, away)
    store.here.clear()
    storing = asyncio.create_task(batch.store())
    async with asyncio.timeout(10):
        while store.tries < 3:  # noqa: ASYNC110 - it tries by time
            await asyncio.sleep(0.01)
    assert not storing.done()
    assert batch.effects.paused_for(PARTITION) == f"{store.name} away: refused"
    assert batch.effects.paused_for(PARTITION + 1) is None
    store.here.set()
    await storing
    assert batch.table.held == batch.cache.held == [1]
    assert batch.effects.paused_for(PARTITION) is None


async def test_a_lane_that_closes_need_not_wait_for_the_store() -> None:
    batch = Batch(record(1, message(1)))
    batch.table.here.clear()
    storing = asyncio.create_task(batch.store())
    await asyncio.sleep(0.05)
    storing.cancel()
    await asyncio.wait({storing}, timeout=1)
    assert storing.cancelled()
    assert batch.effects.paused_for(PARTITION) is None


async def test_what_can_never_be_stored_is_rejected_with_its_batch_and_the_rest_stored() -> None:
    batch = Batch(record(7, message(1)), record(8, message(2), message(3)))
    batch.table.refuses = {2, 3}
    await batch.store()
    assert batch.table.held == [1]
    ((_, value),) = batch.out.records[catalog.REJECTS.name, PARTITION]
    reject = decode(catalog.REJECTS.name, value)
    assert (reject.offset, reject.reason, reject.detail) == (8, "handler_failed", "cassandra: bad row")
    assert batch.effects.stored == 1


async def test_a_batch_that_brings_nothing_asks_no_store() -> None:
    batch = Batch()
    await batch.store()
    await batch.effects(Outputs(), [])
    assert batch.table.tries == batch.cache.tries == 0
