"""Rows of any version, brought up however often it is interrupted, are those that were written in the newest one."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables import keys, versions
from tables.rows import Rows
from tables.versions import NewerStateError, StateVersion
from tests.cores import Memory, commit

LIMIT = 3


def twice(rows: Rows, after: bytes) -> bytes | None:
    """Version 2 doubles every value under `x`."""
    behind = [(key, value) for key, value in rows.scan(b"x") if key > after]
    for key, value in islice(behind, LIMIT):
        rows.put(key, value * 2)
    return behind[LIMIT - 1][0] if len(behind) > LIMIT else None


def moved(rows: Rows, after: bytes) -> bytes | None:
    """Version 3 keeps under `y` what was under `x`."""
    assert after == b"", "what is moved is not met again"
    for key, value in islice(list(rows.scan(b"x")), LIMIT):
        rows.delete(key)
        rows.put(b"y" + key[1:], value)
    return b"" if next(rows.scan(b"x"), None) else None


STEPS = {2: twice, 3: moved}
SECOND, THIRD = StateVersion(2, STEPS), StateVersion(3, STEPS)


def shown(store: Memory) -> dict[bytes, bytes]:
    return {key: value for key, value in store.rows.items() if key != keys.STAMP}


def brought_up(store: Memory, to: StateVersion, pieces: int | None = None) -> bool:
    """Work as a lane does, and end after so many pieces; says whether all was done."""
    rows = Rows(store)
    while pieces != 0 and to.bring_up(rows) is not None:
        commit(rows, store)
        pieces = pieces and pieces - 1
    return pieces != 0


@given(st.dictionaries(st.binary(min_size=1, max_size=2), st.binary(min_size=1, max_size=2), max_size=20), st.data())
def test_older_rows_become_the_newest_whatever_interrupts(content: dict[bytes, bytes], data: st.DataObject) -> None:
    store = Memory()
    store.rows = {b"x" + key: value for key, value in content.items()}
    while not brought_up(store, THIRD, data.draw(st.integers(1, 4))):
        if not came_to(store, 3) and data.draw(st.booleans()):
            brought_up(store, SECOND)  # part of the way is done by the release between
    assert shown(store) == {b"y" + key: value * 2 for key, value in content.items()}
    assert THIRD.bring_up(Rows(store)) is None


def came_to(store: Memory, version: int) -> bool:
    said = store.rows.get(keys.STAMP)
    return said is not None and versions._decode(said).version >= version


def test_rows_of_a_later_version_are_refused_from_the_first_piece_on() -> None:
    store = Memory()
    store.rows = {b"x%d" % n: b"1" for n in range(2 * LIMIT)}
    assert not brought_up(store, SECOND, pieces=1)
    before = dict(store.rows)
    with pytest.raises(NewerStateError, match=r"^state of version 2, this worker knows 1: upgrade this worker$"):
        StateVersion().bring_up(Rows(store))
    assert store.rows == before


def test_an_empty_partition_is_of_the_newest_version_and_says_so_with_its_first_change() -> None:
    store = Memory()
    rows = Rows(store)
    assert THIRD.bring_up(rows) is None
    THIRD.stamp(rows)
    assert store.rows == {}
    commit(rows, store)
    assert came_to(store, 3)
    THIRD.stamp(rows)
    assert rows.take() == {}, "it is said once"


def test_rows_without_a_stamp_are_of_the_first_version() -> None:
    store = Memory()
    store.rows = {b"xa": b"1"}
    assert THIRD.bring_up(Rows(store)) == "brings rows from version 1 to 2"
    assert StateVersion().bring_up(Rows(store)) is None


def test_rows_become_of_the_latest_version_with_the_first_that_the_release_before_would_misread() -> None:
    store = Memory()
    store.rows = {b"xa": b"1"}
    rows, later = Rows(store), StateVersion(latest=2)
    assert later.bring_up(rows) is None
    later.stamp(rows)
    commit(rows, store)
    StateVersion().bring_up(Rows(store))  # one may go back
    for _ in range(2):
        later.mark(rows)
        commit(rows, store)
        assert came_to(store, 2)
        assert later.bring_up(Rows(store)) is None
    with pytest.raises(NewerStateError, match="state of version 2, this worker knows 1"):
        StateVersion().bring_up(Rows(store))


@pytest.mark.parametrize("kind", [versions.GROUPS, versions.USERS, versions.LINKS])
def test_every_version_there_was_can_be_brought_up(kind: StateVersion) -> None:
    assert set(kind.steps) == set(range(versions.FIRST + 1, kind.newest + 1))
