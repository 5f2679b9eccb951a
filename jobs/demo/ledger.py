"""What the sessions of one link know of channels: whether each message reached them, or a notice that covers it did.

A message that is not the next one leaves a hole: the ones between must be covered by a notice, or by a head, which say
that there are new messages up to a seq. A session that pulls (it begins to listen, comes to the foreground) owes no
account of what was before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

#: A group and its channel.
Channel = tuple[str, str]


class Ledger:
    """The sessions of one link, by slot."""

    def __init__(self) -> None:
        self._upto: dict[Channel, dict[int, int]] = {}  # what each session heard of or pulled
        self._holes: dict[tuple[Channel, int], int] = {}  # what it has yet to hear of, up to a seq

    def begins(self, group: str, heads: Iterable[tuple[str, int]], slots: Sequence[int]) -> None:
        """Sessions begin to listen, and pull up to the heads."""
        for channel, seq in heads:
            self._upto.setdefault((group, channel), {}).update(dict.fromkeys(slots, seq))
            for slot in slots:
                self._holes.pop(((group, channel), slot), None)

    def pulls(self, slots: Iterable[int]) -> None:
        """Sessions pull whatever they show."""
        for slot in slots:
            for upto in self._upto.values():
                upto.pop(slot, None)
            self._forget(slot)

    def message(self, group: str, channel: str, numbers: tuple[int, int], slots: Iterable[int]) -> None:
        """A message with its seq, and the one before it, reached sessions."""
        seq, prev = numbers
        of = group, channel
        upto = self._upto.setdefault(of, {})
        for slot in slots:
            known = upto.get(slot, prev)
            if known < prev:
                self._holes[of, slot] = prev
            if known < seq:
                upto[slot] = seq

    def notice(self, group: str, channel: str, seq: int, slots: Iterable[int]) -> None:
        """Sessions were told that there are messages up to this seq."""
        of = group, channel
        upto = self._upto.setdefault(of, {})
        for slot in slots:
            upto[slot] = max(upto.get(slot, 0), seq)
            if self._holes.get((of, slot), seq + 1) <= seq:
                del self._holes[of, slot]

    def ends(self, group: str, slots: Iterable[int]) -> None:
        """Sessions listen to the group no more."""
        gone = set(slots)
        for of, upto in self._upto.items():
            if of[0] == group:
                for slot in gone:
                    upto.pop(slot, None)
                    self._holes.pop((of, slot), None)

    def clear(self) -> None:
        """All sessions are gone."""
        self._upto.clear()
        self._holes.clear()

    def missed(self, newest: Mapping[Channel, int]) -> Iterator[str]:
        """What sessions neither heard nor heard of, in words.

        Args:
            newest: the last seq of channels that every member hears or hears of.
        """
        for ((group, channel), slot), seq in self._holes.items():
            yield f"session {slot} lacks messages of {group}/{channel} up to {seq}"
        for of, seq in newest.items():
            for slot, upto in self._upto.get(of, {}).items():
                if upto < seq:
                    yield f"session {slot} knows {of[0]}/{of[1]} up to {upto} of {seq}"

    def _forget(self, slot: int) -> None:
        for key in [key for key in self._holes if key[1] == slot]:
            del self._holes[key]
