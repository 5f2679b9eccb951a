"""A channel's numbers and what it knows of resends, against a plain list of all sends ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from tables import keys
from tables.channels import Channel
from tables.rows import Rows
from tests.cores import Memory, commit
from topics import limits
from topics.messages import Send

_WINDOW = 100
_SKEW = 300
_PER_DEVICE = 3
_START = 10_000


@pytest.fixture(autouse=True, scope="module")
def _small_limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "DEDUPE_WINDOW_MS", _WINDOW)
        patch.setattr(limits, "CLOCK_SKEW_MS", _SKEW)
        patch.setattr(limits, "DEDUPE_PER_DEVICE", _PER_DEVICE)
        patch.setattr(limits, "TAIL_SENDS", 4)
        yield


def _send(client_id: str, tried_at: int, device: str = "d") -> Send:
    return Send("app", "g", "u", device, client_id, tried_at, Raw(b"1"))


class _Kept:
    """A channel with its rows."""

    def __init__(self) -> None:
        self.store = Memory()
        self.load()

    def load(self) -> None:
        self.rows = Rows(self.store)
        self.channel = Channel(self.rows, b"app:g", "main")

    def flush(self) -> None:
        self.channel.flush()
        commit(self.rows, self.store)

    def sealed(self) -> int:
        return len(list(self.rows.scan(keys.SENDS)))

    def offer(self, send: Send, at: int) -> tuple[Any, ...]:
        """What the flow does: known, refused or taken."""
        if (known := self.channel.known(send, at)) is not None:
            return known.seq, known.at, known.again
        if (code := self.channel.refusal(send, at)) is not None:
            return (code,)
        taken = self.channel.take(send, at)
        return taken.seq, taken.at, taken.again


class _Oracle:
    """Remembers every send for good and looks through all of them."""

    def __init__(self) -> None:
        self.seq = 0
        self.sends: list[tuple[str, str, int, int, int]] = []  # device, client_id, seq, at, until

    def offer(self, send: Send, at: int) -> tuple[Any, ...]:
        alive = [sent for sent in self.sends if sent[4] >= at]
        for device, client_id, seq, first_at, _ in alive:
            if (device, client_id) == (send.device, send.client_id):
                return seq, first_at, True
        if send.tried_at > at + _SKEW:
            return ("clock_ahead",)
        if send.tried_at + _WINDOW < at:
            return ("expired",)
        if sum(sent[0] == send.device for sent in alive) >= _PER_DEVICE:
            return ("throttled",)
        self.seq += 1
        self.sends.append((send.device, send.client_id, self.seq, at, max(at, send.tried_at) + _WINDOW))
        return self.seq, at, False


_OFFERS = st.tuples(
    st.just("offer"),
    st.integers(0, 60),  # time that passes before it
    st.integers(-_WINDOW - 30, _SKEW + 30),  # when it was tried, from now
    st.sampled_from("abcdefghij"),
    st.sampled_from(["d", "e", "f"]),
)
_OTHERS = st.tuples(st.sampled_from(["flush", "flush and reload"]), st.just(0), st.just(0), st.just(""), st.just(""))


@settings(max_examples=300)
@given(st.lists(_OFFERS | _OTHERS, max_size=80))
def test_seq_is_dense_and_each_answer_is_that_of_a_list_of_all_sends(
    steps: list[tuple[str, int, int, str, str]],
) -> None:
    kept, oracle, now = _Kept(), _Oracle(), _START
    for step, passed, tried, client_id, device in steps:
        now += passed
        if step == "offer":
            send = _send(client_id, now + tried, device)
            assert kept.offer(send, now) == oracle.offer(send, now)
            assert kept.channel.seq == kept.channel.counter == oracle.seq
        else:
            kept.flush()
            if step != "flush":
                kept.load()


def test_a_resend_gets_its_first_seq_as_long_as_it_may_be_resent_also_after_a_reload() -> None:
    kept = _Kept()
    first = _send("first", _START)
    assert kept.offer(first, _START) == (1, _START, False)
    for i in range(10):
        kept.offer(_send(f"m{i}", _START + 10, f"d{i}"), _START + 10)
    kept.flush()
    kept.load()
    assert kept.offer(first, _START + _WINDOW) == (1, _START, True)
    assert kept.offer(first, _START + _WINDOW + 1) == ("expired",)


def test_one_clock_that_runs_ahead_throttles_nobody_and_holds_back_no_other_row() -> None:
    kept = _Kept()
    kept.offer(_send("ahead", _START + _SKEW, "fast"), _START)
    for i in range(100):
        now = _START + i * (_WINDOW // 2)
        assert kept.offer(_send(f"m{i}", now), now)[-1] is False
        assert kept.sealed() <= 3


def test_memory_and_rows_are_bounded_by_the_window() -> None:
    kept = _Kept()
    for i in range(200):
        now = _START + i * 10
        kept.offer(_send(f"m{i}", now, f"d{i % 40}"), now)
        kept.flush()
        if i % 17 == 0:
            kept.load()
        assert kept.sealed() <= 5
    late = _START + 200 * 10 + 2 * _WINDOW
    assert kept.offer(_send("last", late), late)[-1] is False
    assert kept.sealed() == 0
    assert len(kept.channel._known) == len(kept.channel._sends) == len(kept.channel._per_device) == 1


def test_sealed_rows_go_even_when_the_send_that_found_them_old_was_refused_and_the_row_not_written() -> None:
    kept = _Kept()
    for i in range(8):
        kept.offer(_send(f"m{i}", _START, f"d{i}"), _START)
    for i in range(_PER_DEVICE):
        kept.offer(_send(f"k{i}", _START + 50, "k"), _START + 50)
    kept.flush()
    later = _START + _WINDOW + 1
    assert kept.offer(_send("k", later, "k"), later) == ("throttled",)
    commit(kept.rows, kept.store)
    kept.load()
    for i in range(9):
        kept.offer(_send(f"n{i}", later, f"d{i}"), later)
    kept.flush()
    kept.load()
    kept.offer(_send("x", later + _WINDOW + 1), later + _WINDOW + 1)
    assert kept.sealed() == 0


def test_an_ended_channel_goes_on_from_its_numbers_and_takes_no_resend_of_its_earlier_life_for_new() -> None:
    for reload in (False, True):
        kept = _Kept()
        for i in range(10):
            kept.offer(_send(f"m{i}", _START, f"d{i}"), _START)
        kept.channel.end()
        commit(kept.rows, kept.store)
        assert kept.sealed() == 0
        if reload:
            kept.load()
        assert kept.channel.floor == 10
        assert kept.offer(_send("m1", _START, "d1"), _START) == ("expired",)
        assert kept.offer(_send("m1", _START + 1, "d1"), _START + 1) == (11, _START + 1, False)
        for i in range(7):
            kept.offer(_send(f"n{i}", _START + 50, f"d{i}"), _START + 50)
        kept.offer(_send("x", _START + _WINDOW + 1), _START + _WINDOW + 1)  # forgets the first of this life
        kept.flush()
        kept.load()
        assert kept.offer(_send("n6", _START + 50, "d6"), _START + _WINDOW + 1) == (18, _START + 50, True)


def test_an_id_used_anew_is_known_by_its_newer_send_also_after_a_reload() -> None:
    kept = _Kept()
    kept.offer(_send("same", _START), _START)
    kept.offer(_send("ahead", _START + _SKEW, "fast"), _START)  # its sealed row, and the first send in it, stays
    later = _START + _WINDOW + 1
    assert kept.offer(_send("same", later), later) == (3, later, False)
    kept.offer(_send("seals", later, "e"), later)
    kept.flush()
    kept.load()
    assert kept.offer(_send("other", later, "f"), later) == (5, later, False)
    assert kept.offer(_send("same", later), later) == (3, later, True)


def test_the_newest_messages_are_kept_up_to_their_bounds() -> None:
    channel = _Kept().channel
    for seq in range(1, limits.RECENT_ENTRIES + 10):
        channel.keep(seq, b"x")
    assert [seq for seq, _ in channel.recent] == list(range(10, limits.RECENT_ENTRIES + 10))
    for seq in range(1, 20):
        channel.keep(1_000 + seq, b"x" * 8_192)
        assert sum(len(message) for _, message in channel.recent) <= limits.RECENT_BYTES
