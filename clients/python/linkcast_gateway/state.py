"""What one registration of a link knows: which sessions listen to which group; and what follows from a record.

No I/O, no clock: records and moments go in, events come out. It guarantees that an event names exactly the sessions
that its source had bound, and in the entry's audience, when it wrote the entry: once a lot of a source is lost, that
source is ignored, and asked, until it tells everything anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pyroaring import BitMap

from linkcast_gateway.listeners import Listeners, bits_of
from linkcast_gateway.wire import (
    Accepted,
    Answer,
    Applied,
    AudienceDelta,
    AudienceSet,
    Bound,
    Changed,
    Entry,
    Group,
    Head,
    Lot,
    Message,
    Notice,
    NoticeLot,
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
    """A message, a signal, a head, or a hint that the group changed, for these sessions."""

    group: Group
    entry: Message | Signal | Head | Changed
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Noticed:
    """A notice to a person, for this person's sessions."""

    app: str
    user: str
    notice: Notice
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


Event = Deliver | Noticed | Live | Gone | Forgotten | Answered | Resync | Closed


@dataclass(slots=True)
class _Flips:
    """Who sees other channels of a group than before, by the audiences that one lot changed."""

    since: int
    version: int
    ordinals: BitMap


@dataclass(slots=True)
class _Source:
    """One groups partition, as this registration hears it."""

    have: int = 0
    trusted: bool = True  # False: ignored until it begins anew
    ask_ms: int = 0  # not asked before this
    groups: dict[Group, Listeners] = field(default_factory=dict)


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

    def feed(self, record: Lot | NoticeLot | Void, now_ms: int) -> list[Event]:
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
        if isinstance(record, NoticeLot):
            return [Noticed(one.app, one.user, one.notice, tuple(one.slots)) for one in record.entries]
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
            if (listeners := source.groups.get(group)) is not None:
                return listeners.slots
        return ()

    def bindings(self) -> dict[Group, tuple[int, ...]]:
        """Who listens to what here: every group that anybody listens to."""
        return {
            group: listeners.slots for source in self._sources.values() for group, listeners in source.groups.items()
        }

    def audience_of(self, group: Group, audience: int) -> tuple[int, ...] | None:
        """Who is in an audience of a group here; None for one that is not known."""
        for source in self._sources.values():
            if (listeners := source.groups.get(group)) is not None:
                return listeners.slots_of(audience)
        return None

    def _lot(self, lot: Lot, now_ms: int) -> list[Event]:
        source = self._sources.setdefault(lot.source, _Source())
        if lot.number <= source.have:
            return []
        events: list[Event] = []
        if lot.reset:
            forgotten = {group: listeners.slots for group, listeners in source.groups.items()}
            events.append(Forgotten(lot.source, forgotten))
            source.groups = {}
            source.trusted = True
            source.ask_ms = now_ms + RESYNC_PAUSE_MS
        elif not source.trusted:
            return []
        elif lot.number != source.have + 1:
            return [*self.resync(lot.source, now_ms)]
        source.have = lot.number
        flips: dict[Group, _Flips] = {}
        understood = all(_apply(source, entry, events, flips) for entry in lot.entries)
        events += [Deliver(group, *_seen(source, group, flip)) for group, flip in flips.items()]
        return events if understood else [*events, *self.resync(lot.source, now_ms)]


def _apply(source: _Source, entry: Entry, events: list[Event], flips: dict[Group, _Flips]) -> bool:
    """Apply one entry; False if it shows that the source is not known rightly."""
    match entry:
        case Message() | Signal() | Head():
            return _deliver(source, entry, events)
        case Bound() | Unbound():
            return _listen(source, entry, events)
        case AudienceSet() | AudienceDelta():
            try:
                return _audience(source, entry, flips)
            except ValueError:  # no bitmap
                return False
        case Changed():
            return _changed(source, entry, events)
        case Accepted() | Refused() | Applied():
            if entry.slot is not None:
                events.append(Answered(entry.slot, entry))
    return True


def _listen(source: _Source, entry: Bound | Unbound, events: list[Event]) -> bool:
    """Sessions begin to listen, or end it. Of a group that nobody listens to any more nothing is kept."""
    group = Group(entry.app, entry.group)
    if isinstance(entry, Bound):
        listeners = source.groups.setdefault(group, Listeners())
        known = listeners.bind(entry.ordinals, entry.slots, entry.audiences)
        events.append(Live(group, tuple(entry.slots), tuple(entry.heads)))
        return known
    if (found := source.groups.get(group)) is not None:
        found.unbind(entry.slots)
        if not found.ordinals:
            del source.groups[group]
    events.append(Gone(group, tuple(entry.slots)))
    return True


def _deliver(source: _Source, entry: Message | Signal | Head, events: list[Event]) -> bool:
    """Expand an entry to its sessions.

    An audience not known here, or a group that nobody is known to listen to, means that something was missed.
    """
    group = Group(entry.app, entry.group)
    if (listeners := source.groups.get(group)) is None:
        return False
    if (slots := listeners.slots_of(entry.audience)) is None:
        return False
    if slots:
        events.append(Deliver(group, entry, slots))
    return True


def _audience(source: _Source, entry: AudienceSet | AudienceDelta, flips: dict[Group, _Flips]) -> bool:
    """An audience is told, changes or ends. Telling it is news to the gateway only; clients are told of changes."""
    group = Group(entry.app, entry.group)
    if (listeners := source.groups.get(group)) is None:
        return isinstance(entry, AudienceDelta) and entry.ended
    if isinstance(entry, AudienceSet):
        listeners.tell(entry.audience, entry.version, bits_of(entry.members))
        return True
    if entry.ended:
        changed = listeners.end(entry.audience)
    else:
        changed = listeners.change(entry.audience, entry.version, bits_of(entry.entered), bits_of(entry.left))
    if changed is None:
        return entry.ended
    since, ordinals = changed
    if ordinals:
        flip = flips.setdefault(group, _Flips(since, entry.version, BitMap()))
        flip.since, flip.version = min(flip.since, since), max(flip.version, entry.version)
        flip.ordinals |= ordinals
    return True


def _seen(source: _Source, group: Group, flip: _Flips) -> tuple[Changed, tuple[int, ...]]:
    """What the sessions are told who see other channels than before: one hint, however many audiences it were."""
    listeners = source.groups.get(group, Listeners())
    changed = Changed(group.app, group.name, flip.version, flip.since, ["visibility"])
    return changed, listeners.slots_with(flip.ordinals)


def _changed(source: _Source, entry: Changed, events: list[Event]) -> bool:
    """A hint; it may come after the last session that it was for has ended."""
    group = Group(entry.app, entry.group)
    if (listeners := source.groups.get(group)) is None:
        return True
    try:
        slots = listeners.slots_with(bits_of(entry.members)) if entry.members else listeners.slots_of(entry.audience)
    except ValueError:
        return True
    if slots is None:  # an audience that is not known here
        return False
    if slots:
        events.append(Deliver(group, entry, slots))
    return True
