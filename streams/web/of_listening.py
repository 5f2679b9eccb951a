"""What a group's owner tells of who hears a channel: by joining, and by subscription."""

from __future__ import annotations

from streams.groups.core import GroupsCore
from streams.groups.subscriptions import counts
from streams.web.answers import SubscribersAnswer
from streams.web.asks import OfGroup
from streams.web.seats import seat_of
from streams.web.tokens import Claims
from tables.subscriptions import Topic
from topics.wire import Id


class SubscribersAsk(OfGroup, frozen=True, tag="subscribers"):
    """How many sessions subscribed to a channel, by level?"""

    channel: Id

    def answer(self, core: GroupsCore, asker: Claims) -> SubscribersAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        seat.need_channel(self.channel)
        found = counts(seat.group)
        return SubscribersAnswer(
            seat.group.version,
            seat.group.joined,
            found[Topic("messages", self.channel)],
            found[Topic("unread_count", self.channel)],
            found[Topic("unread_status", self.channel)],
            found[Topic("typing", self.channel)],
            found[Topic("visitor", self.channel)],
        )
