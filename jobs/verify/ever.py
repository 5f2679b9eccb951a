"""Values and sets of names that can be asked for at any version of a group."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ever(Generic[T]):
    """A value, now and at every earlier version."""

    __slots__ = ("_since", "_values")

    def __init__(self, value: T) -> None:
        self._since = [0]
        self._values = [value]

    def set(self, version: int, value: T) -> None:
        """So from this version on."""
        self._since.append(version)
        self._values.append(value)

    def at(self, version: int) -> T:
        """How it was at a version."""
        return self._values[bisect_right(self._since, version) - 1]

    @property
    def now(self) -> T:
        """How it is after the last event."""
        return self._values[-1]


class Names:
    """A set of names, now and at every earlier version.

    Attributes:
        now: the names after the last event.
    """

    __slots__ = ("_turns", "now")

    def __init__(self) -> None:
        self.now: set[str] = set()
        self._turns: dict[str, tuple[int, ...]] = {}  # versions at which a name came and went, by turns

    def add(self, version: int, names: Iterable[str]) -> None:
        """They are in it from this version on."""
        for name in names:
            if name not in self.now:
                self.now.add(name)
                self._turns[name] = (*self._turns.get(name, ()), version)

    def remove(self, version: int, names: Collection[str]) -> None:
        """They are in it no more."""
        for name in names if len(names) < len(self.now) else [one for one in self.now if one in names]:
            if name in self.now:
                self.now.discard(name)
                self._turns[name] = (*self._turns[name], version)

    def has(self, name: str, version: int) -> bool:
        """Whether a name was in it at a version."""
        turns = self._turns.get(name)
        return turns is not None and bisect_right(turns, version) % 2 == 1

    def at(self, version: int) -> Iterator[str]:
        """All names at a version. O(all that ever were)."""
        return (name for name in self._turns if self.has(name, version))
