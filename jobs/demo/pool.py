"""A set that one can draw from, the same for the same random numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random


class Pool:
    """A set one can draw from."""

    def __init__(self, things: Iterable[str] = ()) -> None:
        self._things: list[str] = []
        self._at: dict[str, int] = {}
        for thing in things:
            self.add(thing)

    def add(self, thing: str) -> None:
        """Put one in."""
        if thing not in self._at:
            self._at[thing] = len(self._things)
            self._things.append(thing)

    def discard(self, thing: str) -> None:
        """Take one out."""
        if (at := self._at.pop(thing, None)) is not None:
            last = self._things.pop()
            if at < len(self._things):
                self._things[at] = last
                self._at[last] = at

    def draw(self, random: Random) -> str:
        """Any one of them; it stays in."""
        return random.choice(self._things)

    def __contains__(self, thing: str) -> bool:
        return thing in self._at

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._things)
