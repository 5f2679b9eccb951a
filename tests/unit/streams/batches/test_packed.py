"""Packed batches read back, by aiokafka's reader, as what was packed."""

from __future__ import annotations

import os

from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from streams.batches.packed import PackedBatch, Pair, pack

_FIELDS = st.none() | st.binary(max_size=300)
_PAIRS = st.lists(st.tuples(_FIELDS, _FIELDS), min_size=1, max_size=200)


def read(batch: PackedBatch) -> list[Pair]:
    """What a consumer finds in a batch."""
    records = MemoryRecords(batch._build())
    found = records.next_batch()
    assert found is not None
    assert found.validate_crc()
    assert found.is_transactional
    pairs = []
    for place, record in enumerate(found):
        assert record.offset == place
        pairs.append((record.key, record.value))
    assert not records.has_next()
    return pairs


@given(_PAIRS)
def test_what_is_packed_is_read(pairs: list[Pair]) -> None:
    batch = PackedBatch(pairs)
    batch._set_producer_state(7, 3, 40)
    assert read(batch) == pairs
    assert batch.record_count() == len(pairs)


def test_the_producer_and_its_sequence_stand_in_the_batch() -> None:
    batch = PackedBatch([(b"k", b"v")])
    batch._set_producer_state(1 << 40, 5, 123)
    found = MemoryRecords(batch._build()).next_batch()
    assert found is not None
    assert (found.producer_id, found.producer_epoch, found.base_sequence) == (1 << 40, 5, 123)


def test_what_is_sent_again_is_the_same_bytes() -> None:
    batch = PackedBatch([(None, b"v")])
    batch._set_producer_state(1, 1, 1)
    assert batch._build() is batch._build()


def test_what_does_not_shrink_goes_as_it_is() -> None:
    noise = os.urandom(5_000)
    batch = PackedBatch([(None, noise)])
    assert noise in batch._build()
    assert len(PackedBatch([(None, b"a" * 5_000)])._build()) < 200


@given(_PAIRS, st.integers(30, 2_000))
def test_runs_keep_order_and_their_bound(pairs: list[Pair], max_bytes: int) -> None:
    batches = pack(pairs, max_bytes)
    assert [pair for batch in batches for pair in read(batch)] == pairs
    for batch in batches:
        content = sum(len(key or b"") + len(value or b"") for key, value in read(batch))
        assert content <= max_bytes or batch.record_count() == 1
