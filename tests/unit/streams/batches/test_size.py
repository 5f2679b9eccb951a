"""A batch takes as many records as what follows from them fits a transaction."""

from __future__ import annotations

from streams.batches.size import BatchSize
from topics import limits

_MOST = limits.BATCH_RECORDS


def test_what_writes_little_is_bounded_by_its_records() -> None:
    size = BatchSize()
    assert size.records == _MOST
    size.wrote(_MOST, 4_000 * _MOST)
    assert size.records == _MOST


def test_what_writes_much_is_bounded_by_what_it_writes() -> None:
    size = BatchSize()
    size.wrote(2_000, 2_000 * 45_000)
    assert size.records == limits.BATCH_OUTPUT_BYTES // 45_000


def test_a_record_larger_than_all_bounds_is_taken_alone_and_soon_forgotten() -> None:
    size = BatchSize()
    size.wrote(1, 10 * limits.BATCH_OUTPUT_BYTES)
    assert size.records == 1
    for _ in range(20):
        size.wrote(size.records, size.records * 4_000)
    assert size.records == _MOST


def test_after_a_transaction_that_took_too_long_the_next_is_half_as_large_down_to_one() -> None:
    size = BatchSize()
    size.took_too_long()
    assert size.records == _MOST // 2
    for _ in range(20):
        size.took_too_long()
    assert size.records == 1
    for _ in range(20):
        size.committed()
    assert size.records == _MOST


def test_what_is_much_work_is_bounded_by_its_work_and_what_is_little_grows_back() -> None:
    size, most = BatchSize(), limits.BATCH_BYTES
    assert size.bytes(most) == most
    size.applied(1_000_000, 4 * limits.BATCH_WORK_MS / 1000)
    assert size.bytes(most) == 250_000
    size.applied(100_000, limits.BATCH_WORK_MS / 2000)  # it was small by itself: that says little
    assert size.bytes(most) == 250_000
    for _ in range(6):
        size.applied(size.bytes(most), limits.BATCH_WORK_MS / 2000)
    assert size.bytes(most) == most
    assert size.bytes(1_000) == 1_000


def test_however_long_it_takes_a_batch_may_hold_something() -> None:
    size = BatchSize()
    size.applied(1, 60.0)
    assert size.bytes(limits.BATCH_BYTES) == limits.LEAST_BATCH_BYTES


def test_a_partition_that_is_behind_takes_longer_batches_up_to_a_bound() -> None:
    size = BatchSize()
    most = size.bytes(limits.BATCH_BYTES)
    size.applied(most, 0.2, late_ms=1_000)
    assert size.bytes(most) == most, "a quarter of what it is behind is more"
    size.applied(most, 0.8, late_ms=60_000)
    assert size.bytes(most) == most * limits.LATE_BATCH_WORK_MS // 800
    size.applied(most // 2, 0.2, late_ms=0)
    assert size.bytes(most) == most // 4, "who is not behind waits for nobody"
