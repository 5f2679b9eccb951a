"""A link that does not acknowledge is slow, then overrun; one that does is neither, however much it is written."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.backlog import LinkBacklog
from topics import limits

_NEAR_MS = limits.ACK_MS // 8  # lots this close together may count as one
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 400)),
        st.tuples(st.just("pass"), st.integers(0, 1_500)),
        st.tuples(st.just("ack"), st.integers(0, 100)),
        st.tuples(st.just("begin anew"), st.just(0)),
    ),
    max_size=120,
)


class _Lot(NamedTuple):
    number: int
    bytes: int
    at_ms: int


def _late(lots: list[_Lot], until_ms: int) -> int:
    return sum(lot.bytes for lot in lots if lot.at_ms <= until_ms)


def _oldest(lots: list[_Lot], now_ms: int) -> int:
    return max([now_ms - lot.at_ms for lot in lots], default=0)


@given(_STEPS, st.sampled_from([4, 1_000]))
def test_a_link_is_judged_by_what_is_late_or_old_and_let_off_at_half(steps: list[tuple[str, int]], runs: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "LINK_SLOW_BYTES", 1_000)
        patch.setattr(limits, "LINK_BACKLOG_BYTES", 3_000)
        patch.setattr(limits, "BACKLOG_RUNS", runs)
        backlog = LinkBacklog()
        written: list[_Lot] = []
        acked, now, was = 0, 10_000, False
        for step, value in steps:
            match step:
                case "write":
                    written.append(_Lot(len(written) + 1, value, now))
                    backlog.wrote(len(written), value, now)
                case "pass":
                    now += value
                case "ack":
                    acked = max(acked, len(written) * value // 100)
                    backlog.acknowledged(acked)
                case _:
                    acked, was = len(written), False
                    backlog.begin_anew()
            overrun = backlog.judge(now)
            owed = written[acked:]
            until, share = now - limits.ACKS_LATE_MS, 2 if was else 1
            assert backlog.bytes >= sum(lot.bytes for lot in owed)
            assert overrun or _late(owed, until) <= 3_000
            assert backlog.slow or _late(owed, until) * share <= 1_000
            assert backlog.slow or _oldest(owed, now) * share <= limits.LINK_SLOW_MS
            if runs > len(steps):  # nor is it taken for more than lots close together explain
                most = [lot for lot in written if any(abs(lot.at_ms - one.at_ms) < _NEAR_MS for one in owed)]
                assert not overrun or _late(most, until + _NEAR_MS) > 3_000
                much = _late(most, until + _NEAR_MS) * share > 1_000
                assert not backlog.slow or much or _oldest(most, now) * share > limits.LINK_SLOW_MS
            assert owed or (backlog.bytes, backlog.slow) == (0, False)
            assert len(backlog._runs) <= runs
            was = backlog.slow


def test_a_gateway_that_acknowledges_in_time_may_be_written_any_amount() -> None:
    backlog = LinkBacklog()
    for second in range(10):
        for at in range(0, 1_000, 20):
            number = second * 50 + at // 20 + 1
            backlog.wrote(number, 4 << 20, second * 1_000 + at)
            assert not backlog.judge(second * 1_000 + at)
            assert not backlog.slow
        backlog.acknowledged(second * 50 + 45)


def test_what_a_late_worker_reads_late_is_not_held_against_the_link() -> None:
    backlog = LinkBacklog()
    late_ms = 20_000  # what it writes at `at` is in the topic only then
    for at in range(0, 15_000, 100):
        backlog.wrote(at // 100, 1 << 20, at + late_ms)
        assert not backlog.judge(at)
        assert not backlog.slow
