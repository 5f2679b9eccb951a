"""What one registration of a link knows: which sessions listen to which group; and what follows from a record.

No I/O, no clock: records and moments go in, events come out. It guarantees that an event names exactly the sessions
that its source had bound, and in the entry's audience, when it wrote the entry: once a lot of a source is lost, that
source is ignored, and asked, until it tells everything anew. Only answers and mentions, which name their sessions
themselves, are handed on meanwhile. A message is for sessions in the foreground; those in the background get notices.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
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
    Background,
    Bound,
    Changed,
    Delivery,
    Done,
    Drive,
    Ended,
    Entry,
    Group,
    Head,
    Lot,
    Mention,
    Message,
    Notice,
    NoticeLot,
    PresenceOut,
    Refused,
    Resumed,
    SessionLot,
    Signal,
    Subscribed,
    Unbound,
    Unread,
    Void,
)

#: A source that was asked to begin anew and did not is asked again after this.
RESYNC_AGAIN_MS: Final = 5_000
#: A source that has just begun anew is not asked at once again: what is not understood must not become a storm.
RESYNC_PAUSE_MS: Final = 1_000

#: Entries that name their sessions themselves: who listens to what says nothing about them.
_Named = Accepted | Refused | Applied | Done | Subscribed | Mention


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message, a notice in place of messages, a signal, a head, or a hint of a change, for these sessions."""

    group: Group
    entry: Message | Unread | Signal | Head | Changed
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
    """These sessions hear the group from here on; their first pull begins now, and reaches at least to `heads`.

    `joined` says what they hear of its channels unasked.
    """

    group: Group
    slots: tuple[int, ...]
    heads: tuple[tuple[str, int], ...]
    joined: str = "messages"


@dataclass(frozen=True, slots=True)
class Driven:
    """What these sessions hear of the group's channels unasked is this from here on."""

    group: Group
    joined: str
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grounded:
    """These sessions are in the background from here on, or in the foreground again: in all groups of one source."""

    slots: tuple[int, ...]
    on: bool


@dataclass(frozen=True, slots=True)
class Mentioned:
    """A message mentions the user of these sessions. The message itself comes as well, to whoever hears it."""

    message: Message
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Granted:
    """What a session hears of a group from here on because it asked for it."""

    slot: int
    subscribed: Subscribed


@dataclass(frozen=True, slots=True)
class Missed:
    """A source began anew: these sessions are no members, so no binding tells them to pull what they show."""

    group: Group
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """News of sessions: one goes on, one was ended, or how users are to be found whom some watch."""

    entry: Resumed | Ended | PresenceOut


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
class Acked:
    """Acknowledge all lots of a source up to this one."""

    source: int
    number: int


@dataclass(frozen=True, slots=True)
class Closed:
    """This registration is dead: close every connection, register anew."""

    epoch: int


