"""What a client holds of one channel: which messages come next, and what lies in a hole. No I/O, no clock.

Messages leave it in the order of seq, each once. After a hole they wait, a bounded number of them, until a pull has
filled it: what does not fit is pulled later as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from linkcast_gateway.wire import Message

#: Messages that wait behind a hole; further ones are forgotten and pulled.
WAITING_MESSAGES: Final = 1_000


class Timeline:
    """One client's channel.

    Args:
        last: the seq of the newest message that the client has; 0 if it has none.
    """

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self._head = last
        self._waiting: dict[int, Message] = {}  # by the seq before it

    @property
    def behind(self) -> bool:
        """Whether something is missing: pull the messages after `last`."""
        return self._head > self.last

    def heard(self, head: int) -> None:
        """The channel is as far as this: told by `heads`, by a head, or by an answer."""
        self._head = max(self._head, head)

    def push(self, message: Message) -> list[Message]:
        """A message was delivered; gives those that may be shown now, in order."""
        self.heard(message.seq)
        if message.seq <= self.last:
            return []
        if message.prev <= self.last:
            return self._next(message)
        if len(self._waiting) < WAITING_MESSAGES:
            self._waiting[message.prev] = message
        return []

    def pulled(self, messages: Iterable[Message]) -> list[Message]:
        """Messages that a view gave for `after=last`, in the order of seq; gives those that may be shown now."""
        shown: list[Message] = []
        for message in messages:
            if message.seq > self.last:
                shown += self._next(message)
        return shown

    def _next(self, message: Message) -> list[Message]:
        """One that follows what is held, and all that waited for it."""
        shown = [message]
        self._head = max(self._head, message.seq)
        self.last = message.seq
        while (waiting := self._waiting.pop(self.last, None)) is not None:
            shown.append(waiting)
            self.last = waiting.seq
        if self._waiting:
            self._waiting = {prev: waiting for prev, waiting in self._waiting.items() if waiting.seq > self.last}
        return shown
