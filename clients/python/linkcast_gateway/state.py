"""What one registration of a link knows: which sessions listen to which group; and what follows from a record.

No I/O, no clock: records and moments go in, events come out. It guarantees that an event names exactly the sessions
that its source had bound when it wrote the entry: once a lot of a source is lost, that source is ignored, and
asked, until it tells everything anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from linkcast_gateway.wire import (
    Accepted,
    Answer,
    Applied,
    Bound,
    Entry,
    Group,
    Head,
    Lot,
    Message,
    Refused,
    Signal,
    Unbound,
    Void,
)

#: A source that was asked to begin anew and did not is asked again after this.
RESYNC_AGAIN_MS: Final = 5_000
#: A source that has just begun anew is not asked at once again: what is not understood must not become a storm.
RESYNC_PAUSE_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message, a signal or a head, for these sessions."""

    group: Group
    entry: Message | Signal | Head
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Live:
    """These sessions hear the group from here on; their first pull begins now, and reaches at least to `heads`."""

    group: Group
    slots: tuple[int, ...]
    heads: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Gone:
    """These sessions hear the group no more."""

    group: Group
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A source begins anew: whoever is still bound becomes live again by what follows, and pulls what was lost."""

    source: int
    bindings: Mapping[Group, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer for one session."""

    slot: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class Resync:
    """Ask this source to begin anew. `have` is the number of the last lot applied."""

    source: int
    have: int


@dataclass(frozen=True, slots=True)
class Closed:
    """This registration is dead: close every connection, register anew."""

    epoch: int


Event = Deliver | Live | Gone | Forgotten | Answered | Resync | Closed


@dataclass(slots=True)
class _Binding:
    """Who listens to one group here. `slots` is made anew when it is next needed after a change."""

    ordinals: dict[int, int] = field(default_factory=dict)  # slot -> ordinal
    _slots: tuple[int, ...] | None = None

    @property
    def slots(self) -> tuple[int, ...]:
        if self._slots is None:
            self._slots = tuple(self.ordinals)
        return self._slots

    def add(self, entry: Bound) -> None:
        self.ordinals.update(zip(entry.slots, entry.ordinals, strict=False))
        self._slots = None

    def drop(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self.ordinals.pop(slot, None)
        self._slots = None


@dataclass(slots=True)
class _Source:
    """One groups partition, as this registration hears it."""

    have: int = 0
    trusted: bool = True  # False: ignored until it begins anew
    ask_ms: int = 0  # not asked before this
    groups: dict[Group, _Binding] = field(default_factory=dict)


class LinkState:
    """One registration of one link.

    Args:
        link: the link's id.
        epoch: the registration.
    """

    def __init__(self, link: str, epoch: int) -> None:
        self.link = link
        self.epoch = epoch
        self.closed = False
        self._sources: dict[int, _Source] = {}

    @property
    def lots(self) -> int:
        """How many lots this registration got, the lost ones among them."""
        return sum(source.have for source in self._sources.values())

    def feed(self, record: Lot | Void, now_ms: int) -> list[Event]:
        """Apply a record of `deliveries`, in the order of its partition.

        Args:
            record: as read.
            now_ms: a clock that never goes back; only differences count.
        """
        if self.closed or record.link != self.link:
            return []
        if isinstance(record, Void):
            if record.epoch < self.epoch:
                return []
            self.closed = True
            return [Closed(self.epoch)]
        if record.epoch != self.epoch:
            return []
        return self._lot(record, now_ms)

    def tick(self, now_ms: int) -> list[Resync]:
        """Ask the sources that are ignored and due to be asked, or asked again. Call it every second or so."""
        due = []
        for number, source in self._sources.items():
            if not source.trusted and now_ms >= source.ask_ms:
                source.ask_ms = now_ms + RESYNC_AGAIN_MS
                due.append(Resync(number, source.have))
        return due

    def resync(self, number: int, now_ms: int) -> list[Resync]:
        """Distrust a source: ignore it until it begins anew, and ask it to, now or with a later tick."""
        source = self._sources.setdefault(number, _Source())
        if not source.trusted:
            return []
        source.trusted = False
        if now_ms < source.ask_ms:
            return []
        source.ask_ms = now_ms + RESYNC_AGAIN_MS
        return [Resync(number, source.have)]

    def slots_of(self, group: Group) -> tuple[int, ...]:
        """Who listens to a group here."""
        for source in self._sources.values():
            if (binding := source.groups.get(group)) is not None:
                return binding.slots
        return ()

    def bindings(self) -> dict[Group, tuple[int, ...]]:
        """Who listens to what here: every group that anybody listens to."""
        return {group: binding.slots for source in self._sources.values() for group, binding in source.groups.items()}

    def _lot(self, lot: Lot, now_ms: int) -> list[Event]:
        source = self._sources.setdefault(lot.source, _Source())
        if lot.number <= source.have:
            return []
        events: list[Event] = []
        if lot.reset:
            forgotten = {group: binding.slots for group, binding in source.groups.items()}
            events.append(Forgotten(lot.source, forgotten))
            source.groups = {}
            source.trusted = True
            source.ask_ms = now_ms + RESYNC_PAUSE_MS
        elif not source.trusted:
            return []
        elif lot.number != source.have + 1:
            return [*self.resync(lot.source, now_ms)]
        source.have = lot.number
        for entry in lot.entries:
            if not self._entry(source, entry, events):
                return [*events, *self.resync(lot.source, now_ms)]
        return events

    def _entry(self, source: _Source, entry: Entry, events: list[Event]) -> bool:
        """Apply one entry; False if it shows that the source is not known rightly."""
        match entry:
            case Message() | Signal() | Head():
                return _deliver(source, entry, events)
            case Bound():
                group = Group(entry.app, entry.group)
                source.groups.setdefault(group, _Binding()).add(entry)
                events.append(Live(group, tuple(entry.slots), tuple(entry.heads)))
            case Unbound():
                group = Group(entry.app, entry.group)
                if (binding := source.groups.get(group)) is not None:
                    binding.drop(entry.slots)
                    if not binding.ordinals:
                        del source.groups[group]
                events.append(Gone(group, tuple(entry.slots)))
            case Accepted() | Refused() | Applied():
                if entry.slot is not None:
                    events.append(Answered(entry.slot, entry))
        return True


def _deliver(source: _Source, entry: Message | Signal | Head, events: list[Event]) -> bool:
    """Expand an entry to its sessions.

    An audience not known here, or a group that nobody is known to listen to, means that something was missed.
    """
    group = Group(entry.app, entry.group)
    if (binding := source.groups.get(group)) is None:
        return False
    if not isinstance(entry, Head) and entry.audience != 0:
        return False
    events.append(Deliver(group, entry, binding.slots))
    return True
