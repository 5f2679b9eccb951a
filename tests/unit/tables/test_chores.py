"""Clean-ups wait in the order they came up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tables.chores import Chore, Chores, Disband, Sweep
from tables.rows import Rows
from tests.cores import Memory, commit

_CHORES = st.builds(Sweep, st.sampled_from(["l", "m"]), st.integers(0, 9)) | st.builds(
    Disband, st.just("a"), st.sampled_from(["g", "h"]), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)
)


@given(st.lists(st.tuples(st.sampled_from(["add", "step", "done", "reload"]), _CHORES), max_size=30))
def test_chores_are_a_queue_that_survives_a_reload_at_any_point(steps: list[tuple[str, Chore]]) -> None:
    store = Memory()
    rows = Rows(store)
    chores, queue = Chores(rows), list[Chore]()
    for step, chore in steps:
        match step:
            case "add":
                chores.add(chore)
                queue.append(chore)
            case "step" if queue:
                chores.worked(chore)
                queue[0] = chore
            case "done" if queue:
                chores.worked(None)
                queue.pop(0)
            case _:
                commit(rows, store)
                rows = Rows(store)
                chores = Chores(rows)
        assert bool(chores) == bool(queue)
        if queue:
            assert chores.next() == queue[0]
    while queue:
        assert chores.next() == queue.pop(0)
        chores.worked(None)
    commit(rows, store)
    assert store.rows == {}
