from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.batches.clock import PartitionClock


class Monotonic:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_batch_is_as_old_as_its_newest_record() -> None:
    clock = PartitionClock(Monotonic())
    assert clock.applied(5_000) == 5_000
    assert clock.applied(4_000) == 5_000


def test_while_idle_time_passes_since_the_newest_record_was_received() -> None:
    monotonic = Monotonic()
    clock = PartitionClock(monotonic)
    clock.heard(5_000)
    monotonic.now += 2
    clock.applied(5_000)
    assert clock.now_ms(idle=True) == 7_000


def test_with_records_waiting_the_clock_stands_still() -> None:
    monotonic = Monotonic()
    clock = PartitionClock(monotonic)
    clock.heard(9_000)
    clock.applied(5_000)
    monotonic.now += 60
    assert clock.now_ms(idle=False) == 5_000


def test_a_new_clock_goes_on_from_the_time_kept() -> None:
    monotonic = Monotonic()
    clock = PartitionClock(monotonic, start_ms=8_000)
    monotonic.now += 1
    assert clock.now_ms(idle=True) == 9_000


@given(st.lists(st.tuples(st.sampled_from(["heard", "applied", "idle", "busy"]), st.integers(0, 10_000))))
def test_it_never_goes_back(steps: list[tuple[str, int]]) -> None:
    monotonic = Monotonic()
    clock, last = PartitionClock(monotonic), 0
    for step, number in steps:
        monotonic.now += number / 7_000
        if step == "heard":
            clock.heard(number)
            continue
        now = clock.applied(number) if step == "applied" else clock.now_ms(idle=step == "idle")
        assert now >= last
        last = now
