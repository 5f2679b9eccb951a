"""What a link's sessions hear: the contract's rules of expanding deliveries, in plain sets and nothing of ours.

Slots are never used twice here, so a slot is a session, also where its connection was lost.
"""

from __future__ import annotations

from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pyroaring import BitMap

from topics.deliveries import (
    AudienceDelta,
    AudienceSet,
    Background,
    Bound,
    Changed,
    DeliveryLot,
    Drive,
    Ended,
    Head,
    Mention,
    PresenceOut,
    Resumed,
    SessionLot,
    SignalOut,
    Subscribed,
    Unbound,
    Unread,
)
from topics.links import Void
from topics.messages import Message
from topics.presence import Presence
from topics.wire import LinkAddress

Group = str
Pair = tuple[int, int]  # ordinal, slot


class Heard(NamedTuple):
    """Something that one session heard.

    Attributes:
        what: message, unread_count, unread_status, signal, mention, head.
        slot: the session.
        group: of which group.
        channel: of which channel.
        seq: of which message; 0 for a signal.
        entry: the whole of it.
    """

    what: str
    slot: int
    group: str
    channel: str
    seq: int
    entry: Any


@dataclass
class Told:
    """What the link was told of one group by its source."""

    joined: str = "messages"
    bound: set[Pair] = field(default_factory=set)
    audiences: dict[int, set[int]] = field(default_factory=dict)  # of ordinals, or of slots
    by_session: set[int] = field(default_factory=set)  # the audiences that are made of slots


class Source:
    """What the link was told by one groups partition."""

    def __init__(self) -> None:
        self.number = 0
        self.overrun = False
        self.background: set[int] = set()
        self.groups: dict[Group, Told] = defaultdict(Told)


class Ear:
    """One registration of a link.

    Attributes:
        stalled: it acknowledges nothing: messages that nobody asked for may come as notices.
    """

    def __init__(self, address: LinkAddress) -> None:
        self.address = address
        self.dead = False
        self.stalled = False
        self.sources: dict[int, Source] = defaultdict(Source)
        self.presence: dict[tuple[int, str], Presence] = {}
        self.resumed: dict[int, Resumed] = {}
        self.ended: dict[int, str] = {}

    def read(self, record: Any) -> list[Heard]:
        """What sessions hear of one record of the link's partition."""
        if isinstance(record, Void):
            self.dead |= record.link == self.address.link and record.epoch >= self.address.epoch
            return []
        if self.dead or (record.link, record.epoch) != (self.address.link, self.address.epoch):
            return []
        if isinstance(record, SessionLot):
            for entry in record.entries:
                self._of_session(entry)
            return []
        return self._lot(record) if isinstance(record, DeliveryLot) else []

    def _of_session(self, entry: Any) -> None:
        match entry:
            case PresenceOut():
                for slot in entry.slots:
                    for user in entry.users:
                        known = self.presence.get((slot, user.user))
                        if known is None or user.version >= known.version:
                            self.presence[slot, user.user] = user
            case Resumed():
                self.resumed[entry.slot] = entry
            case Ended():
                assert entry.slot not in self.ended, "ended twice"
                self.ended[entry.slot] = entry.why

    def _lot(self, lot: DeliveryLot) -> list[Heard]:
        source = self.sources[lot.source]
        assert lot.number == source.number + 1, f"lot {lot.number} after {source.number}"
        if lot.reset:
            source = self.sources[lot.source] = Source()
        source.number = lot.number
        assert not source.overrun or lot.urgent or lot.overrun, "more than answers after an overrun"
        source.overrun |= lot.overrun
        heard: list[Heard] = []
        for entry in lot.entries:
            heard += self._entry(source, entry)
        return heard

    def _entry(self, source: Source, entry: Any) -> list[Heard]:
        match entry:
            case Background(on=True):
                source.background |= set(entry.slots)
            case Background():
                source.background -= set(entry.slots)
            case Bound():
                self._bound(source.groups[entry.group], entry)
            case Unbound():
                self._unbound(source.groups[entry.group], entry)
            case Drive():
                source.groups[entry.group].joined = entry.joined
            case AudienceSet() | AudienceDelta():
                self._audience(source.groups[entry.group], entry)
            case Changed():
                self._slots(source, entry.group, entry.audience)
                self._slots(source, entry.group, entry.among)
        return [
            Heard(what, slot, of.group, getattr(of, "channel", ""), getattr(of, "seq", 0), entry)
            for what, of, slots in self._hearers(source, entry)
            for slot in slots
        ]

    def _hearers(self, source: Source, entry: Any) -> Iterator[tuple[str, Any, set[int]]]:
        """What an entry is to sessions, what it is about, and to which."""
        match entry:
            case Message() | SignalOut() | Head():
                awake = self._slots(source, entry.group, entry.audience) - source.background
                yield type(entry).__name__.lower(), entry, awake
            case Unread():
                whom = self._slots(source, entry.group, entry.audience)
                if entry.beside:
                    whom -= self._slots(source, entry.group, entry.beside) - source.background
                if entry.background:
                    whom &= source.background
                yield entry.level, entry, whom
            case Mention():
                yield "mention", entry.message, set(entry.slots)
            case Subscribed():
                yield "subscribed", entry, {entry.slot}

    def _slots(self, source: Source, group: str, audience: int) -> set[int]:
        """Whom an audience is on this link, which must have been told of it."""
        told = source.groups[group]
        if not audience:
            return {slot for _, slot in told.bound}
        members = told.audiences[audience]
        if audience in told.by_session:
            return set(members)
        return {slot for ordinal, slot in told.bound if ordinal in members}

    @staticmethod
    def _audience(told: Told, entry: AudienceSet | AudienceDelta) -> None:
        if isinstance(entry, AudienceSet):
            told.audiences[entry.audience] = _set(entry.members)
            if entry.by == "session":
                told.by_session.add(entry.audience)
        else:
            kept = (told.audiences[entry.audience] | _set(entry.entered)) - _set(entry.left)
            told.audiences[entry.audience] = kept
            if entry.ended:
                del told.audiences[entry.audience]
                told.by_session.discard(entry.audience)

    @staticmethod
    def _bound(told: Told, entry: Bound) -> None:
        pairs = list(zip(entry.ordinals, entry.slots, strict=True))
        assert not told.bound & set(pairs), "bound twice"
        told.bound |= set(pairs)
        told.joined = entry.joined
        for ordinal, audiences in zip(entry.ordinals, entry.audiences or [[]] * len(pairs), strict=True):
            for audience in audiences:
                told.audiences[audience].add(ordinal)

    @staticmethod
    def _unbound(told: Told, entry: Unbound) -> None:
        pairs = set(zip(entry.ordinals, entry.slots, strict=True))
        assert pairs <= told.bound, "unbound, but not bound"
        told.bound -= pairs
        ordinals = {ordinal for ordinal, _ in pairs} - {ordinal for ordinal, _ in told.bound}
        slots = {slot for _, slot in pairs}
        for audience in told.audiences:
            told.audiences[audience] -= slots if audience in told.by_session else ordinals


def _set(bitmap: str) -> set[int]:
    return set(BitMap.deserialize(b64decode(bitmap))) if bitmap else set()
