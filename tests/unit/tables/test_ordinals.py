"""A stored set of ordinals against a plain Python set."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from tables import keys
from tables.ordinals import StoredSet
from tables.rows import Rows
from tests.cores import Memory, commit
from topics import limits

_PREFIX = b"xapp:g\0"
_BEGUN = limits.SET_CHUNK
#: Ordinals around the borders of chunks, and up to the largest.
_ORDINALS = st.sets(
    st.one_of(
        st.integers(0, 40),
        st.integers(_BEGUN - 3, _BEGUN + 3),
        st.integers(65_530, 65_540),
        st.integers(2**32 - 4, 2**32 - 1),
    ),
    max_size=12,
)
_STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "remove", "clear", "flush", "reload", "look"]), _ORDINALS), max_size=30
)


class _Kept:
    def __init__(self) -> None:
        self.store = Memory()
        self.load()

    def load(self) -> None:
        self.rows = Rows(self.store)
        self.set = StoredSet(self.rows, _PREFIX)

    def flush(self) -> None:
        self.set.flush()
        commit(self.rows, self.store)


@given(_STEPS)
def test_a_stored_set_is_a_set_also_when_loaded_again(steps: list[tuple[str, set[int]]]) -> None:
    kept, oracle = _Kept(), set[int]()
    for step, ordinals in steps:
        match step:
            case "add":
                assert set(kept.set.add(BitMap(ordinals))) == ordinals - oracle
                oracle |= ordinals
            case "remove":
                assert set(kept.set.remove(BitMap(ordinals))) == ordinals & oracle
                oracle -= ordinals
            case "clear":
                assert set(kept.set.clear()) == oracle
                oracle = set()
            case "look":
                assert set(kept.set.bits) == oracle
            case _:
                kept.flush()
                if step == "reload":
                    kept.load()
    kept.flush()
    kept.load()
    assert set(kept.set.bits) == oracle
    assert bool(kept.store.rows) == bool(oracle)


@pytest.mark.parametrize("share", [0.0005, 0.04, 0.2, 0.5, 1.0])
def test_a_row_is_a_kilobyte_at_most_and_a_million_members_are_123_rows(share: float) -> None:
    rng = random.Random(7)
    members = BitMap(rng.sample(range(1_000_000), int(1_000_000 * share)))
    kept = _Kept()
    kept.set.add(members)
    kept.flush()
    assert len(kept.store.rows) <= -(-1_000_000 // limits.SET_CHUNK) == 123
    assert max(map(len, kept.store.rows.values())) <= limits.SET_CHUNK // 8
    kept.load()
    assert kept.set.bits == members


def test_a_change_of_one_member_reads_and_writes_one_row() -> None:
    kept = _Kept()
    kept.set.add(BitMap(range(1_000_000)))
    kept.flush()
    kept.load()
    assert list(kept.set.remove(BitMap([500_000, 2_000_000]))) == [500_000]
    assert not kept.set.whole
    kept.set.flush()
    assert list(kept.rows.take()) == [_PREFIX + keys.u32(500_000 // limits.SET_CHUNK)]
    assert kept.set.bits == BitMap(range(1_000_000)) - BitMap([500_000])


@pytest.mark.parametrize(("chunks", "whole"), [(8, False), (9, True)])
def test_a_change_all_over_reads_all_rows_at_once(chunks: int, whole: bool) -> None:
    kept = _Kept()
    kept.set.add(BitMap(range(0, 1_000_000, 7)))
    kept.flush()
    kept.load()
    changed = BitMap([limits.SET_CHUNK * at for at in range(chunks)])
    expected = changed & BitMap(range(0, 1_000_000, 7))
    assert kept.set.remove(changed) == expected
    assert kept.set.whole == whole
    assert kept.set.bits == BitMap(range(0, 1_000_000, 7)) - expected


def test_the_bits_stay_the_same_object() -> None:
    kept = _Kept()
    bits = kept.set.bits
    kept.set.add(BitMap([1, 2]))
    kept.set.clear()
    kept.set.add(BitMap([3]))
    assert bits is kept.set.bits
    assert list(bits) == [3]


def test_what_it_takes_in_memory_follows_what_is_loaded() -> None:
    kept = _Kept()
    empty = kept.set.memory_bytes
    kept.set.add(BitMap(range(0, 1_000_000, 5)))
    full = kept.set.memory_bytes
    assert 100_000 < full - empty < 150_000
    kept.flush()
    kept.load()
    assert kept.set.memory_bytes == empty
    assert kept.set.bits
    assert kept.set.memory_bytes == full
