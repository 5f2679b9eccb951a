"""One contract for the store on disk and its twin in memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.batches import store as store_module
from streams.batches.store import LocalStore, MemoryStore, Origin, RocksStore, State, StoreError, open_store, unfit
from topics.catalog import DELETE_RETENTION_MS

ORIGIN = Origin("an id", 4)
NOW_MS = 1_000_000_000_000


def state(offset: int = 0, *, origin: Origin = ORIGIN, written_ms: int = NOW_MS) -> State:
    return State(origin, offset, written_ms, 0)


@pytest.fixture(params=["rocks", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], LocalStore]]:
    made: list[LocalStore] = []

    def store() -> LocalStore:
        one = RocksStore(tmp_path / str(len(made))) if request.param == "rocks" else MemoryStore()
        made.append(one)
        return one

    yield store
    for one in made:
        one.close()


def test_a_new_store_has_no_state_and_no_rows(make: Callable[[], LocalStore]) -> None:
    store = make()
    assert store.state is None
    assert store.get(b"a") is None
    assert list(store.scan(b"")) == []


def test_rows_and_state_are_written_together(make: Callable[[], LocalStore]) -> None:
    store = make()
    store.write({b"a": b"1", b"b": b""}, state(7))
    assert (store.get(b"a"), store.get(b"b"), store.state) == (b"1", b"", state(7))


def test_none_deletes_and_an_absent_row_may_be_deleted(make: Callable[[], LocalStore]) -> None:
    store = make()
    store.write({b"a": b"1"}, state())
    store.write({b"a": None, b"b": None}, state())
    assert store.get(b"a") is None
    assert list(store.scan(b"")) == []


@settings(deadline=None, max_examples=50)  # files take the time they take
@given(
    st.lists(st.dictionaries(st.binary(max_size=3), st.none() | st.binary(max_size=3), max_size=8), max_size=5),
    st.binary(max_size=2),
)
def test_a_scan_is_the_sorted_rows_under_the_prefix(
    tmp_path_factory: pytest.TempPathFactory, writes: list[dict[bytes, bytes | None]], prefix: bytes
) -> None:
    folder = tmp_path_factory.mktemp("store")
    oracle: dict[bytes, bytes | None] = {}
    for store in (MemoryStore(), RocksStore(folder)):
        oracle.clear()
        for changes in writes:
            store.write(changes, state())
            oracle.update(changes)
        expected = [(key, oracle[key]) for key in sorted(oracle) if key.startswith(prefix) and oracle[key] is not None]
        assert list(store.scan(prefix)) == expected
        for start in (b"", prefix, prefix + b"\x80", b"\x80"):
            assert list(store.scan(prefix, start)) == [row for row in expected if row[0] >= start]
        store.close()
    shutil.rmtree(folder)


def test_a_scan_longer_than_a_page_is_complete(make: Callable[[], LocalStore]) -> None:
    store = make()
    rows = {b"p%05d" % n: b"x" for n in range(1_000)}
    store.write({**rows, b"o": b"", b"q": b""}, state())
    assert dict(store.scan(b"p")) == rows


def test_rows_survive_a_reopening(tmp_path: Path) -> None:
    first = RocksStore(tmp_path)
    first.write({b"a": b"1"}, state(7))
    first.close()
    again = open_store(tmp_path, ORIGIN, 0, 10, NOW_MS)
    assert (again.get(b"a"), again.state) == (b"1", state(7))
    again.close()


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (state(5, origin=Origin("another id", 4)), "another changelog"),
        (state(5, origin=Origin("an id", 8)), "another changelog"),
        (state(11), "outside"),
        (state(1), "outside"),
        (state(5, written_ms=NOW_MS - DELETE_RETENTION_MS // 2 - 1), "deletions"),
        (state(5, written_ms=NOW_MS + DELETE_RETENTION_MS), "deletions"),
    ],
)
def test_a_copy_that_might_be_wrong_is_thrown_away(tmp_path: Path, kept: State, why: str) -> None:
    reason = unfit(kept, ORIGIN, 2, 10, NOW_MS)
    assert reason is not None
    assert why in reason
    store = RocksStore(tmp_path)
    store.write({b"a": b"1"}, kept)
    store.close()
    fresh = open_store(tmp_path, ORIGIN, 2, 10, NOW_MS)
    assert (fresh.get(b"a"), fresh.state) == (None, None)
    fresh.close()


def test_a_copy_that_the_first_release_left_is_thrown_away(tmp_path: Path) -> None:
    store = RocksStore(tmp_path)
    store.write({b"a": b"1"}, state(5))
    family = store._db.get_column_family("meta")
    family.delete(b"format")  # it knew none
    family.close()
    store.close()
    fresh = open_store(tmp_path, ORIGIN, 0, 10, NOW_MS)
    assert (fresh.get(b"a"), fresh.state) == (None, None)
    fresh.close()


def test_a_copy_in_another_format_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RocksStore(tmp_path)
    store.write({b"a": b"1"}, state(5))
    store.close()
    kept = open_store(tmp_path, ORIGIN, 0, 10, NOW_MS)
    assert kept.get(b"a") == b"1"
    kept.close()

    monkeypatch.setattr(store_module, "FORMAT", store_module.FORMAT + 1)
    fresh = open_store(tmp_path, ORIGIN, 0, 10, NOW_MS)
    assert (fresh.get(b"a"), fresh.state) == (None, None)
    fresh.write({b"b": b"2"}, state(6))
    fresh.close()
    again = open_store(tmp_path, ORIGIN, 0, 10, NOW_MS)
    assert again.get(b"b") == b"2"
    again.close()


def test_a_copy_that_cannot_be_opened_is_thrown_away(tmp_path: Path) -> None:
    store = RocksStore(tmp_path)
    store.write({b"a": b"1"}, state(5))
    store.close()
    for manifest in tmp_path.glob("MANIFEST-*"):
        manifest.write_bytes(b"scribble")
    with pytest.raises(StoreError):
        RocksStore(tmp_path)
    fresh = open_store(tmp_path, ORIGIN, 0, 10, NOW_MS)
    assert fresh.state is None
    fresh.close()
