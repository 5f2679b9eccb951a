"""What a link did not acknowledge of one source's lots: how much, since when, and so whether it keeps up.

A gateway acknowledges once in ACK_MS, so one that keeps up may have all lots unacknowledged that are younger than
ACKS_LATE_MS, however much that is: only what is older counts as bytes behind. With more than LINK_SLOW_BYTES of it, or
a lot older than LINK_SLOW_MS, the link is slow; at half of both it is slow no more. With more than LINK_BACKLOG_BYTES
it is overrun: it is to begin anew.

In memory only, and bounded: lots written close together are one run, and of a link that acknowledges nothing for long
neighbouring runs become one. A run counts until its last lot is acknowledged, so a backlog is never taken for less than
it is. After a take-over what was written before counts as acknowledged.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from topics import limits


class _Run:
    """Lots written close together: since when, the last one's number, their bytes."""

    __slots__ = ("bytes", "last", "since_ms")

    def __init__(self, since_ms: int, last: int, size: int) -> None:
        self.since_ms = since_ms
        self.last = last
        self.bytes = size


class LinkBacklog:
    """The backlog of one registration of a link at one source, from its first acknowledgement on.

    Attributes:
        bytes: of all lots that are not acknowledged.
        slow: whether the link does not keep up, as last judged.
    """

    __slots__ = ("_runs", "bytes", "slow")

    def __init__(self) -> None:
        self.bytes = 0
        self.slow = False
        self._runs: deque[_Run] = deque()

    def wrote(self, number: int, size: int, at_ms: int) -> None:
        """Lots up to this one, of so many bytes, were written."""
        runs = self._runs
        self.bytes += size
        if runs and at_ms - runs[-1].since_ms < _RUN_MS:
            runs[-1].last = number
            runs[-1].bytes += size
            return
        runs.append(_Run(at_ms, number, size))
        if len(runs) > limits.BACKLOG_RUNS:
            self._thin()

    def acknowledged(self, number: int) -> None:
        """The gateway applied all lots up to this one."""
        runs = self._runs
        while runs and runs[0].last <= number:
            self.bytes -= runs.popleft().bytes

    def begin_anew(self) -> None:
        """The gateway asked for everything anew: what it had not read matters no more."""
        self._runs.clear()
        self.bytes = 0
        self.slow = False

    def judge(self, now_ms: int) -> bool:
        """Say whether the link is slow; whether it is overrun is returned.

        Args:
            now_ms: up to when acknowledgements have been seen, by the clock that `wrote` is told of.
        """
        age_ms = now_ms - self._runs[0].since_ms if self._runs else 0
        late = self.bytes
        if late > limits.LINK_SLOW_BYTES // 2:  # else none of it matters, late or not
            until_ms = now_ms - limits.ACKS_LATE_MS
            late = sum([run.bytes for run in self._runs if run.since_ms <= until_ms])
        share = 2 if self.slow else 1
        self.slow = late * share > limits.LINK_SLOW_BYTES or age_ms * share > limits.LINK_SLOW_MS
        return late > limits.LINK_BACKLOG_BYTES

    def _thin(self) -> None:
        """Make one run of each two neighbours; an odd last one stays."""
        runs = list(self._runs)
        for run, next_ in zip(runs[::2], runs[1::2], strict=False):
            run.last = next_.last
            run.bytes += next_.bytes
        self._runs = deque(runs[::2])


_RUN_MS: Final = limits.ACK_MS // 8
