from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.batches.inputs import Fetched, HoleError, Inputs
from topics import limits

TOPICS = ("relations", "messages", "resync")


@dataclass(frozen=True)
class Raw:
    offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = b"v"


def lot(*records: Raw, since: int = 0, position: int | None = None, end: int | None = None) -> Fetched:
    after = records[-1].offset + 1 if records else since
    position = after if position is None else position
    return Fetched(1, records, since, position, position if end is None else end)


def inputs(*topics: str) -> Inputs:
    return Inputs(dict.fromkeys(topics, 0))


def taken(merge: Inputs, **bounds: int) -> list[tuple[str, int]]:
    return [(record.topic, record.offset) for record in merge.take(**bounds).records]


logs = st.fixed_dictionaries({topic: st.lists(st.integers(0, 20), max_size=12) for topic in TOPICS})


@settings(deadline=None)  # a busy machine is no failure
@given(logs, st.data())
def test_whatever_the_fetches_the_order_is_that_of_append_time(logs: dict[str, list[int]], data: st.DataObject) -> None:
    """Fetched in any portions and taken in any batches, records come out as one stable sort would give them."""
    logs = {topic: sorted(times) for topic, times in logs.items()}
    merge, position = inputs(*TOPICS), dict.fromkeys(TOPICS, 0)
    out: list[tuple[str, int]] = []
    while len(out) < sum(map(len, logs.values())):
        topic = data.draw(st.sampled_from(TOPICS))
        start, times = position[topic], logs[topic]
        stop = data.draw(st.integers(start, len(times)))
        records = [Raw(offset, times[offset]) for offset in range(start, stop)]
        merge.offer(topic, lot(*records, since=start, position=stop, end=len(times)))
        position[topic] = stop
        out += taken(merge, max_records=data.draw(st.integers(1, 4)))
    oracle = [
        (topic, offset)
        for _, _, offset, topic in sorted(
            (at, TOPICS.index(topic), offset, topic) for topic, times in logs.items() for offset, at in enumerate(times)
        )
    ]
    assert out == oracle


def test_a_record_waits_for_a_topic_that_is_not_at_its_end() -> None:
    merge = inputs("a", "b")
    merge.offer("a", lot(Raw(0, 10)))
    assert not merge.ready
    merge.offer("b", lot(since=0, position=0, end=5))
    assert not merge.ready
    merge.offer("b", lot(Raw(4, 9), since=0, position=5))
    assert taken(merge) == [("b", 4), ("a", 0)]


def test_a_topic_that_never_had_a_record_holds_nobody_up() -> None:
    merge = inputs("a", "b")
    merge.offer("b", lot())
    merge.offer("a", lot(Raw(0, 10)))
    assert taken(merge) == [("a", 0)]


def test_a_log_that_ends_in_markers_holds_nobody_up() -> None:
    """Offsets 3 to 6 are an aborted transaction and its marker: no record will ever come of them."""
    merge = inputs("a", "b")
    merge.offer("a", lot(Raw(0, 10)))
    merge.offer("b", lot(Raw(2, 5), since=0, position=3, end=7))
    assert taken(merge) == [("b", 2)]
    merge.offer("b", lot(since=3, position=7, end=7))
    assert taken(merge) == [("a", 0)]


def test_offsets_go_past_markers_only_when_nothing_is_left_buffered() -> None:
    merge = inputs("a")
    merge.offer("a", lot(Raw(0, 1), Raw(1, 2), position=5))
    assert merge.take(max_records=1).offsets == {"a": 1}
    assert merge.take().offsets == {"a": 5}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 400)), min_size=1, max_size=60),
    st.integers(1, 10),
    st.integers(1, 1000),
)
def test_a_batch_keeps_its_bounds_unless_one_record_alone_exceeds_them(
    sizes: list[tuple[str, int]], max_records: int, max_bytes: int
) -> None:
    merge = inputs("a", "b")
    for topic in "ab":
        records = [Raw(at, at, value=b"x" * size) for at, (name, size) in enumerate(sizes) if name == topic]
        merge.offer(topic, lot(*records))
    out: list[int] = []
    while merge.ready:
        batch = merge.take(max_records, max_bytes)
        assert 1 <= len(batch.records) <= max_records
        assert len(batch.records) == 1 or sum(len(record.value) for record in batch.records) <= max_bytes
        out += [record.at_ms for record in batch.records]
    assert out == list(range(len(sizes)))


