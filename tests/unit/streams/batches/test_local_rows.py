"""Local rows: never logged, made anew from the logged ones."""

from __future__ import annotations

from streams.batches.changelog import indexed
from streams.batches.store import MemoryStore, Origin, State
from tables.rolls import Rolls, index
from tables.rows import LOCAL, Rows

_STATE = State(Origin("topic", 1), 0, 0, 0)


def test_a_recovered_index_is_the_one_that_was_lost() -> None:
    store = MemoryStore()
    rows = Rows(store)
    rolls = Rolls(rows)
    log: list[tuple[bytes, bytes | None]] = []
    for step in (
        lambda: rolls.join("app", "one", [("ann", 0), ("bob", 1)]),
        lambda: rolls.join("app", "two", [("ann", 0)]),
        lambda: rolls.leave("app", "one", [("ann", 0)]),
        lambda: rolls.join("app", "one", [("ann", 2)]),
    ):
        step()
        changes = rows.take()
        log += [row for row in changes.items() if not row[0].startswith(LOCAL)]
        store.write(changes, _STATE)
        rows.settled()
    recovered = MemoryStore()
    for key, value in log:
        recovered.write(indexed({key: value}, recovered, index), _STATE)
    assert list(recovered.scan(b"")) == list(store.scan(b""))
    assert sorted(Rolls(Rows(recovered)).groups_of("app", "ann")) == [("one", 2), ("two", 0)]
