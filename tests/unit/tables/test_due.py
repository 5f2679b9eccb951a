"""What is due by time against a plain list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tables.due import Due
from tables.rows import Rows
from tests.cores import Memory, commit

_STEPS = st.tuples(
    st.sampled_from(["add", "add", "take", "reload"]), st.integers(0, 20), st.sampled_from(["ann", "bob"])
)


@given(st.lists(_STEPS, max_size=40), st.integers(1, 3))
def test_each_moment_is_given_once_in_order_and_none_before_it_comes(
    steps: list[tuple[str, int, str]], count: int
) -> None:
    store = Memory()
    rows = Rows(store)
    due = Due(rows)
    oracle: set[tuple[int, str]] = set()
    for step, at, user in steps:
        match step:
            case "add":
                due.add(at, "app", user)
                oracle.add((at, user))
            case "take":
                expected = sorted(one for one in oracle if one[0] <= at)[:count]
                assert due.take(at, count) == [("app", user) for _, user in expected]
                oracle -= set(expected)
            case _:
                commit(rows, store)
                rows = Rows(store)
                due = Due(rows)
        assert due.due_ms() == min((at for at, _ in oracle), default=None)
