"""The messages of a channel, from the nearest place that has them; who asks can't tell which.

The owner's memory says how far the channel goes and has the newest messages; then Redis, then Cassandra. What none of
them has stands in `history` above the watermark, which is noted *before* Cassandra is asked: whatever was below it then
is in Cassandra, whatever was not is read from the topic. So a hole is never shown: a page is whole, or it is refused.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final, NamedTuple, Protocol

from streams.sinks.patience import AwayError
from streams.web.pages import ChannelId, Page, Window
from streams.web.problems import ProblemError
from streams.web.tokens import Claims
from topics.keys import key_of, partition_of

log = logging.getLogger(__name__)

#: Where a page's messages come from, in this order.
TIERS: Final = ("memory", "redis", "cassandra", "history")


class Recent(NamedTuple):
    """What the owner's memory has.

    Attributes:
        head: the channel's newest seq; 0 if it has none.
        entries: encoded messages by seq, those of the window that are in memory.
        floor: messages up to this seq belong to earlier lives of the group, and are nobody's to see.
    """

    head: int
    entries: dict[int, bytes]
    floor: int = 0


class Owners(Protocol):
    """Asks the owner of a group."""

    async def recent(self, channel: ChannelId, window: Window, asker: Claims) -> Recent:
        """What its memory has; raises ProblemError where there is no such channel for this asker, or no owner."""


class Tier(Protocol):
    """A store of messages."""

    async def read(self, app: str, group: str, channel: str, low: int, high: int) -> dict[int, bytes]:
        """Those it has between two seqs, both included; raises AwayError."""


class Tail(Protocol):
    """`history` from an offset on."""

    async def read(
        self, partition: int, offset: int | None, channel: ChannelId, low: int, high: int
    ) -> dict[int, bytes]:
        """Those it has between two seqs, from `offset` (None: its beginning) on; raises AwayError."""


class Watermarks(Protocol):
    """How far history is stored."""

    def offset(self, partition: int) -> int | None:
        """The first offset that may not be stored; None: nothing is; raises AwayError while that is not known."""


class Pulled(NamedTuple):
    """The answer.

    Attributes:
        messages: encoded, by seq, without a hole.
        head: the channel's newest seq; 0 if it has none.
        first: the oldest seq that can be pulled; 0 if there is none.
        more: there are further ones in the direction asked.
    """

    messages: list[bytes]
    head: int
    first: int
    more: bool


class MessageReader:
    """Reads pages of channels."""

    def __init__(
        self, partitions: int, owners: Owners, cache: Tier, table: Tier, tail: Tail, watermarks: Watermarks
    ) -> None:
        self._partitions = partitions
        self._owners = owners
        self.asked: Counter[tuple[str, bool]] = Counter()  #: (tier, whether the page was whole after it)
        self._stores = (("redis", cache), ("cassandra", table))
        self._tail = tail
        self._watermarks = watermarks

    async def page(self, channel: ChannelId, window: Window, asker: Claims) -> Pulled:
        """The messages of a window.

        Raises:
            ProblemError: unknown_group, owner_unknown, not_stored_yet.
        """
        recent = await self._owners.recent(channel, window, asker)
        page = Page(channel, window.span(recent.head, recent.floor))
        self._add("memory", page, recent.entries)
        if page.gap() is not None:
            await self._fill(page, partition_of(key_of(channel.app, channel.group), self._partitions))
        first = recent.floor + 1 if recent.head > recent.floor else 0
        more = window.more(page.span, recent.head, recent.floor)
        return Pulled(page.messages(), recent.head, first, more)

    def _add(self, tier: str, page: Page, found: dict[int, bytes]) -> None:
        page.add(found)
        self.asked[tier, page.gap() is None] += 1

    async def _fill(self, page: Page, partition: int) -> None:
        try:
            watermark, away = self._watermarks.offset(partition), ""
        except AwayError as error:
            watermark, away = None, str(error)
        troubles = [away] if away else []
        for tier, store in self._stores:
            if (gap := page.gap()) is None:
                return
            try:
                self._add(tier, page, await store.read(*page.channel, *gap))
            except AwayError as error:
                troubles.append(str(error))
        if (gap := page.gap()) is not None and not away:
            try:
                self._add("history", page, await self._tail.read(partition, watermark, page.channel, *gap))
            except AwayError as error:
                troubles.append(str(error))
        if (gap := page.gap()) is not None:
            log.info("%s: %d to %d are in no store yet: %s", page.channel, *gap, "; ".join(troubles) or "all answer")
            raise ProblemError("not_stored_yet", f"from {gap[0]} to {gap[1]}")