Event = (
    Deliver
    | Noticed
    | Live
    | Gone
    | Driven
    | Grounded
    | Mentioned
    | Granted
    | Missed
    | Told
    | Forgotten
    | Answered
    | Resync
    | Closed
)


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
    ahead: int = 0  # the last urgent lot handed on, perhaps ahead of those before it
    acked: int = 0
    trusted: bool = True  # False: ignored until it begins anew
    ask_ms: int = 0  # not asked before this
    groups: dict[Group, Listeners] = field(default_factory=dict)
    background: BitMap = field(default_factory=BitMap)  # sessions; those not named are in the foreground

    def in_foreground(self, slots: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(slot for slot in slots if slot not in self.background) if self.background else slots

    def in_background(self, slots: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(slot for slot in slots if slot in self.background) if self.background else ()

    def left(self, group: Group) -> None:
        """Somebody left a group: of one without a session here nothing is kept."""
        if self.groups[group].nobody:
            del self.groups[group]


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

    def feed(self, record: Delivery, now_ms: int) -> list[Event]:
        """Apply a record of `deliveries`, in the order of its partition.

        Args:
            record: as read.
            now_ms: a clock that never goes back; only differences count.
        """
        if self.closed or record.link != self.link:
            return []
        if isinstance(record, Void):
            self.closed = record.epoch >= self.epoch
            return [Closed(self.epoch)] if self.closed else []
        if record.epoch != self.epoch:
            return []
        if isinstance(record, NoticeLot):
            return [Noticed(one.app, one.user, one.notice, tuple(one.slots)) for one in record.entries]
        if isinstance(record, SessionLot):
            return [event for entry in record.entries if (event := _of_session(entry)) is not None]
        return self._lot(record, now_ms)

    def ahead(self, records: Iterable[Delivery]) -> list[Event]:
        """What is urgent of records that were fetched together; feed them all afterwards, it is not told again."""
        events: list[Event] = []
        for record in records:
            if isinstance(record, Lot) and record.urgent and (record.link, record.epoch) == (self.link, self.epoch):
                events += self._urgent(self._sources.setdefault(record.source, _Source()), record)
        return [] if self.closed else events

    def acks(self) -> list[Acked]:
        """How far each source got that got further since the last time. Call it at most once a second."""
        due = [(number, source) for number, source in self._sources.items() if source.have > source.acked]
        for _, source in due:
            source.acked = source.have
        return [Acked(number, source.have) for number, source in due]

    def not_acknowledged(self, *numbers: int) -> None:
        """What was to be said of these sources did not arrive: it is said again."""
        for number in numbers:
            if (source := self._sources.get(number)) is not None:
                source.acked = 0

    def ended(self, slot: int) -> None:
        """A session ended; its slot is never used again."""
        for source in self._sources.values():
            source.background.discard(slot)

    def groups_of(self, slot: int) -> dict[Group, str]:
        """What a session listens to here, and what it hears of it unasked (`none` for a visitor)."""
        return {
            group: listeners.joined if slot in listeners.ordinals else "none"
            for source in self._sources.values()
            for group, listeners in source.groups.items()
            if listeners.holds(slot)
        }

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

    @staticmethod
    def _urgent(source: _Source, lot: Lot) -> list[Event]:
        """The answers and mentions of a lot, once."""
        if lot.number <= max(source.have, source.ahead):
            return []
        source.ahead = lot.number
        named = [_named(entry) for entry in lot.entries if isinstance(entry, _Named)]
        return [event for event in named if event is not None]

    def _lot(self, lot: Lot, now_ms: int) -> list[Event]:
        source = self._sources.setdefault(lot.source, _Source())
        if lot.number <= source.have:
            return []
        events: list[Event] = self._urgent(source, lot) if lot.urgent else []
        visitors: dict[Group, tuple[int, ...]] = {}
        if lot.reset:
            visitors = {group: listeners.visitors() for group, listeners in source.groups.items()}
            events.append(_begin_anew(lot.source, source))
            source.ask_ms = now_ms + RESYNC_PAUSE_MS
        elif not source.trusted:
            return events
        elif lot.number != source.have + 1:
            return [*events, *self.resync(lot.source, now_ms)]
        source.have = lot.number
        flips: dict[Group, _Flips] = {}
        entries = [entry for entry in lot.entries if not isinstance(entry, _Named)] if lot.urgent else lot.entries
        understood = all(_apply(source, entry, events, flips) for entry in entries)
        events += [Deliver(group, *_seen(source, group, flip)) for group, flip in flips.items()]
        events += [Missed(group, slots) for group, slots in visitors.items() if slots]
        return events if understood and not lot.overrun else [*events, *self.resync(lot.source, now_ms)]


def _of_session(entry: Resumed | Ended | PresenceOut | Refused | Done) -> Event | None:
    return _named(entry) if isinstance(entry, Refused | Done) else Told(entry)


def _begin_anew(number: int, source: _Source) -> Forgotten:
    """A source begins anew: forget what it had told."""
    forgotten = {group: listeners.slots for group, listeners in source.groups.items() if listeners.slots}
    source.groups = {}
    source.background = BitMap()
    source.trusted = True
    return Forgotten(number, forgotten)


def _apply(source: _Source, entry: Entry, events: list[Event], flips: dict[Group, _Flips]) -> bool:
    """Apply one entry; False if it shows that the source is not known rightly."""
    match entry:
        case Message() | Signal() | Head() | Unread():
            return _deliver(source, entry, events)
        case Bound() | Unbound() | Drive():
            return _listen(source, entry, events)
        case Background():
            slots = BitMap(entry.slots)
            source.background = source.background | slots if entry.on else source.background - slots
            events.append(Grounded(tuple(entry.slots), entry.on))
        case AudienceSet() | AudienceDelta():
            with contextlib.suppress(ValueError):  # no bitmap
                return _audience(source, entry, flips)
            return False
        case Changed():
            return _changed(source, entry, events)
        case _ if (event := _named(entry)) is not None:
            events.append(event)
    return True


def _named(entry: _Named) -> Event | None:
    """What follows from an entry that names its sessions; None for one that names none."""
    match entry:
        case Mention():
            return Mentioned(entry.message, tuple(entry.slots))
        case Subscribed():
            return Granted(entry.slot, entry)
    return None if entry.slot is None else Answered(entry.slot, entry)


def _listen(source: _Source, entry: Bound | Unbound | Drive, events: list[Event]) -> bool:
    """Sessions begin to listen, end it, or hear of a group other things than before."""
    group = Group(entry.app, entry.group)
    if isinstance(entry, Bound):
        listeners = source.groups.setdefault(group, Listeners())
        known = listeners.bind(entry.ordinals, entry.slots, entry.audiences)
        listeners.joined = entry.joined
        events.append(Live(group, tuple(entry.slots), tuple(entry.heads), entry.joined))
        return known
    found = source.groups.get(group)
    if isinstance(entry, Drive):
        if found is not None and found.slots:
            found.joined = entry.joined
            events.append(Driven(group, entry.joined, found.slots))
        return True
    if found is not None:
        found.unbind(entry.slots)
        source.left(group)
    events.append(Gone(group, tuple(entry.slots)))
    return True


def _deliver(source: _Source, entry: Message | Signal | Head | Unread, events: list[Event]) -> bool:
    """Expand an entry to its sessions.

    An audience not known here, or a group that nobody is known to listen to, means that something was missed.
    """
    group = Group(entry.app, entry.group)
    if (listeners := source.groups.get(group)) is None:
        return False
    if (found := listeners.slots_of(entry.audience)) is None:
        return False
    slots: tuple[int, ...] | None
    slots = _noticed(source, listeners, entry, found) if isinstance(entry, Unread) else source.in_foreground(found)
    if slots:
        events.append(Deliver(group, entry, slots))
    return slots is not None


def _noticed(source: _Source, listeners: Listeners, entry: Unread, slots: tuple[int, ...]) -> tuple[int, ...] | None:
    """Whom of an audience a notice in place of messages is for: not for who got these; None if that is not known."""
    if (beside := listeners.slots_of(entry.beside) if entry.beside else ()) is None:
        return None
    if entry.background:
        slots = source.in_background(slots)
    heard = set(source.in_foreground(beside))
    return tuple(slot for slot in slots if slot not in heard) if heard else slots


def _audience(source: _Source, entry: AudienceSet | AudienceDelta, flips: dict[Group, _Flips]) -> bool:
    """An audience is told, changes or ends. Telling it is news to the gateway only; clients are told of changes."""
    group = Group(entry.app, entry.group)
    if isinstance(entry, AudienceSet) and entry.by == "session":
        source.groups.setdefault(group, Listeners()).tell_sessions(entry.audience, bits_of(entry.members))
        return True
    if (listeners := source.groups.get(group)) is None:
        return isinstance(entry, AudienceDelta) and entry.ended
    if isinstance(entry, AudienceSet):
        listeners.tell(entry.audience, entry.version, bits_of(entry.members))
        return True
    if _subscribers(listeners, entry):
        source.left(group)
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


def _subscribers(listeners: Listeners, entry: AudienceDelta) -> bool:
    """An audience by sessions changes or ends; False for one that is none. Its sessions were told by an answer."""
    if entry.ended:
        return listeners.end_sessions(entry.audience)
    return listeners.change_sessions(entry.audience, bits_of(entry.entered), bits_of(entry.left))


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
    among = listeners.slots_of(entry.among) if entry.among else None
    if slots is None or (entry.among and among is None):  # an audience that is not known here
        return False
    if among is not None:
        wanted = set(among)
        slots = tuple(slot for slot in slots if slot in wanted)
    if slots:
        events.append(Deliver(group, entry, slots))
    return True
