"""Windows of hints: the first at once, what follows merged, nothing lost by a crash."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from tables import keys
from tables.hints import Hints
from tables.outbox import Outlet
from tables.rows import Rows
from tests.cores import Memory, commit
from topics import limits
from topics.wire import LinkAddress

_WINDOW = 200
_GROUPS = [b"a:g", b"a:h", b"a:i"]
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["change", "change", "change", "end", "crash"]),
        st.sampled_from(_GROUPS),
        st.sampled_from(["group", "members", "roles"]),
        st.sampled_from([0, 1, 60, 250]),
    ),
    max_size=60,
)


@given(_STEPS)
def test_each_change_is_told_once_at_once_or_when_the_window_is_over(steps: list[tuple[str, bytes, str, int]]) -> None:
    store, now, version = Memory(), 10_000, 0
    rows = Rows(store)
    windows = Hints(rows)
    waiting: dict[bytes, tuple[int, set[str]]] = {}
    told_at: dict[bytes, int] = {}
    for step, group, what, passed in [*steps, ("end", b"", "", 10_000)]:
        now += passed
        if step == "change":
            version += 1
            windows.of(group, version - 1, now).add([what])  # type: ignore[list-item]
            waiting.setdefault(group, (version - 1, set()))[1].add(what)
        elif step == "end":  # of a batch
            due = windows.due(now)
            assert set(due) == {one for one in waiting if told_at.get(one, 0) + _WINDOW <= now or one not in told_at}
            for one in due:
                pending = windows.take(one, now, _WINDOW)
                assert (pending.since, set(pending.what)) == waiting.pop(one)
                told_at[one] = now
            windows.flush(now)
            assert windows.due_ms() == min((told_at[one] + _WINDOW for one in waiting), default=None)
            commit(rows, store)
            assert {key[1:] for key in store.rows} == waiting.keys()
        else:
            windows.flush(now)
            commit(rows, store)
            rows = Rows(store)
            windows = Hints(rows)
            told_at = {}
    assert not waiting
    assert not store.rows


def test_a_group_that_is_silent_leaves_nothing_behind() -> None:
    store = Memory()
    rows = Rows(store)
    windows = Hints(rows)
    windows.of(b"a:g", 0, 1_000).add(["group"])
    windows.take(b"a:g", 1_000, _WINDOW)
    windows.flush(1_100)
    assert windows.of(b"a:g", 1, 1_100).due_ms == 1_200
    windows.take(b"a:g", 1_200, _WINDOW)
    windows.flush(1_400)
    assert windows.of(b"a:g", 2, 1_400).due_ms == 1_400


def test_channels_too_many_to_name_are_told_to_everybody_without_a_name() -> None:
    pending = Hints(Rows(Memory())).of(b"a:g", 0, 0)
    pending.add_channels([f"c{n}" for n in range(limits.NOTICE_CHANNELS)])
    assert (len(pending.channels), pending.what) == (limits.NOTICE_CHANNELS, [])
    pending.add_channels(["one-more"])
    assert (pending.channels, pending.what) == ({}, ["channels"])


def test_what_changed_stands_in_one_order() -> None:
    pending = Hints(Rows(Memory())).of(b"a:g", 0, 0)
    pending.add(["visibility", "roles"])
    pending.add(["members", "group", "roles"])
    assert pending.what == ["group", "members", "roles", "visibility"]


def test_whose_visibility_changed_is_everybody_after_a_crash() -> None:
    store = Memory()
    rows = Rows(store)
    windows = Hints(rows)
    pending = windows.of(b"a:g", 7, 0)
    pending.add_channels(["c"])
    pending.add_flipped(Outlet(LinkAddress("l", 1, 3), 0), BitMap([1, 2]))
    windows.flush(0)
    commit(rows, store)
    assert list(store.rows) == [keys.CHANGED + b"a:g"]
    rows = Rows(store)
    windows = Hints(rows)
    assert windows.due(0) == [b"a:g"]
    again = windows.take(b"a:g", 0, _WINDOW)
    assert (again.since, again.what, list(again.channels), again.flipped) == (7, ["visibility"], ["c"], {})
    commit(rows, store)
    assert not store.rows
