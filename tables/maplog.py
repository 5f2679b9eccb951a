"""The latest changes of the Link maps of one partition, so that a reader that knows a version is told only the rest.

Kept in memory alone, within a budget: a reader that comes too late, or after the partition changed hands, gets the
whole map instead. A step is what `LinkMap` made anyway, held a while longer: it costs nothing per message or binding.

A reader may also ask by time, with one that an answer told it. Many changes have the same append time, and two topics'
times are not exact to the millisecond: so it is told all from a little before that time on. What it is told twice does
no harm. A version is exact, and the better question.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from topics import limits

if TYPE_CHECKING:  # a Link map writes here, and its change is what is written
    from tables.linkmap import Change
    from tables.outbox import Outlet


class Step(NamedTuple):
    """One rise of a Link map's version.

    Attributes:
        group: whose.
        at_ms: when.
        before: the version before.
        after: the version after.
        changes: what changed by link; None where the whole registration died.
        weight: what it counts for in the budget.
    """

    group: bytes
    at_ms: int
    before: int
    after: int
    changes: Mapping[Outlet, Change | None]
    weight: int


class MapLog:
    """The newest steps of all groups, the oldest forgotten first.

    Attributes:
        now_ms: the newest append time seen; 0: none yet.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self._whole_after_ms = 0  # every step that is later than this is here
        self._steps: deque[Step] = deque()
        self._of: dict[bytes, deque[Step]] = {}
        self._weight = 0

    def hear(self, now_ms: int) -> None:
        """This is the newest append time now. What was before the first one is not known here."""
        self._whole_after_ms = self._whole_after_ms or now_ms
        self.now_ms = now_ms

    def note(self, group: bytes, before: int, after: int, changes: Mapping[Outlet, Change | None], weight: int) -> None:
        """The version of a group's Link map rose; `weight` is how many links and pairs the changes have."""
        step = Step(group, self.now_ms, before, after, changes, weight)
        steps = self._of.setdefault(group, deque())
        if steps and steps[-1].after != before:  # loaded once more from before links died
            if (steps[-1].before, steps[-1].after) == (before, after):
                return
            self._whole_after_ms = self.now_ms
            steps.clear()
        steps.append(step)
        self._steps.append(step)
        self._weight += weight
        while self._weight > limits.MAP_LOG_PAIRS:
            self._forget()

    def since(self, group: bytes, known: int, now: int) -> list[Step] | None:
        """The steps from version `known` to `now`, the present one; None when they are not all here, or too many."""
        if known == now:
            return []
        steps = self._of.get(group)
        if not steps or steps[-1].after != now:
            return None
        found: list[Step] = []
        weight = 0
        for step in reversed(steps):
            weight += step.weight
            if weight > limits.MAP_CHANGES or step.before < known:
                return None
            found.append(step)
            if step.before == known:
                return found[::-1]
        return None

    def since_ms(self, group: bytes, at_ms: int, now: int) -> list[Step] | None:
        """The steps from WATERMARK_MS before a time to version `now`, the present one; None as in `since`."""
        from_ms = at_ms - limits.WATERMARK_MS
        steps = self._of.get(group, ())
        known = next((step.before for step in steps if step.at_ms >= from_ms), now)
        whole = from_ms > self._whole_after_ms or (steps and steps[0].at_ms < from_ms)
        if not whole or at_ms > self.now_ms:  # told by another owner, whose clock was ahead
            return None
        return self.since(group, known, now)

    def _forget(self) -> None:
        step = self._steps.popleft()
        self._weight -= step.weight
        steps = self._of.get(step.group)
        if steps and steps[0] is step:
            self._whole_after_ms = max(self._whole_after_ms, step.at_ms)
            steps.popleft()
            if not steps:
                del self._of[step.group]
