"""Sends that wait for their answers. No I/O, no clock."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from linkcast_gateway.wire import Accepted, Answer, Refused


class Ask(NamedTuple):
    """What an answer is known by."""

    slot: int
    group: str
    client_id: str


class Asks:
    """Who waits for what answer of one registration."""

    def __init__(self) -> None:
        self._waiting: dict[Ask, asyncio.Future[Accepted | Refused]] = {}

    def answer(self, ask: Ask) -> asyncio.Future[Accepted | Refused]:
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
        if not isinstance(answer, Accepted | Refused) or answer.group is None or answer.client_id is None:
            return False
        future = self._waiting.pop(Ask(slot, answer.group, answer.client_id), None)
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
