"""The final state is written before a batch commits: rows first, then what ended; Cassandra is waited for."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.sinks.effects import FinalEffects
from streams.sinks.final.changes import Change, Ended
from streams.sinks.final.core import FinalCore
from streams.sinks.patience import AwayError
from streams.sinks.session import Refusal, Writing
from tables.batch import Outputs, Record
from topics import catalog, events
from topics.codec import decode, encode


class State:
    """A final state that can be away."""

    def __init__(self) -> None:
        self.here = asyncio.Event()
        self.here.set()
        self.did: list[str] = []
        self.writes: list[list[str]] = []  #: what was written in one go
        self.tries = 0
        self.refuses: set[str] = set()

    async def write(self, writing: Writing[Change]) -> list[Refusal]:
        self.tries += 1
        if not self.here.is_set():
            raise AwayError("cassandra", "refused")
        self.writes.append([change.statement.name for run in writing.left for _, change in run.rows])
        for run in writing.left:
            for at, change in run.rows:
                self.did.append(change.statement.name)
                if change.statement.name in self.refuses:
                    writing.refused.append(Refusal(at, "bad row"))
        return writing.refused

    async def end(self, ended: Ended) -> None:
        self.did.append(f"ended {ended.role}")


class Batch:
    """A batch on its way."""

    def __init__(self, *values: Any) -> None:
        self.state = State()
        self.effects = FinalEffects(self.state)
        self.records = [
            Record(catalog.RELATION_EVENTS.name, at, 1, None, encode(value)) for at, value in enumerate(values)
        ]
        self.out = FinalCore(None, 0, 1).apply(self.records, 0)  # type: ignore[arg-type] # it keeps no rows


def batch() -> Batch:
    return Batch(events.MembersAdded("a", "g", 1, 1, ["ann"], [0]), events.RoleDeleted("a", "g", 2, 1, "mods"))


async def test_rows_are_written_before_what_ended_is_removed() -> None:
    made = batch()
    await made.effects(made.out, made.records)
    *rows, ended, _ = made.state.did
    assert sorted(rows) == [*("cut_role", "event", "event", "group_next", "member")]
    assert ended == "ended mods"


async def test_a_version_is_said_only_when_all_up_to_it_is_there_and_what_ended_is_gone() -> None:
    made = batch()
    await made.effects(made.out, made.records)
    assert made.state.writes[-1] == ["group_version"]
    assert made.state.did[-2:] == ["ended mods", "group_version"]


async def test_a_version_that_can_never_be_stored_is_rejected_with_the_batchs_last_record() -> None:
    made = batch()
    made.state.refuses = {"group_version"}
    await made.effects(made.out, made.records)
    ((_, value),) = made.out.records[catalog.REJECTS.name, 0]
    assert (decode(catalog.REJECTS.name, value).offset, made.out.rejected) == (1, 1)


async def test_cassandra_is_waited_for_with_a_reason() -> None:
    made = batch()
    made.state.here.clear()
    storing = asyncio.create_task(made.effects(made.out, made.records))
    async with asyncio.timeout(10):
        while made.state.tries < 2:  # noqa: ASYNC110 - it tries by time
            await asyncio.sleep(0.01)
    assert made.effects.paused_for(0) == "cassandra away: refused"
    assert made.effects.paused_for(1) is None
    made.state.here.set()
    await storing
    assert made.effects.paused_for(0) is None


async def test_what_can_never_be_stored_is_rejected_once_with_its_record() -> None:
    made = batch()
    made.state.refuses = {"member", "group_next"}
    await made.effects(made.out, made.records)
    ((_, value),) = made.out.records[catalog.REJECTS.name, 0]
    assert (decode(catalog.REJECTS.name, value).offset, made.out.rejected) == (0, 1)


async def test_a_batch_that_changes_nothing_asks_nobody() -> None:
    made = Batch()
    await made.effects(made.out, made.records)
    await made.effects(Outputs(), [])
    assert made.state.tries == 0