LARGE = 100


@st.composite
def mixed_logs(draw: st.DrawFn) -> dict[str, list[Raw]]:
    """Few keys, records without one, and large ones among them."""
    logs: dict[str, list[Raw]] = {}
    for topic in TOPICS:
        times = sorted(draw(st.lists(st.integers(0, 20), max_size=10)))
        keys = st.sampled_from([b"a", b"b", b"c", None])
        sizes = st.sampled_from([1, 1, 1, LARGE])
        logs[topic] = [Raw(n, at, draw(keys), b"v" * draw(sizes)) for n, at in enumerate(times)]
    return logs


@settings(deadline=None)
@given(mixed_logs(), st.data())
def test_others_pass_large_records_and_order_is_kept_by_key_and_by_topic(
    logs: dict[str, list[Raw]], data: st.DataObject
) -> None:
    merge, position = Inputs(dict.fromkeys(TOPICS, 0), LARGE), dict.fromkeys(TOPICS, 0)
    out: list[tuple[int, int, bytes | None, int]] = []  # append time, topic, key, offset
    while len(out) < sum(map(len, logs.values())):
        topic = data.draw(st.sampled_from(TOPICS))
        start, of_topic = position[topic], logs[topic]
        stop = position[topic] = data.draw(st.integers(start, len(of_topic)))
        merge.offer(topic, lot(*of_topic[start:stop], since=start, position=stop, end=len(of_topic)))
        batch = merge.take(max_records=data.draw(st.integers(1, 6)))
        out += [(one.at_ms, TOPICS.index(one.topic), one.key, one.offset) for one in batch.records]
        assert sum(one.key is not None and len(one.key + one.value) >= LARGE for one in batch.records) <= 1
    assert sorted(out, key=str) == sorted(
        [(raw.timestamp, place, raw.key, raw.offset) for place, topic in enumerate(TOPICS) for raw in logs[topic]],
        key=str,
    )
    for place, (at, topic_place, key, offset) in enumerate(out):
        for earlier_at, earlier_topic, earlier_key, earlier_offset in out[place + 1 :]:
            if (earlier_at, earlier_topic, earlier_offset) < (at, topic_place, offset):  # it was passed
                assert earlier_topic != topic_place
                assert earlier_key is not None
                assert earlier_key != key


def test_a_message_to_another_group_passes_the_lots_of_a_large_change() -> None:
    merge = Inputs(dict.fromkeys(TOPICS, 0), LARGE)
    merge.offer("relations", lot(*(Raw(n, n, b"server", b"v" * LARGE) for n in range(3))))
    merge.offer("messages", lot(Raw(0, 9, b"team"), Raw(1, 9, b"server"), Raw(2, 9, b"team")))
    merge.offer("resync", lot())
    assert taken(merge) == [("relations", 0), ("messages", 0)]
    assert merge.large
    assert taken(merge) == [("relations", 1)]
    assert taken(merge) == [("relations", 2), ("messages", 1), ("messages", 2)]
    assert not merge.large


def test_a_batch_takes_as_many_large_lots_without_a_key_as_of_anything_for_nothing_passes_them() -> None:
    merge = Inputs(dict.fromkeys(TOPICS, 0), LARGE)
    merge.offer("relations", lot(*(Raw(n, n, None, b"v" * LARGE) for n in range(3))))
    merge.offer("messages", lot(Raw(0, 1, b"team"), Raw(1, 9, b"team")))
    merge.offer("resync", lot())
    assert not merge.large
    assert taken(merge, max_records=4) == [("relations", 0), ("relations", 1), ("messages", 0), ("relations", 2)]


def test_nothing_passes_what_is_not_fetched_yet() -> None:
    merge = Inputs(dict.fromkeys(TOPICS, 0), LARGE)
    merge.offer("relations", lot(Raw(0, 1, b"server", b"v" * LARGE), Raw(1, 5, b"server"), end=9))
    merge.offer("messages", lot(Raw(0, 4, b"team"), Raw(1, 6, b"team")))
    merge.offer("resync", lot())
    assert taken(merge) == [("relations", 0), ("messages", 0)]


