"""A channel is in a burst while many messages come, and only then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.bursts import Bursts
from topics import limits

_PER_S = 4
_MOST = _PER_S * limits.BURST_MS // 1_000
_CHANNELS = ("a", "b")

#: Milliseconds since the step before, and in which channel a message comes then; None: only time passes.
_STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 300), st.integers(0, 3 * limits.BURST_MS)), st.sampled_from([*_CHANNELS, "a", None])
    ),
    max_size=80,
)


@given(_STEPS)
def test_a_burst_has_a_cause_goes_on_while_there_is_one_and_ends_with_it(steps: list[tuple[int, str | None]]) -> None:
    bursts = Bursts()
    heard: dict[str, list[int]] = {channel: [] for channel in _CHANNELS}
    was = dict.fromkeys(_CHANNELS, False)
    now = 1_000_000
    for passed, channel in steps:
        now += passed
        if channel is not None:
            heard[channel].append(now)
            bursts.heard(b"app:g", channel, now, _PER_S)
        window = now - now % limits.BURST_MS
        for one in _CHANNELS:
            narrow = bursts.narrow(b"app:g", one, now)
            of_two = sum(now - 2 * limits.BURST_MS < at <= now for at in heard[one])
            assert not narrow or was[one] or of_two > _MOST  # it begins for a reason
            assert not narrow or of_two >= _MOST * limits.BURST_CALM  # and does not outlive it
            assert narrow or sum(window <= at for at in heard[one]) <= _MOST  # nor is one overlooked
            was[one] = narrow
    assert bursts.ongoing(now) == len(bursts) == sum(was.values())
    assert bursts.ongoing(now + 2 * limits.BURST_MS) == 0
    assert not bursts.narrow(b"app:h", "a", now)


def test_between_calm_and_many_it_stays_as_it_was() -> None:
    bursts, now = Bursts(), 0

    def go(per_s: int, seconds: int) -> list[bool]:
        nonlocal now
        found = []
        for _ in range(seconds * per_s):
            now += 1_000 // per_s
            bursts.heard(b"app:g", "c", now, 100)
            found.append(bursts.narrow(b"app:g", "c", now))
        return found

    assert not any(go(80, 10))
    assert go(200, 10)[-1]
    assert all(go(80, 10))
    assert not go(40, 10)[-1]
    assert not any(go(80, 10))


def test_each_app_has_its_own_rate() -> None:
    bursts = Bursts()
    for at in range(100):
        bursts.heard(b"one:g", "c", at, 10)
        bursts.heard(b"two:g", "c", at, 1_000)
    assert bursts.narrow(b"one:g", "c", 99)
    assert not bursts.narrow(b"two:g", "c", 99)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BURST_CHANNELS", 10)
    bursts = Bursts()
    for i in range(1_000):
        bursts.heard(b"app:g", f"c{i}", limits.BURST_MS + i, 100)
    assert len(bursts._now) == 10
    bursts.heard(b"app:g", "c", 9 * limits.BURST_MS, 100)
    assert (len(bursts._now), len(bursts._before), len(bursts)) == (1, 0, 0)
