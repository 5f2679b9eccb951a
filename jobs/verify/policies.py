"""What each app's policy was, and when: read from `policies`."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from operator import attrgetter
from typing import Final, NamedTuple

from jobs.verify.findings import Findings
from jobs.verify.world import World, place
from topics import catalog
from topics.codec import Malformed
from topics.policy import Policy

_USUAL: Final = Policy()


class _Since(NamedTuple):
    at_ms: int
    policy: Policy


_AT_MS: Final = attrgetter("at_ms")


class Policies:
    """The policies of all apps over time; an app without one has what is usual.

    The topic keeps the newest record of an app for good, not those before: then what was in force earlier is not known,
    and the oldest that is left stands for it.
    """

    def __init__(self, world: World, findings: Findings) -> None:
        self._of: dict[str, list[_Since]] = defaultdict(list)
        for row, record in world.rows(catalog.POLICIES):
            if row.value is None:
                continue
            if isinstance(record, Malformed):
                findings.add("unreadable", place(catalog.POLICIES, row))
            else:
                insort(self._of[record.app], _Since(row.at_ms, record.policy), key=_AT_MS)

    def of(self, app: str, at_ms: int) -> Policy:
        """What an app had at a moment."""
        told = self._of.get(app, ())
        at = bisect_right(told, at_ms, key=_AT_MS)
        return told[at - 1].policy if at else _USUAL

    def during(self, app: str, from_ms: int, to_ms: int) -> list[Policy]:
        """All that an app had between two moments."""
        inside = [since.policy for since in self._of.get(app, ()) if from_ms < since.at_ms <= to_ms]
        return [self.of(app, from_ms), *inside]

    def changes(self, app: str) -> list[int]:
        """When an app's policy changed."""
        return [since.at_ms for since in self._of.get(app, ())]

    def last(self, app: str) -> Policy:
        """What an app has in the end."""
        return self._of[app][-1].policy if app in self._of else _USUAL
