"""A page of a channel's messages, gathered from wherever they are: either exactly right or known to be incomplete.

seqs are dense and each message names the one before, so what is wanted is known from the head alone, and anything that
does not fit there (a stale or foreign entry of a cache) is as good as missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from topics.wire import Id


class ChannelId(NamedTuple):
    """Which channel."""

    app: Id
    group: Id
    channel: Id


@dataclass(frozen=True, slots=True)
class Window:
    """Which messages are asked for.

    Attributes:
        limit: at most so many.
        before: the newest ones below this seq; None, with `after` None too: the newest of all.
        after: the oldest ones above this seq.
    """

    limit: int
    before: int | None = None
    after: int | None = None

    def span(self, head: int, floor: int = 0) -> range:
        """The seqs it means in a channel whose messages are those above `floor`, up to `head`."""
        if self.after is not None:
            after = max(self.after, floor)
            return range(after + 1, min(after + self.limit, head) + 1)
        end = head + 1 if self.before is None else min(self.before, head + 1)
        return range(max(floor + 1, end - self.limit), end)

    def more(self, span: range, head: int, floor: int = 0) -> bool:
        """Are there further messages beyond `span` in the direction asked?"""
        return span.stop <= head if self.after is not None else span.start > floor + 1


class _Header(msgspec.Struct, gc=False):
    a: str
    g: str
    c: str
    s: int
    p: int


_decode_header = msgspec.json.Decoder(_Header).decode


@dataclass(slots=True)
class Page:
    """The messages of a span, as far as they were found.

    Attributes:
        channel: whose.
        span: the seqs wanted.
        found: encoded messages by seq.
    """

    channel: ChannelId
    span: range
    found: dict[int, bytes] = field(default_factory=dict)

    def add(self, entries: Mapping[int, bytes]) -> None:
        """Take what is wanted and fits."""
        for seq, encoded in entries.items():
            if seq in self.span and seq not in self.found and self._fits(seq, encoded):
                self.found[seq] = encoded

    def gap(self) -> tuple[int, int] | None:
        """The lowest and the highest seq still missing; None when it is whole."""
        missing = [seq for seq in self.span if seq not in self.found]
        return (missing[0], missing[-1]) if missing else None

    def messages(self) -> list[bytes]:
        """The messages found, by seq."""
        return [self.found[seq] for seq in self.span if seq in self.found]

    def _fits(self, seq: int, encoded: bytes) -> bool:
        try:
            header = _decode_header(encoded)
        except msgspec.DecodeError:
            return False
        return (header.a, header.g, header.c, header.s, header.p) == (*self.channel, seq, seq - 1)
