"""Quiet channels against a dict of when each was heard last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tables.quiet import Quiet
from tables.rows import Rows
from tests.cores import Memory, commit
from topics import limits
from topics.keys import key_of

_CHANNELS = st.sampled_from([("a", "g", "main"), ("a", "g", "news"), ("a", "g.news", "main"), ("b", "g", "news")])


@given(
    st.lists(
        st.tuples(st.sampled_from(["heard", "heard", "take", "reload"]), _CHANNELS, st.integers(0, 1_500)), max_size=40
    )
)
def test_each_quiet_channel_is_given_once_when_it_is_due_and_after_a_reload_at_once(
    steps: list[tuple[str, tuple[str, str, str], int]],
) -> None:
    store, now = Memory(), 10_000
    rows = Rows(store)
    quiet, due = Quiet(rows), dict[tuple[str, str, str], int]()
    for step, channel, passed in steps:
        now += passed
        match step:
            case "heard":
                quiet.heard(key_of(channel[0], channel[1]), channel[2], now)
                due[channel] = now + limits.QUIET_MS
            case "take":
                taken = quiet.take(now)
                assert sorted(taken) == sorted(one for one, at in due.items() if at <= now)
                due = {one: at for one, at in due.items() if at > now}
            case _:
                commit(rows, store)
                rows = Rows(store)
                quiet = Quiet(rows)
                due = dict.fromkeys(due, 0)
        assert quiet.due_ms() == min(due.values(), default=None)
    commit(rows, store)
    assert len(store.rows) == len(due)
