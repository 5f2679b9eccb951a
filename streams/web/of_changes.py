"""What changed in a group after a version: what the owner's memory has of it."""

from __future__ import annotations

from typing import Final

import msgspec

from streams.groups.core import GroupsCore
from streams.web.asks import OfGroup
from streams.web.problems import ProblemError
from streams.web.relation_answers import State
from streams.web.seats import found, state_of
from streams.web.tokens import Claims
from topics import limits
from topics.wire import Count


class NewestAnswer(msgspec.Struct, frozen=True):
    """A group's version, and its newest events from some version on without a hole.

    Attributes:
        version: the group's.
        state: whether a change is under way.
        alive: whether it lives.
        begin: the version of the first event in memory after the one asked for; above `version`: none is.
        events: (version, event) from `begin` on, if that follows at once; else they are asked for again.
    """

    version: int
    state: State
    alive: bool
    begin: int
    events: list[tuple[int, msgspec.Raw]]


class NewestAsk(OfGroup, frozen=True, tag="newest"):
    """Which events after this version are in memory?"""

    since: Count
    limit: int

    def answer(self, core: GroupsCore, asker: Claims) -> NewestAnswer:
        """See `Ask`. A deleted group's events are told as well: its end is one of them."""
        if asker.caller == "user":  # they tell of every channel and request
            raise ProblemError("unknown_group")
        group = found(core, self, asker)
        events = core.desk.event_log.after(group.key, self.since)
        begin = events[0].version if events else group.version + 1
        told: list[tuple[int, msgspec.Raw]] = []
        size = 0
        for one in events[: self.limit] if begin == self.since + 1 else ():
            size += len(one.event)
            if told and size > limits.CHANGES_BYTES:
                break
            told.append((one.version, msgspec.Raw(one.event)))
        return NewestAnswer(group.version, state_of(core, group), group.alive, begin, told)


decode_newest: Final = msgspec.json.Decoder(NewestAnswer).decode
