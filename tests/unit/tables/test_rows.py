"""Rows against a plain dict."""

from __future__ import annotations

import time
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from tables import rows as rows_module
from tables.rows import Rows
from tests.cores import Memory

_KEYS = st.text("ab\0", min_size=1, max_size=3).map(str.encode)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), _KEYS, st.none() | st.binary(max_size=2)),
        st.tuples(st.sampled_from(["take", "write", "discard", "scan"]), st.just(b""), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(st.dictionaries(_KEYS, st.binary(max_size=2)), _STEPS, st.sampled_from([0, 64]))
def test_rows_read_like_a_dict_through_dirty_pending_and_committed_layers(
    held: dict[bytes, bytes], steps: Iterable[tuple[str, bytes, bytes | None]], few: int
) -> None:
    store = Memory()
    store.rows = dict(held)
    rows, taken = Rows(store), []
    newest, at_take = dict(held), dict(held)
    kept, rows_module._FEW = rows_module._FEW, few  # type: ignore[misc]
    try:
        for step, key, value in steps:
            match step:
                case "set":
                    rows.set(key, value)
                    if value is None:
                        newest.pop(key, None)
                    else:
                        newest[key] = value
                case "take":
                    taken.append(rows.take())
                    at_take = dict(newest)
                case "write" if taken:
                    store.write(taken.pop(0))
                    rows.settled()
                case "discard":
                    rows.discard()
                    newest = dict(at_take)
                case _:
                    for prefix in (b"", b"a", b"ab", b"b\0"):
                        found = sorted(item for item in newest.items() if item[0].startswith(prefix))
                        assert list(rows.scan(prefix)) == found
                        for start in (b"", b"a", b"ab\0", b"b"):
                            assert list(rows.scan(prefix, start)) == [item for item in found if item[0] >= start]
            assert all(rows.get(key) == newest.get(key) for key in (key, b"a", b"b", b"ab"))
        assert list(rows.scan(b"")) == sorted(newest.items())
    finally:
        rows_module._FEW = kept  # type: ignore[misc]


def test_a_scan_costs_what_it_finds_not_what_the_batch_changed() -> None:
    rows = Rows(Memory())
    for i in range(20_000):
        rows.put(b"x%08d" % i, b"")
    list(rows.scan(b"y"))
    began = time.perf_counter()
    for i in range(1_000):
        rows.put(b"y%08d" % i, b"")
        assert len(list(rows.scan(b"y%08d" % i))) == 1
    assert time.perf_counter() - began < 2  # 20 million looks at keys would take longer
