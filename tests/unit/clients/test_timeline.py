"""What one client holds of a channel: in order, each once, whatever is lost, doubled or pulled on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from linkcast_gateway import WAITING_MESSAGES, Message, Timeline


def message(seq: int, prev: int | None = None) -> Message:
    before = seq - 1 if prev is None else prev
    return Message("demo", "g", "main", seq, before, "ann", "d", "c", 1, Raw(b"1"))


def seqs(messages: list[Message]) -> list[int]:
    return [message.seq for message in messages]


def test_the_next_message_is_shown_and_a_known_one_is_not() -> None:
    timeline = Timeline(last=3)
    assert seqs(timeline.push(message(4))) == [4]
    assert timeline.push(message(4)) == timeline.push(message(2)) == []
    assert not timeline.behind


def test_what_follows_a_hole_waits_for_the_pull() -> None:
    timeline = Timeline()
    timeline.push(message(1))
    assert timeline.push(message(3)) == timeline.push(message(4)) == []
    assert timeline.behind
    assert seqs(timeline.pulled([message(2)])) == [2, 3, 4]
    assert not timeline.behind


def test_seqs_need_not_follow_each_other_only_prev_counts() -> None:
    timeline = Timeline(last=2)
    assert seqs(timeline.push(message(7, prev=2))) == [7]
    assert timeline.push(message(9, prev=8)) == []
    assert timeline.behind


def test_a_head_shows_that_the_last_message_was_missed() -> None:
    timeline = Timeline(last=2)
    behind = []
    for head in (2, 3):
        timeline.heard(head)
        behind.append(timeline.behind)
    assert seqs(timeline.pulled([message(3)])) == [3]
    assert [*behind, timeline.behind] == [False, True, False]


def test_what_waits_is_bounded_and_the_rest_is_pulled() -> None:
    timeline = Timeline()
    for seq in range(2, WAITING_MESSAGES + 10):
        assert timeline.push(message(seq)) == []
    assert len(timeline.pulled([message(1)])) == WAITING_MESSAGES + 1
    assert timeline.behind
    assert seqs(timeline.pulled([message(timeline.last + 1)])) == [WAITING_MESSAGES + 2]


@given(st.lists(st.tuples(st.sampled_from(["arrives", "is lost", "comes twice", "is late"]), st.integers(1, 3))))
def test_every_message_is_shown_once_and_in_order(fates: list[tuple[str, int]]) -> None:
    timeline = Timeline()
    channel: list[Message] = []
    late: list[Message] = []
    shown: list[int] = []
    for fate, gap in fates:
        prev = channel[-1].seq if channel else 0
        channel.append(message(prev + gap, prev))
        if fate == "is late":
            late.append(channel[-1])
        for _ in range({"arrives": 1, "comes twice": 2}.get(fate, 0)):
            shown += seqs(timeline.push(channel[-1]))
    for one in late:
        shown += seqs(timeline.push(one))
    if channel:
        timeline.heard(channel[-1].seq)
    while timeline.behind:
        after = [one for one in channel if one.seq > timeline.last]
        shown += seqs(timeline.pulled(after[:2]))
    assert shown == [one.seq for one in channel]
