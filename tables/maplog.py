"""The latest changes of the Link maps of one partition, so that a reader that knows a version is told only the rest.

Kept in memory alone, within a budget: a reader that comes too late, or after the partition changed hands, gets the
whole map instead. A step is what `LinkMap` made anyway, held a while longer: it costs nothing per message or binding.
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
        before: the version before.
        after: the version after.
        changes: what changed by link; None where the whole registration died.
        weight: what it counts for in the budget.
    """

    group: bytes
    before: int
    after: int
    changes: Mapping[Outlet, Change | None]
    weight: int


class MapLog:
    """The newest steps of all groups, the oldest forgotten first."""

    def __init__(self) -> None:
        self._steps: deque[Step] = deque()
        self._of: dict[bytes, deque[Step]] = {}
        self._weight = 0

    def note(self, group: bytes, before: int, after: int, changes: Mapping[Outlet, Change | None], weight: int) -> None:
        """The version of a group's Link map rose; `weight` is how many links and pairs the changes have."""
        step = Step(group, before, after, changes, weight)
        steps = self._of.setdefault(group, deque())
        if steps and steps[-1].after != before:  # the group was out of memory when a link died: a hole
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

    def _forget(self) -> None:
        step = self._steps.popleft()
        self._weight -= step.weight
        steps = self._of.get(step.group)
        if steps and steps[0] is step:
            steps.popleft()
            if not steps:
                del self._of[step.group]
