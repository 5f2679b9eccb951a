"""A partition's clock: the broker's, carried on by a monotonic one while nothing arrives.

It never reads a wall clock and never goes back, so a worker whose clock is wrong decides like every other.
"""

from __future__ import annotations

from collections.abc import Callable


class PartitionClock:
    """Newest append time seen, plus the time passed since that record was received while the partition is idle."""

    def __init__(self, monotonic: Callable[[], float], start_ms: int = 0) -> None:
        """Start it.

        Args:
            monotonic: seconds that never go back.
            start_ms: the newest append time known from before.
        """
        self._monotonic = monotonic
        self._heard_ms = start_ms
        self._heard_at = monotonic()
        self._now_ms = start_ms

    def heard(self, at_ms: int) -> None:
        """A record with this append time was just received; it may still wait to be applied."""
        if at_ms >= self._heard_ms:
            self._heard_ms = at_ms
            self._heard_at = self._monotonic()

    def applied(self, at_ms: int) -> int:
        """The clock's time for a batch whose newest record has this append time."""
        self._now_ms = max(self._now_ms, at_ms)
        return self._now_ms

    def now_ms(self, *, idle: bool) -> int:
        """The clock's time between batches; with records waiting it stands still, they say what time it is."""
        if idle:
            passed = int((self._monotonic() - self._heard_at) * 1000)
            self._now_ms = max(self._now_ms, self._heard_ms + passed)
        return self._now_ms
