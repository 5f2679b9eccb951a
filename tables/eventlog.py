"""The latest relation events of the groups of one partition, so that a reader that knows a version is told the rest.

Kept in memory alone, within a budget: what is longer ago stands in the final state.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from topics import limits


class Logged(NamedTuple):
    """One event as it travels."""

    group: bytes
    version: int
    event: bytes


class EventLog:
    """The newest events of all groups, the oldest forgotten first. Those of one group have no hole."""

    def __init__(self) -> None:
        self._events: deque[Logged] = deque()
        self._of: dict[bytes, deque[Logged]] = {}
        self._bytes = 0

    def note(self, group: bytes, version: int, event: bytes) -> None:
        """A group's next event, encoded."""
        logged = Logged(group, version, event)
        self._of.setdefault(group, deque()).append(logged)
        self._events.append(logged)
        self._bytes += len(event)
        while self._bytes > limits.EVENT_LOG_BYTES:
            self._forget()

    def after(self, group: bytes, version: int) -> list[Logged]:
        """Those of a group's events after a version that are here: the newest ones, without a hole."""
        return [logged for logged in self._of.get(group, ()) if logged.version > version]

    def _forget(self) -> None:
        logged = self._events.popleft()
        self._bytes -= len(logged.event)
        events = self._of[logged.group]
        events.popleft()
        if not events:
            del self._of[logged.group]
