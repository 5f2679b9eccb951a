"""What sessions on one link were told that they hear of one group because they asked for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from topics.subscriptions import Level, Wanted

#: A level, and of which channel.
Want = tuple[Level, str | None]


@dataclass(slots=True)
class Wants:
    """By session, since when what is in force; and what is so no more.

    Answers travel ahead of the batch's other lots. So what one takes back may still be named by what was decided before
    it in the same batch, and what one gives is not yet due there: whoever asks says since when it must have been known.
    """

    _of: dict[int, dict[Want, int]] = field(default_factory=dict)
    _ended: dict[int, dict[Want, int]] = field(default_factory=dict)
    _slots: dict[Want, set[int]] = field(default_factory=dict)
    _last: dict[int, list[Wanted]] = field(default_factory=dict)  # of those that ended: what they heard till then
    _may: dict[int, set[Want]] = field(default_factory=dict)  # what they may hear, or not

    def tell(self, slot: int, wanted: Iterable[Wanted], at_ms: int) -> None:
        """A session is told all that it hears because it asked for it."""
        now = {(one.level, one.channel) for one in wanted}
        before = self._of.get(slot, {})
        for want in set(before) - now:
            self.end(slot, want, at_ms)
        held = self._of.setdefault(slot, {})
        for want in now - set(before):
            held[want] = at_ms
            self._slots.setdefault(want, set()).add(slot)

    def end(self, slot: int, want: Want, at_ms: int) -> None:
        """One thing is in force no more."""
        if self._of.get(slot, {}).pop(want, None) is not None:
            self._ended.setdefault(slot, {})[want] = at_ms
            self._slots[want].discard(slot)

    def doubt(self, slot: int, want: Want, at_ms: int) -> None:
        """One thing may be in force, or not: sight was lost at about the time when it was asked for."""
        self.end(slot, want, at_ms)
        self._may.setdefault(slot, set()).add(want)

    def drop(self, slot: int, at_ms: int) -> None:
        """A session ended here, or left the group."""
        self._last[slot] = self.of(slot)
        for want in list(self._of.get(slot, ())):
            self.end(slot, want, at_ms)

    def of(self, slot: int) -> list[Wanted]:
        """What a session hears, or heard till it ended."""
        held = [Wanted(level, channel) for level, channel in self._of.get(slot, ())]
        return held or self._last.get(slot, [])

    def since(self, slot: int, want: Want) -> int | None:
        """Since when something is in force."""
        return self._of.get(slot, {}).get(want)

    def slots(self, want: Want) -> Iterator[int]:
        """The sessions that hear something."""
        return iter(sorted(self._slots.get(want, ())))

    def may(self, slot: int, wants: Iterable[Want], by_ms: int) -> bool:
        """Whether a session heard one of these, at `by_ms` or later."""
        held, ended, may = self._of.get(slot, {}), self._ended.get(slot, {}), self._may.get(slot, ())
        return any(want in held or want in may or ended.get(want, -1) >= by_ms for want in wants)

    def any(self, slot: int, by_ms: int) -> bool:
        """Whether a session heard anything of the group that it asked for, at `by_ms` or later."""
        return bool(self._of.get(slot) or self._may.get(slot)) or any(
            ms >= by_ms for ms in self._ended.get(slot, {}).values()
        )
