"""A gateway by the contract, and the clients on it: registers, beats, numbers its slots, expands deliveries, resyncs.

It checks on its way what only the receiving end can see: lots without holes, entries only for what is bound, and, for
each connection, a chain of `prev` that a pull up to the bound head begins and no hole breaks.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field

from pyroaring import BitMap

from tests.sim.broker import Broker
from topics import limits
from topics.acks import Ack
from topics.answers import Accepted, AnswerLot, Applied, Refused, Registered
from topics.codec import decode, encode
from topics.deliveries import (
    AudienceDelta,
    AudienceSet,
    Background,
    Bound,
    Changed,
    DeliveryLot,
    Ended,
    Entry,
    Head,
    NoticeLot,
    SessionLot,
    SignalOut,
    Subscribed,
    Unbound,
    Unread,
)
from topics.keys import key_of, partition_of
from topics.links import Beat, Leave, Register, Void
from topics.messages import MAIN, Message
from topics.resync import Resync
from topics.sessions import Down, Ground, SessionRecord, Subscribe, Unsubscribe, Up, Watch
from topics.subscriptions import Subscription
from topics.wire import LinkAddress, ToSession

Emit = Callable[[str, str, int, bytes | None, bytes], None]  # who, topic, partition, key, value


_Channel = tuple[str, str, str]  # app, group, channel
_Audience = tuple[str, str, int]  # app, group, id


class BrokenRuleError(Exception):
    """A rule of the pipeline does not hold."""


def require(holds: object, what: str) -> None:
    """A rule, checked.

    Raises:
        BrokenRuleError: it does not hold.
    """
    if not holds:
        raise BrokenRuleError(what)


@dataclass(frozen=True)
class Session:
    """A connection of one device of one user, in its slot."""

    app: str
    user: str
    device: str
    address: LinkAddress
    slot: int

    @property
    def reply(self) -> ToSession:
        """Where an answer reaches it."""
        return ToSession(self.address.link, self.address.epoch, self.address.partition, self.slot)


@dataclass
class Source:
    """What a gateway knows of one groups partition."""

    number: int = 0
    lost: bool = False  # a hole was seen or provoked: nothing counts until the reset
    asked_ms: int = -1
    bindings: dict[tuple[str, str], set[tuple[int, int]]] = field(default_factory=dict)
    last: dict[tuple[str, str, int], int] = field(default_factory=dict)  # app, group, slot -> last seq of MAIN held
    pushed: dict[_Channel, int] = field(default_factory=dict)  # the newest seq that came as a message
    announced: dict[_Channel, int] = field(default_factory=dict)  # the newest seq that a head named
    background: set[int] = field(default_factory=set)
    asked: dict[_Audience, set[int]] = field(
        default_factory=dict
    )  # audiences of sessions that asked for it: their slots
    behind: dict[tuple[str, str, int], int] = field(default_factory=dict)  # what a notice in place of messages named
    owed: dict[tuple[str, str, int], int] = field(default_factory=dict)  # up to where a notice is to come
    acked: int = 0


class Gateway:
    """One link's gateway process, and what it remembers until it restarts."""

    def __init__(self, link: str, broker: Broker, partitions: int, emit: Emit, trace: Callable[[str], None]) -> None:
        self.link = link
        self.frozen_until_ms = 0
        self.lose = 0  # lots to lose
        self.registrations = 0
        self.seen: dict[str, int] = {}  # what happened here, counted
        self._broker = broker
        self._partitions = partitions
        self._emit = emit
        self._trace = trace
        self.forget()

    def forget(self) -> None:
        """The process restarts."""
        self.address: LinkAddress | None = None
        self.sessions: dict[int, Session] = {}
        self.background: set[int] = set()  # as clients said
        self.sources: dict[int, Source] = {}
        self.noticed: set[tuple[str, str, int]] = set()
        self._slots = 0
        self._requester = ""
        self._asked_ms = 0
        self._answers = (0, 0)
        self._position = 0
        self._beat_ms = 0

    @property
    def frozen(self) -> bool:
        """It neither reads nor writes now."""
        return self._broker.now_ms() < self.frozen_until_ms

    # -- what it does ------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Registered: beat when due. Not registered: ask for it, again if no answer came."""
        now = self._broker.now_ms()
        if self.frozen:
            return
        if self.address is None:
            if not self._requester or now - self._asked_ms > limits.LINK_TIMEOUT_MS // 2:
                self._register(now)
        elif now >= self._beat_ms:
            self._beat_ms = now + limits.LINK_BEAT_MS
            self._send("links", 0, self.link.encode(), Beat(self.link, self.address.epoch, len(self.sessions)))
            for number, source in self.sources.items():
                if source.number > source.acked:
                    source.acked = source.number
                    self._send("link-acks", number, None, Ack(self.link, self.address.epoch, number, source.number))

    def up(self, app: str, user: str, device: str) -> Session | None:
        """A client connects; None while there is no registration."""
        if self.address is None or self.frozen:
            return None
        self._slots += 1
        session = self.sessions[self._slots] = Session(app, user, device, self.address, self._slots)
        at = self.address
        self._by_user(app, user, Up(app, user, device, at.link, at.epoch, at.partition, session.slot))
        return session

    def down(self, slot: int) -> None:
        """A client is gone."""
        one = self.sessions.pop(slot)
        self._by_user(one.app, one.user, Down(one.app, one.user, one.address.link, one.address.epoch, slot))

    def turn(self, slot: int) -> None:
        """A client goes to the background, and stays: what it is due around its return is the model's to judge."""
        one = self.sessions[slot]
        self.background.add(slot)
        record = Ground(one.app, one.user, one.address.link, one.address.epoch, slot, background=True)
        self._by_user(one.app, one.user, record)

    def ask(self, slot: int, wants: list[Subscription], *, off: bool) -> None:
        """A client subscribes, or wants to hear something no more."""
        one = self.sessions[slot]
        kind = Unsubscribe if off else Subscribe
        self._by_user(one.app, one.user, kind(one.app, one.user, one.address.link, one.address.epoch, slot, wants))

    def watch(self, slot: int, users: list[str]) -> None:
        """A client wants to know who is online."""
        one = self.sessions[slot]
        self._by_user(one.app, one.user, Watch(one.app, one.user, one.address.link, one.address.epoch, slot, users))

    def leave(self) -> None:
        """An orderly shutdown, and a start."""
        if self.address is not None:
            self._send("links", 0, self.link.encode(), Leave(self.link, self.address.epoch))
        self.forget()

    def resync(self, number: int) -> None:
        """Ask a source for its bindings."""
        source, at = self.sources.setdefault(number, Source()), self.address
        now = self._broker.now_ms()
        if at is None or (source.asked_ms >= 0 and now - source.asked_ms < limits.LINK_BEAT_MS):
            return
        source.lost, source.asked_ms = True, now
        self._count("resync asked")
        self._send("resync", number, None, Resync(at.link, at.epoch, at.partition, number, source.number))

    def ask_again(self) -> None:
        """Resyncs not answered, or losses not noticed, are asked for."""
        for number, source in self.sources.items():
            if source.lost:
                self.resync(number)

    def poll(self, most: int) -> int:
        """Read what came; returns how many records."""
        if self.frozen:
            return 0
        if self.address is None:
            return self._read_answers()
        log = self._broker.log("deliveries", self.address.partition)
        records, position = log.read(self._position, most)
        self._position = position
        for record in records:
            decoded = decode("deliveries", record.value)
            if isinstance(decoded, Void):
                if decoded.link == self.link and decoded.epoch >= self.address.epoch:
                    self._count("void read")
                    self.forget()
                    break
            elif (decoded.link, decoded.epoch) == (self.address.link, self.address.epoch):
                if isinstance(decoded, NoticeLot):
                    self._notices(decoded)
                elif isinstance(decoded, SessionLot):
                    self._of_sessions(decoded)
                else:
                    self._lot(decoded)
        return len(records)

    def at_rest(self) -> bool:
        """Registered, everything read, nothing lost."""
        if self.address is None:
            return False
        log = self._broker.log("deliveries", self.address.partition)
        return self._position >= log.stable_end and not any(one.lost for one in self.sources.values())

    # -- registering -------------------------------------------------------------------------------------------------

    def _register(self, now: int) -> None:
        self.registrations += 1
        self._requester = f"{self.link}.r{self.registrations}"
        partition = partition_of(self._requester.encode(), self._partitions)
        self._answers = partition, self._broker.log("answers", partition).stable_end
        self._asked_ms = now
        self._send("links", 0, self.link.encode(), Register(self.link, self._requester))

    def _read_answers(self) -> int:
        partition, position = self._answers
        records, position = self._broker.log("answers", partition).read(position)
        self._answers = partition, position
        for record in records:
            lot: AnswerLot = decode("answers", record.value)
            for entry in lot.entries:
                if entry.requester == self._requester and isinstance(entry.answer, Registered):
                    self._registered(entry.answer)
        return len(records)

    def _registered(self, answer: Registered) -> None:
        if self._broker.now_ms() - self._asked_ms > limits.LINK_TIMEOUT_MS // 2:
            self._requester = ""  # it may be void by now, and the void be written before what is read from here on
            self._count("answer too late")
            return
        self.address = LinkAddress(answer.link, answer.epoch, answer.partition)
        self._position = self._broker.log("deliveries", answer.partition).stable_end
        self._count("registered")

    # -- deliveries --------------------------------------------------------------------------------------------------

    def _lot(self, lot: DeliveryLot) -> None:
        source = self.sources.setdefault(lot.source, Source())
        require(lot.number > source.number or source.lost, f"{self.link}: lot {lot.number} of {lot.source} doubled")
        if self.lose and not lot.reset:
            self.lose -= 1
            self._count("lot lost")
            source.lost, source.asked_ms = True, -1
            return
        if lot.reset:
            self._count("reset")
            source.bindings, source.last, source.lost, source.asked_ms = {}, {}, False, -1
            source.pushed, source.announced = {}, {}
            source.background, source.asked, source.behind, source.owed = set(), {}, {}, {}
        elif source.lost:
            self.resync(lot.source)
            return
        else:
            require(
                lot.number == source.number + 1, f"{self.link}: lot {lot.number} of {lot.source} after {source.number}"
            )
        source.number = lot.number
        if lot.overrun:
            self._count("overrun")
            self.resync(lot.source)
            return
        told = ", ".join(map(_short, lot.entries))
        self._trace(f"{self.link} reads lot {lot.number} of {lot.source}{' (reset)' if lot.reset else ''}: {told}")
        for entry in lot.entries:
            self._entry(source, entry)

    def _entry(self, source: Source, entry: Entry) -> None:
        match entry:
            case Bound():
                self._bound(source, entry)
            case Unbound():
                self._unbound(source, entry)
            case Background():
                self._turned(source, entry)
            case AudienceSet() | AudienceDelta():
                _learn(source, entry)
            case Message(app=app, group=group):
                self._expand(source, entry)
                told = app, group, f"{entry.channel} {entry.audience}"
                before = source.pushed.get(told, 0)
                require(entry.seq > before, f"{self.link}: {told} {entry.seq} after {before}")
                source.pushed[told] = entry.seq
            case Head(app=app, group=group):
                self._head(source, entry)
                source.announced[app, group, entry.channel] = entry.seq
            case Unread():
                self._unread(source, entry)
            case SignalOut(app=app, group=group):
                require(self._listen(source, entry), f"{self.link}: a signal for {app}:{group}, which nobody hears")
            case Changed(app=app, group=group):
                heard = source.bindings.get((app, group)) or (app, group, entry.audience) in source.asked
                require(heard, f"{self.link}: a hint of {app}:{group}, which nobody hears")
                require(entry.since < entry.version, f"{self.link}: a hint of {app}:{group} of no change")
            case Subscribed():
                self._count("subscribed")
            case Accepted() | Refused() | Applied():
                require(entry.slot is not None, f"{self.link}: an answer for nobody")

    def _of_sessions(self, lot: SessionLot) -> None:
        for entry in lot.entries:
            self._count(f"session {type(entry).__name__}")
            if isinstance(entry, Ended):
                self.sessions.pop(entry.slot, None)

    def _notices(self, lot: NoticeLot) -> None:
        """Notices to persons: each session is its user's, or has ended meanwhile; none is told twice."""
        for entry in lot.entries:
            told = f"{self.link}: notice {entry.notice.number} to {entry.user}"
            sessions = [self.sessions[slot] for slot in entry.slots if slot in self.sessions]
            require(all((one.app, one.user) == (entry.app, entry.user) for one in sessions), f"{told}: another's slot")
            key = entry.app, entry.user, entry.notice.number
            require(key not in self.noticed, f"{told}: doubled")
            self.noticed.add(key)
            self._count("notice")

    def _bound(self, source: Source, bound: Bound) -> None:
        held = source.bindings.setdefault((bound.app, bound.group), set())
        for pair in zip(bound.ordinals, bound.slots, strict=True):
            require(pair not in held, f"{self.link}: {bound.app}:{bound.group} bound {pair} twice")
            held.add(pair)
            source.last[bound.app, bound.group, pair[1]] = dict(bound.heads).get(MAIN, 0)  # pulled up to there

    def _unbound(self, source: Source, unbound: Unbound) -> None:
        app, group = unbound.app, unbound.group
        held = source.bindings.get((app, group), set())
        for pair in zip(unbound.ordinals, unbound.slots, strict=True):
            require(pair in held, f"{self.link}: {app}:{group} unbound {pair}, which was not bound")
            held.discard(pair)
            for of_slot in (source.last, source.behind, source.owed):
                of_slot.pop((app, group, pair[1]), None)
        for (of_app, of_group, _), asked in source.asked.items():
            if (of_app, of_group) == (app, group):
                asked.difference_update(unbound.slots)
        if not held:
            source.bindings.pop((app, group), None)
            for told in [one for one in source.pushed if one[:2] == (app, group)]:
                del source.pushed[told]

    def _turned(self, source: Source, entry: Background) -> None:
        """Whoever comes to the foreground pulls what it missed."""
        self._count("background")
        if entry.on:
            source.background |= set(entry.slots)
            return
        source.background -= set(entry.slots)
        for held in [one for one in source.owed if one[2] in entry.slots]:
            del source.owed[held]

    def _listen(self, source: Source, entry: Message | Head | SignalOut | Unread) -> set[int]:
        """Whom an entry is for, as far as this gateway cares: those that asked, or all that are bound."""
        if (slots := source.asked.get((entry.app, entry.group, entry.audience))) is not None:
            return slots
        return {slot for _, slot in source.bindings.get((entry.app, entry.group), ())}

    def _expand(self, source: Source, entry: Message) -> None:
        """Whoever is bound hears what comes into the one channel of a group, or is noticed; of others the verifier."""
        app, group, seq = entry.app, entry.group, entry.seq
        heard = self._listen(source, entry)
        require(heard, f"{self.link}: {app}:{group} seq {seq}, which nobody hears")
        for slot in heard if entry.channel == MAIN else ():
            at = app, group, slot
            last = source.last[at]
            require(last <= entry.prev, f"{self.link}: {app}:{group} slot {slot} holds {last}, then {seq}")
            if slot in source.background:
                source.owed[at] = seq
                continue
            if last < entry.prev:  # it pulls; a notice, if not there yet, comes
                self._count("pulled")
                if source.behind.get(at, 0) < entry.prev:
                    source.owed[at] = max(source.owed.get(at, 0), entry.prev)
            source.last[at] = seq

    def _head(self, source: Source, head: Head) -> None:
        app, group = head.app, head.group
        heard = self._listen(source, head)
        require(heard, f"{self.link}: {app}:{group} head {head.seq}, which nobody hears")
        for slot in heard - source.background if head.channel == MAIN else ():
            source.last[app, group, slot] = max(head.seq, source.last[app, group, slot])

    def _unread(self, source: Source, entry: Unread) -> None:
        self._count(f"unread {entry.mode}")
        app, group = entry.app, entry.group
        slots = self._listen(source, entry)
        require(slots, f"{self.link}: a notice of {app}:{group}, which nobody hears")
        if entry.beside:
            slots = slots - (source.asked[app, group, entry.beside] - source.background)
        for slot in slots & source.background if entry.background else slots:
            source.behind[app, group, slot] = entry.seq

    # -- sending -----------------------------------------------------------------------------------------------------

    def _by_user(self, app: str, user: str, record: SessionRecord) -> None:
        key = key_of(app, user)
        self._send("sessions", partition_of(key, self._partitions), key, record)

    def _send(self, topic: str, partition: int, key: bytes | None, record: object) -> None:
        self._emit(self.link, topic, partition, key, encode(record))

    def _count(self, what: str) -> None:
        self._trace(f"{self.link}: {what}, {self.address}")
        self.seen[what] = self.seen.get(what, 0) + 1


def _learn(source: Source, entry: AudienceSet | AudienceDelta) -> None:
    """An audience made of sessions; those made of members the verifier follows."""
    at = entry.app, entry.group, entry.audience
    if isinstance(entry, AudienceSet):
        if entry.by == "session":
            source.asked[at] = _slots(entry.members)
    elif at in source.asked:
        source.asked[at] = (source.asked[at] | _slots(entry.entered)) - _slots(entry.left)
        if entry.ended:
            del source.asked[at]


def _slots(bitmap: str) -> set[int]:
    return set(BitMap.deserialize(b64decode(bitmap))) if bitmap else set()


def _short(entry: Entry) -> str:
    match entry:
        case Bound() | Unbound():
            pairs = list(zip(entry.ordinals, entry.slots, strict=True))
            return f"{type(entry).__name__} {entry.app}:{entry.group} map {entry.map} {pairs}"
        case Message() | Head():
            return f"{type(entry).__name__} {entry.app}:{entry.group} seq {entry.seq} map {entry.map}"
    return type(entry).__name__
