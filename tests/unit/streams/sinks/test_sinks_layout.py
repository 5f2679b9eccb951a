"""How messages are put together for the stores, and read back as they travelled."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from cassandra.cqltypes import BytesType, LongType, UTF8Type
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from streams.sinks import schema
from streams.sinks.cassandra import _encoded, message_runs
from streams.sinks.core import Entry
from streams.sinks.redis import _by_stream, _cut
from tests.records import records
from topics import limits
from topics.codec import encode
from topics.messages import Message


def message(channel: str, seq: int, size: int) -> Message:
    body = Raw(b'"' + b"x" * size + b'"')
    return Message("app", "g", channel, seq, seq - 1, seq, 1, 1, "ann", "phone", f"c{seq}", 1_000, body)


messages = st.lists(
    st.tuples(st.sampled_from("abcdefghijklmnop"), st.sampled_from((10, 300, 3_000, limits.BODY_BYTES))), max_size=400
).map(lambda drawn: [message(channel, seq, size) for seq, (channel, size) in enumerate(drawn, 4_000)])


@given(messages)
def test_every_message_is_in_one_run_and_runs_are_bounded(given_: list[Message]) -> None:
    made = message_runs(given_)
    assert sorted(at for run in made for at, _ in run.rows) == list(range(len(given_)))
    assert all(given_[at] is one for run in made for at, one in run.rows)
    for run in made:
        partitions = {(one.channel, schema.bucket_of(one.seq)) for _, one in run.rows}
        if len(partitions) > 1:
            assert run.size <= limits.STORE_PACK_BYTES
            assert len(partitions) <= limits.STORE_PACK_PARTITIONS
        assert run.size <= limits.STORE_BATCH_BYTES
        assert len(run.rows) <= limits.STORE_BATCH_ROWS


@given(messages)
def test_a_partition_keeps_its_order_within_a_run(given_: list[Message]) -> None:
    for run in message_runs(given_):
        by_partition: dict[Any, list[int]] = defaultdict(list)
        for _, one in run.rows:
            by_partition[one.channel, schema.bucket_of(one.seq)].append(one.seq)
        assert all(seqs == sorted(seqs) for seqs in by_partition.values())


@given(records(Message))
def test_values_are_serialized_as_the_driver_would(one: Message) -> None:
    types = {str: UTF8Type, int: LongType, bytes: BytesType}
    values = schema.values(one)
    assert schema.serialized(one) == [types[type(value)].serialize(value, 5) for value in values]


@given(records(Message))
def test_a_row_is_read_back_to_the_byte(one: Message) -> None:
    values = schema.values(one)
    assert _encoded(values[: len(schema.COLUMNS)]) == encode(one)
    assert values[len(schema.COLUMNS) :] == (schema.bucket_of(one.seq), one.counter)


def entries(channel: str, count: int, size: int = 10) -> list[Entry]:
    made = [message(channel, seq, size) for seq in range(1, count + 1)]
    return [Entry(0, one, encode(one)) for one in made]


def test_what_would_be_pushed_out_is_not_sent_to_the_cache() -> None:
    streams = _by_stream(entries("busy", limits.CACHE_ENTRIES + 10) + entries("quiet", 2))
    assert list(streams) == ["app:g:busy:recent", "app:g:quiet:recent"]
    assert [len(found) for found in streams.values()] == [limits.CACHE_ENTRIES, 2]
    assert streams["app:g:busy:recent"][-1].message.seq == limits.CACHE_ENTRIES + 10


def test_writes_to_the_cache_are_cut_by_bytes() -> None:
    streams = _by_stream([entry for n in range(300) for entry in entries(f"c{n}", 1, limits.BODY_BYTES)])
    writes = _cut(streams)
    assert len(writes) > 1
    assert [key for write in writes for key, _ in write] == list(streams)
    for write in writes:
        sizes = [len(entry.encoded) for _, held in write for entry in held]
        assert sum(sizes[:-1]) < limits.CACHE_WRITE_BYTES
