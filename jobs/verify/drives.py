"""What sessions hear of a group unasked, by its kind, its size and its app's policy, over time."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from jobs.verify.members import Group
from jobs.verify.policies import Policies
from topics import limits
from topics.events import GroupCreated
from topics.policy import Policy
from topics.subscriptions import DriveMode, Joined


class _Since(NamedTuple):
    at_ms: int
    joined: Joined


class Drives:
    """The right answer for each group, by events and policies alone."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._of: dict[Group, list[_Since]] = {}

    def during(self, group: Group, from_ms: int, to_ms: int) -> set[Joined]:
        """All that was right between two moments."""
        turns = self._turns(group)
        first = bisect_right(turns, from_ms, key=lambda turn: turn.at_ms)
        end = bisect_right(turns, to_ms, key=lambda turn: turn.at_ms)
        return {turn.joined for turn in turns[max(0, first - 1) : max(1, end)]}

    def last(self, group: Group) -> Joined:
        """What is right in the end."""
        return self._turns(group)[-1].joined

    def _turns(self, group: Group) -> list[_Since]:
        if (known := self._of.get(group)) is None:
            known = self._of[group] = self._follow(group)
        return known

    def _follow(self, group: Group) -> list[_Since]:
        app = group.key[0]
        moments = [(event.at, event) for event in group.events]
        changes = self._policies.changes(app)
        turns: list[_Since] = [_Since(-1, "messages")]
        small, count, kind = True, 0, "team"
        for at_ms, event in sorted([*moments, *((at_ms, None) for at_ms in changes)], key=lambda one: one[0]):
            policy = self._policies.of(app, at_ms)
            if isinstance(event, GroupCreated):
                small, kind = len(event.users) <= policy.subscribe_members, event.kind
            if event is not None and (life := group.relations.life.at(event.version)) is not None:
                count = life.count.at(event.version)
            small = count <= policy.subscribe_members * (1 if small else limits.SUBSCRIBE_AGAIN)
            turns.append(_Since(at_ms, _joined(_mode(policy, kind), small=small or kind != "server")))
        return turns


def _mode(policy: Policy, kind: str) -> DriveMode:
    mode: DriveMode = getattr(policy, f"drive_{kind}")
    return mode


def _joined(mode: DriveMode, *, small: bool) -> Joined:
    if mode == "message":
        return "messages"
    if mode == "session":
        return "unread_count"
    return "messages" if small else "none"
