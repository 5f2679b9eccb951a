"""New messages that sessions hear of by notices: counted by channel, and told merged.

Kept apart by whom a notice is for: those who count unread messages, and those who want to know only whether there are
any, whose windows are longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tables import keys
from tables.rows import Rows
from tables.windows import Windows
from topics.deliveries import Mode

if TYPE_CHECKING:
    from tables.outbox import Outlet


class _Row(msgspec.Struct, array_like=True):
    count: int
    background: bool
    mode: Mode | None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Row).decode


class Unread:
    """The new messages of one channel that are to be told.

    Attributes:
        due_ms: when they are.
        count: how many there are.
        background: whether sessions in the background are to be told.
        mode: why all others are, but those who show the channel; None: they got the messages.
        slow: links that don't keep up: there it is so for them.
    """

    __slots__ = ("background", "count", "due_ms", "mode", "slow")

    def __init__(self, due_ms: int) -> None:
        self.due_ms = due_ms
        self.count = 0
        self.background = False
        self.mode: Mode | None = None
        self.slow: dict[Outlet, None] = {}

    def row(self) -> bytes:
        """As it is stored. Which links were slow is not: a take-over tells all."""
        return _encode(_Row(self.count, self.background, "slow" if self.slow and self.mode is None else self.mode))


def _load(stored: bytes) -> Unread:
    row = _decode(stored)
    unread = Unread(0)
    unread.count, unread.background, unread.mode = row.count, row.background, row.mode
    return unread


class Unreads(Windows[Unread]):
    """The channels of one partition with new messages to be told by notices, to those of one level."""

    def __init__(self, rows: Rows, level: bytes) -> None:
        super().__init__(rows, keys.name(keys.UNREAD, level), _load)

    def of(self, group: bytes, channel: str, now_ms: int) -> Unread:
        """What of a channel is to be told, to be added to."""
        return self.waiting(keys.name(b"", group) + channel.encode(), now_ms, Unread)


def channel_of(key: bytes) -> tuple[str, str, str]:
    """The app, the group and the channel of something that is due."""
    group, _, channel = key.decode().partition("\0")
    app, _, name = group.partition(":")
    return app, name, channel