def test_a_full_topic_waits_for_room_and_never_for_another_topic() -> None:
    merge = inputs("a", "b")
    share = limits.QUEUE_RECORDS // 2
    merge.offer("a", lot(*(Raw(n, n) for n in range(share))))
    assert not merge.has_room("a")
    assert merge.has_room("b")
    merge.offer("b", lot())
    while not merge.has_room("a"):
        assert merge.take().records


def test_large_records_fill_a_share_by_their_bytes() -> None:
    merge = inputs("a")
    merge.offer("a", lot(Raw(0, 0, value=bytes(limits.QUEUE_BYTES // 2)), Raw(1, 1)))
    assert not merge.has_room("a")


def test_a_lost_lot_is_noticed_with_the_next_one() -> None:
    merge = inputs("a")
    merge.offer("a", lot(Raw(0, 0)))
    with pytest.raises(HoleError):
        merge.offer("a", lot(Raw(7, 9), since=6))


def test_idle_is_at_the_end_of_all_with_nothing_buffered() -> None:
    merge = inputs("a", "b")
    assert not merge.idle
    merge.offer("a", lot(Raw(0, 0)))
    merge.offer("b", lot())
    assert not merge.idle
    merge.take()
    assert merge.idle


def test_what_may_wait_keeps_nobody_from_being_idle_but_holds_its_place_in_the_order() -> None:
    merge = Inputs(dict.fromkeys(("a", "acks"), 0), patient=("acks",))
    merge.offer("a", lot())
    merge.offer("acks", lot(Raw(0, 5)))
    assert (merge.idle, merge.patient, merge.ready) == (True, True, True)
    merge.offer("a", lot(Raw(0, 3), Raw(1, 7)))
    assert (merge.idle, merge.patient) == (False, False)
    assert taken(merge) == [("a", 0), ("acks", 0), ("a", 1)]


def test_lag_counts_what_is_buffered_and_what_is_not_fetched() -> None:
    merge = inputs("a")
    merge.offer("a", lot(Raw(3, 0), Raw(4, 0), position=5, end=9))
    assert merge.lag() == {"a": 6}
    merge.take(max_records=1)
    assert merge.lag() == {"a": 5}


def test_a_record_without_a_value_is_an_empty_one() -> None:
    merge = inputs("a")
    merge.offer("a", lot(Raw(0, 0, key=b"k", value=None)))
    assert merge.take().records[0].value == b""


def test_the_backlog_counts_what_waits_and_how_late_that_is() -> None:
    merge = inputs("a", "b")
    assert merge.backlog == (0, 0)
    merge.offer("a", lot(*(Raw(offset, 100 * offset) for offset in range(5)), end=5))
    merge.offer("b", lot(end=0))
    assert merge.backlog == (400, 5)
    assert merge.take().backlog == (400, 5)
    assert merge.backlog == (0, 0)


def test_what_is_not_fetched_yet_counts_as_dense_as_what_is() -> None:
    merge = inputs("a")
    merge.offer("a", lot(*(Raw(offset, 100 * offset) for offset in range(5)), end=50))
    assert merge.backlog == (4_000, 50)


def test_the_backlog_is_that_of_the_topic_furthest_behind() -> None:
    merge = inputs("a", "b")
    merge.offer("a", lot(*(Raw(offset, offset) for offset in range(9)), end=9))
    merge.offer("b", lot(Raw(0, 0), Raw(1, 50), end=2))
    assert merge.backlog == (50, 2)


def test_half_a_batch_is_plenty() -> None:
    merge = inputs("a", "b")
    plenty = []
    for topic in ("a", "b"):
        merge.offer(topic, lot(Raw(0, 0)))
        plenty.append(merge.plenty(4, 200))
    assert plenty == [False, True]
    few = inputs("a")
    few.offer("a", lot(Raw(0, 0, value=b"x" * 100)))
    assert few.plenty(4, 200)
