"""Sends and commands that wait for their answers. No I/O, no clock."""

from __future__ import annotations

import asyncio
from typing import Literal, NamedTuple

from linkcast_gateway.wire import Accepted, Answer, Applied, Done, Refused


class Ask(NamedTuple):
    """What an answer is known by.

    Attributes:
        slot: whose session asked.
        group: which group; empty for what is about the user.
        kind: a send is named by its client id, a command by its request.
        name: that name.
    """

    slot: int
    group: str
    kind: Literal["send", "command"]
    name: str


class Asks:
    """Who waits for what answer of one registration."""

    def __init__(self) -> None:
        self._waiting: dict[Ask, asyncio.Future[Answer]] = {}

    def answer(self, ask: Ask) -> asyncio.Future[Answer]:
        """The answer to come; two who wait for the same one get the same future."""
        found = self._waiting.get(ask)
        if found is None:
            found = self._waiting[ask] = asyncio.get_running_loop().create_future()
        return found

    def forget(self, ask: Ask) -> None:
        """Nobody waits any more."""
        if (future := self._waiting.pop(ask, None)) is not None:
            future.cancel()

    def answered(self, slot: int, answer: Answer) -> bool:
        """Hand an answer to who waits for it; False if nobody does."""
        ask = _ask_of(slot, answer)
        future = self._waiting.pop(ask, None) if ask is not None else None
        if future is None or future.done():
            return False
        future.set_result(answer)
        return True

    def end(self, error: Exception) -> None:
        """The registration is dead: nobody is answered any more."""
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever still waits hears of it; whoever does not is not missed


def _ask_of(slot: int, answer: Answer) -> Ask | None:
    match answer:
        case Accepted(group=group, client_id=name) | Refused(group=str() as group, client_id=str() as name):
            return Ask(slot, group, "send", name)
        case Applied(group=group, request=str() as name) | Refused(group=str() as group, request=str() as name):
            return Ask(slot, group, "command", name)
        case Done(request=str() as name) | Refused(group=None, request=str() as name):
            return Ask(slot, "", "command", name)
    return None
