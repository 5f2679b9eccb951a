"""Keys go where Kafka's own producers send them."""

from __future__ import annotations

from aiokafka.partitioner import DefaultPartitioner, murmur2
from hypothesis import given
from hypothesis import strategies as st

from tests.records import IDS
from topics import keys


@given(st.binary(max_size=70))
def test_murmur2_is_that_of_kafka(data: bytes) -> None:
    assert keys.murmur2(data) == murmur2(data) & 0xFFFFFFFF


@given(st.binary(min_size=1, max_size=70), st.integers(1, 300))
def test_a_key_goes_to_the_partition_that_kafkas_default_chooses(key: bytes, partitions: int) -> None:
    every = list(range(partitions))
    assert keys.partition_of(key, partitions) == DefaultPartitioner()(key, every, every)


@given(st.lists(st.binary(max_size=9), max_size=200), st.integers(1, 1_000))
def test_many_keys_at_once_go_where_each_goes_alone(many: list[bytes], partitions: int) -> None:
    assert keys.partitions_of(many, partitions) == [keys.partition_of(key, partitions) for key in many]


@given(st.binary(min_size=0, max_size=40), st.integers(1, 64))
def test_enough_keys_of_one_length_to_be_hashed_together_go_where_each_goes_alone(tail: bytes, partitions: int) -> None:
    many = [bytes([i]) + tail for i in range(100)] + [b""] * 20
    assert keys.partitions_of(many, partitions) == [keys.partition_of(key, partitions) for key in many]


@given(IDS, IDS, IDS, IDS)
def test_no_two_things_share_a_key(app: str, thing: str, other_app: str, other: str) -> None:
    assert (keys.key_of(app, thing) == keys.key_of(other_app, other)) == ((app, thing) == (other_app, other))
