"""When more comes in than a partition can do: what is shed, and in which order.

1. Signals, as soon as they would come late: they are for those online now.
2. Sends to groups that are not direct, once the backlog is late and still grows: refused as `overloaded`, so the sender
   knows, and may send the same again. A refusal is some times cheaper than a delivery. A sender who asked for no answer
   is never refused: it would be lost without a word.
3. Never what was accepted, never a direct message, never a relation.

A backlog that shrinks, as after a worker was away, is worked off and nothing of it refused. Nor is one that is small,
however late: then it is the machine that is slow, and refusing would end only when it is fast again.
"""

from __future__ import annotations

from collections import deque

from tables.batch import Backlog
from topics import limits


class Overload:
    """One partition's. Kept in memory alone: a new owner begins with none."""

    def __init__(self) -> None:
        self.sheds_signals = False
        self.sheds_sends = False
        self._seen: deque[tuple[int, int]] = deque()  # when, how many waited: SHED_AFTER_MS of it, and one before

    def judge(self, now_ms: int, backlog: Backlog) -> None:
        """Decide for a batch.

        Args:
            now_ms: the partition's clock.
            backlog: what waited when the batch was taken.
        """
        self.sheds_signals = backlog.late_ms > limits.SHED_SIGNALS_LATE_MS
        self._seen.append((now_ms, backlog.records))
        while len(self._seen) > 1 and self._seen[1][0] <= now_ms - limits.SHED_AFTER_MS:
            self._seen.popleft()
        many = backlog.records >= limits.SHED_BACKLOG
        if self.sheds_sends:
            self.sheds_sends = many and backlog.late_ms > limits.SHED_SENDS_LATE_MS // 2
        else:
            began_ms, waited = self._seen[0]
            grows = began_ms <= now_ms - limits.SHED_AFTER_MS and backlog.records >= waited
            self.sheds_sends = many and grows and backlog.late_ms > limits.SHED_SENDS_LATE_MS
