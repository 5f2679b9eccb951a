"""New messages that a session hears of by notices: each has to be covered by one, unless something came between."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from jobs.verify.findings import Findings
from topics.messages import Message


@dataclass(slots=True)
class Due:
    """What is due to one session of one channel.

    Attributes:
        first_ms: when the first message was kept that no notice covers.
        last: the last of them.
        last_ms: when that one was kept.
        push: each was to come as itself, unless there were too many of them, or the link was slow.
    """

    first_ms: int
    last: Message
    last_ms: int
    push: bool


class Missed(NamedTuple):
    """A session was never told of messages up to this one."""

    slot: int
    due: Due


@dataclass(slots=True)
class Owed:
    """The notices of one channel to one link."""

    _due: dict[int, Due] = field(default_factory=dict)

    def owe(self, slots: Iterable[int], message: Message, kept_ms: int, *, push: bool = False) -> None:
        """These sessions have to be told that there is this message."""
        for slot in slots:
            if (due := self._due.get(slot)) is None:
                self._due[slot] = Due(kept_ms, message, kept_ms, push)
            else:
                due.last, due.last_ms, due.push = message, kept_ms, due.push and push

    def cover(self, slots: Iterable[int], seq: int) -> Iterator[tuple[int, Due]]:
        """A notice tells these sessions of all up to `seq`; gives each and what it waited for."""
        for slot in slots:
            if (due := self._due.get(slot)) is not None and seq >= due.last.seq:
                del self._due[slot]
                yield slot, due

    def left(self) -> Iterator[Missed]:
        """What nobody was told."""
        return (Missed(slot, due) for slot, due in self._due.items())


@dataclass(slots=True)
class Turns:
    """When something changed for a session, so that a notice which was on its way may rightly have gone elsewhere."""

    _of: dict[int, list[int]] = field(default_factory=dict)
    _all: list[int] = field(default_factory=list)

    def turn(self, slot: int, at_ms: int) -> None:
        """It changed for one session."""
        self._of.setdefault(slot, []).append(at_ms)

    def turn_all(self, at_ms: int) -> None:
        """It changed for all."""
        self._all.append(at_ms)

    def between(self, slot: int, from_ms: int, to_ms: int) -> bool:
        """Whether anything changed for a session between two moments."""
        return any(
            at < len(turns) and turns[at] <= to_ms
            for turns in (self._of.get(slot, []), self._all)
            for at in [bisect_left(turns, from_ms)]
        )


class Notices:
    """How often notices come to one link: each channel's within a window are one.

    Args:
        findings: where what is wrong goes.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._told: dict[tuple[object, ...], list[int]] = {}  # first ms, last ms, how many, the last seq

    def tell(self, key: tuple[object, ...], seq: int, count: int, at_ms: int, where: str, *, status: bool) -> None:
        """A notice of this kind: how far, and how many there were since the last."""
        told = self._told.setdefault(key, [at_ms, at_ms, 0, 0])
        since = seq - told[3]
        if seq <= told[3]:
            self._findings.add("unread_order", f"{where}: up to {seq}, after {told[3]}")
        elif count != 1 if status else not 1 <= count <= since:
            self._findings.add("unread_count", f"{where}: {count}, after {told[3]} up to {seq}")
        told[1], told[2], told[3] = at_ms, told[2] + 1, max(seq, told[3])

    def close(self, window_ms: Callable[[tuple[object, ...]], int], where: str) -> None:
        """No more come: on the whole they came no more often than the window allows."""
        for key, (first_ms, last_ms, count, _) in self._told.items():
            if (count - 1 - _TAKE_OVERS) * window_ms(key) > last_ms - first_ms + _LATE_MS:
                told = f"{count} in {last_ms - first_ms} ms"
                self._findings.add("unread_often", f"{where}: {told} of {key}")


_TAKE_OVERS = 2  # a new owner of the partition does not know what was told a moment ago: it tells at once
_LATE_MS = 2_000  # by so much a first notice may have come later than the last one
