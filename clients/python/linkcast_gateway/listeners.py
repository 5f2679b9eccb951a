"""Who listens to one group on this link, and which of them are in which audience. No I/O, no clock.

It guarantees that an audience by members holds nobody who does not listen here, and that expanding one costs what
changed since it was last expanded: its slots are kept, and changed with it. An audience by sessions holds those that
subscribed: members' sessions, which leave it when they are unbound, and *visitors'*, which are bound to nothing.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pyroaring import BitMap

#: The audience that everybody is in who listens to the group here.
EVERYONE = 0


def bits_of(text: str) -> BitMap:
    """The bitmap in a record: the portable roaring format, in base64.

    Raises:
        ValueError: it is none.
    """
    if not text:
        return BitMap()
    data = binascii.a2b_base64(text, strict_mode=True)
    if not data:
        raise ValueError("a bitmap has bytes")
    return BitMap.deserialize(data)


@dataclass(slots=True)
class _Audience:
    """One audience; its slots are known from its first expansion on."""

    version: int
    bits: BitMap
    slots: dict[int, None] | None = None
    _shown: tuple[int, ...] | None = None

    def show(self) -> tuple[int, ...]:
        if self._shown is None:
            self._shown = tuple(self.slots or ())
        return self._shown

    def enter(self, slots: Iterable[int]) -> None:
        if self.slots is not None:
            self.slots.update(dict.fromkeys(slots))
            self._shown = None

    def leave(self, slots: Iterable[int]) -> None:
        if self.slots is not None:
            for slot in slots:
                self.slots.pop(slot, None)
            self._shown = None


@dataclass(slots=True)
class _Subscribers:
    """One audience by sessions."""

    slots: dict[int, None]
    _shown: tuple[int, ...] | None = None

    def show(self) -> tuple[int, ...]:
        if self._shown is None:
            self._shown = tuple(self.slots)
        return self._shown

    def change(self, entered: Iterable[int], left: Iterable[int]) -> None:
        for slot in left:
            self.slots.pop(slot, None)
        self.slots.update(dict.fromkeys(entered))
        self._shown = None


@dataclass(slots=True)
class Listeners:
    """Sessions that listen to one group, as one source tells it.

    Attributes:
        ordinals: of each session that is bound, its member's.
        joined: what these hear of the group's channels unasked.
    """

    ordinals: dict[int, int] = field(default_factory=dict)  # slot -> ordinal
    _slots: dict[int, tuple[int, ...]] = field(default_factory=dict)  # ordinal -> its slots
    _bound: BitMap = field(default_factory=BitMap)  # the ordinals
    _audiences: dict[int, _Audience] = field(default_factory=dict)
    _sessions: dict[int, _Subscribers] = field(default_factory=dict)  # audiences by sessions
    joined: str = "messages"
    _everyone: tuple[int, ...] | None = None

    @property
    def slots(self) -> tuple[int, ...]:
        """Everybody who is bound."""
        if self._everyone is None:
            self._everyone = tuple(self.ordinals)
        return self._everyone

    def slots_of(self, audience: int) -> tuple[int, ...] | None:
        """Who is in an audience; None for one that is not known here."""
        if audience == EVERYONE:
            return self.slots
        if (subscribers := self._sessions.get(audience)) is not None:
            return subscribers.show()
        if (found := self._audiences.get(audience)) is None:
            return None
        if found.slots is None:
            found.slots = dict.fromkeys(self.slots_with(found.bits))
        return found.show()

    @property
    def nobody(self) -> bool:
        """Whether no session is left: none is bound, and none visits."""
        return not self.ordinals and not any(found.slots for found in self._sessions.values())

    def visitors(self) -> tuple[int, ...]:
        """The sessions that subscribed to something and are not bound."""
        subscribed = dict.fromkeys(slot for found in self._sessions.values() for slot in found.slots)
        return tuple(slot for slot in subscribed if slot not in self.ordinals)

    def holds(self, slot: int) -> bool:
        """Whether a session is bound, or visits."""
        return slot in self.ordinals or any(slot in found.slots for found in self._sessions.values())

    def slots_with(self, bits: BitMap) -> tuple[int, ...]:
        """The sessions of these ordinals."""
        return tuple(slot for ordinal in bits & self._bound for slot in self._slots[ordinal])

    def bind(self, ordinals: Sequence[int], slots: Sequence[int], audiences: Sequence[Sequence[int]]) -> bool:
        """Sessions listen from here on, in these audiences; False if one of them was never told."""
        self._everyone = None
        for slot, ordinal in zip(slots, ordinals, strict=False):
            self._bind(slot, ordinal)
        known = True
        for ordinal, named in zip(ordinals, audiences, strict=False):
            for audience in named:
                known = self._put(audience, ordinal) and known
        return known

    def _bind(self, slot: int, ordinal: int) -> None:
        if (before := self.ordinals.get(slot)) == ordinal:
            return
        if before is not None:
            self.unbind([slot])
        others = self._slots.get(ordinal, ())
        self.ordinals[slot] = ordinal
        self._slots[ordinal] = (*others, slot)
        self._bound.add(ordinal)
        if others:  # a further session of this member: where the others are, it is too
            for audience in self._audiences.values():
                if ordinal in audience.bits:
                    audience.enter([slot])

    def _put(self, audience: int, ordinal: int) -> bool:
        if (found := self._audiences.get(audience)) is None:
            return False
        found.bits.add(ordinal)
        found.enter(self._slots[ordinal])
        return True

    def unbind(self, slots: Sequence[int]) -> None:
        """Sessions listen no more. A member without a session here is in no audience."""
        self._everyone = None
        gone = BitMap()
        for slot in slots:
            if (ordinal := self.ordinals.pop(slot, None)) is None:
                continue
            if left := tuple(other for other in self._slots[ordinal] if other != slot):
                self._slots[ordinal] = left
            else:
                del self._slots[ordinal]
                gone.add(ordinal)
        self._bound -= gone
        for audience in self._audiences.values():
            audience.bits -= gone
            audience.leave(slots)
        for subscribers in self._sessions.values():
            if not subscribers.slots.keys().isdisjoint(slots):
                subscribers.change((), slots)

    def tell(self, audience: int, version: int, bits: BitMap) -> None:
        """An audience by members is told, in whole."""
        self._audiences[audience] = _Audience(version, bits & self._bound)

    def tell_sessions(self, audience: int, slots: Iterable[int]) -> None:
        """An audience by sessions is told, in whole."""
        self._sessions[audience] = _Subscribers(dict.fromkeys(slots))

    def change_sessions(self, audience: int, entered: Iterable[int], left: Iterable[int]) -> bool:
        """Sessions enter and leave an audience by sessions; False for what is none."""
        if (found := self._sessions.get(audience)) is None:
            return False
        found.change(entered, left)
        return True

    def end_sessions(self, audience: int) -> bool:
        """An audience by sessions is used no more; False for what is none."""
        return self._sessions.pop(audience, None) is not None

    def change(self, audience: int, version: int, entered: BitMap, left: BitMap) -> tuple[int, BitMap] | None:
        """Members enter and leave an audience.

        Returns:
            Its version before, and who did not see before what it hears, or did and does no more; None for an audience
            that is not known here.
        """
        if (found := self._audiences.get(audience)) is None:
            return None
        before, found.version = found.version, version
        gone = left & found.bits
        new = (entered & self._bound) - found.bits
        found.bits -= gone
        found.bits |= new
        found.leave(self.slots_with(gone))
        found.enter(self.slots_with(new))
        return before, gone | new

    def end(self, audience: int) -> tuple[int, BitMap] | None:
        """An audience is used no more: its version before, and who was in it; None for one that is not known here."""
        if (found := self._audiences.pop(audience, None)) is None:
            return None
        return found.version, found.bits
