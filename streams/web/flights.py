"""Equal questions of one asker, asked while one of them is under way, share its answer.

A reader that refreshes what it holds of a Link map from many places at once, as after a hint, costs one answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any


class Flights:
    """The questions that are under way."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[bytes]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._under_way)

    async def share(self, question: Hashable, answer: Coroutine[Any, Any, bytes]) -> bytes:
        """The answer, or that of an equal question under way. One that gives up waiting takes it from no other."""
        flight = self._under_way.get(question)
        if flight is None:
            flight = self._under_way[question] = asyncio.create_task(answer)
            flight.add_done_callback(lambda done: self._landed(question, done))
        else:
            answer.close()
        return await asyncio.shield(flight)

    def _landed(self, question: Hashable, done: asyncio.Task[bytes]) -> None:
        del self._under_way[question]
        if not done.cancelled():
            done.exception()  # all who waited may have given up
