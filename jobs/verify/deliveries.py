"""Every lot of every link, replayed: numbered without holes, each message once and in order, to whom it is due."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from jobs.verify.answers import Answers
from jobs.verify.findings import Findings
from jobs.verify.hearing import Hearing
from jobs.verify.history import Channel, ChannelKey
from jobs.verify.links import Registration, Registrations
from jobs.verify.listening import Listening
from jobs.verify.members import Group, GroupKey, Groups
from jobs.verify.mentions import Mentions
from jobs.verify.persons import Persons
from jobs.verify.run import Run
from jobs.verify.said import Said
from jobs.verify.sessions import Session
from jobs.verify.told import SessionNews
from jobs.verify.world import Row, World, place
from topics import catalog
from topics.answers import Accepted, Applied, Refused
from topics.codec import Malformed
from topics.deliveries import (
    AudienceDelta,
    AudienceSet,
    Background,
    Bound,
    Changed,
    DeliveryLot,
    Drive,
    Entry,
    Head,
    Mention,
    NoticeLot,
    SessionLot,
    SignalOut,
    Subscribed,
    Unbound,
    Unread,
)
from topics.messages import Message

_OfGroup = (
    Message
    | Bound
    | Unbound
    | Drive
    | SignalOut
    | Head
    | Unread
    | AudienceSet
    | AudienceDelta
    | Changed
    | Subscribed
    | Mention
)
#: What a lot that goes ahead may hold: it names its sessions, so it needs nothing of the lots that it passes.
_URGENT = Accepted | Refused | Applied | Subscribed | Mention


def arrived(
    world: World, registrations: Registrations, by_seq: dict[ChannelKey, Channel]
) -> dict[Registration, bytearray]:
    """Which messages of history came to which link at all."""
    found: dict[Registration, bytearray] = defaultdict(bytearray)
    for _, lot in world.rows(catalog.DELIVERIES):
        if not isinstance(lot, DeliveryLot):
            continue
        got = found[registrations.get(lot.link, lot.epoch)]
        for entry in lot.entries:
            if isinstance(entry, Message) and (channel := by_seq.get((entry.app, entry.group, entry.channel))):
                number = channel.by_seq.get(entry.seq, -1)
                got.extend(bytes(max(0, number + 1 - len(got))))
                if number >= 0:
                    got[number] = 1
    return found


class Deliveries:
    """All deliveries of a run.

    Attributes:
        lots: how many lots there were.
        messages: how many messages in them.
        reached: how many sessions these reached, summed up.
        notices: how many notices in place of messages there were.
        append_to_append: milliseconds from send to lot, one a message and link.
        up_to_bound: milliseconds from session up to the lot that binds it, one a binding.
        hearing: what each registration was told of each group.
        mentions: who was told of messages that mention them.
        sessions: what single sessions were told.
    """

    def __init__(
        self,
        world: World,
        groups: Groups,
        registrations: Registrations,
        run: Run,
        answers: Answers,
        said: Said,
    ) -> None:
        self.lots = 0
        self.messages = 0
        self.reached = 0
        self.notices = 0
        self.append_to_append: array[int] = array("q")
        self.up_to_bound: array[int] = array("q")
        self.hearing: dict[Registration, dict[GroupKey, Hearing]] = defaultdict(dict)
        self.mentions = Mentions(run, groups)
        self.sessions = SessionNews(registrations, run.findings)
        self._groups = groups
        self._registrations = registrations
        self._run = run
        self._answers = answers
        self._findings: Findings = run.findings
        self._last: dict[tuple[Registration, ChannelKey], int] = {}
        persons = Persons(said, self._findings)
        for row, lot in _in_time(world.rows(catalog.DELIVERIES)):
            if isinstance(lot, Malformed):
                self._findings.add("unreadable", place(catalog.DELIVERIES, row))
            elif isinstance(lot, DeliveryLot):
                self._replay(row, lot, registrations.get(lot.link, lot.epoch))
            elif isinstance(lot, NoticeLot):
                persons.replay(row, lot, registrations.get(lot.link, lot.epoch))
            elif isinstance(lot, SessionLot):
                self.sessions.replay(row, lot, registrations.get(lot.link, lot.epoch))
        for hearing in self.all():
            hearing.close()

    def all(self) -> list[Hearing]:
        """What each registration was told of each group, as one list."""
        return [hearing for by_group in self.hearing.values() for hearing in by_group.values()]

    def told(self, registration: Registration, key: GroupKey) -> Listening | None:
        """Who of a link was told to listen to a group."""
        hearing = self.hearing[registration].get(key)
        return hearing.told if hearing is not None else None

    def _replay(self, row: Row, lot: DeliveryLot, registration: Registration) -> None:
        self.lots += 1
        where = place(catalog.DELIVERIES, row)
        if row.partition != registration.partition:
            self._findings.add("other_partition", f"{where} for {registration}, given {registration.partition}")
        if not self._in_turn(where, lot, registration):
            return
        self._begin(row, lot, registration, where)
        for entry in lot.entries:
            if lot.urgent and not isinstance(entry, _URGENT):
                self._findings.add("urgent_mixed", f"{where} for {registration}: {type(entry).__name__}")
            if isinstance(entry, Message):
                self._message(row, lot, registration, entry)
            else:
                self._entry(row, lot, registration, entry)
        if not lot.urgent:
            for hearing in self._of_source(registration, lot.source):
                hearing.passed(row.at_ms)

    def _begin(self, row: Row, lot: DeliveryLot, registration: Registration, where: str) -> None:
        """A source begins anew for a link, or ceases to tell it anything but answers."""
        if lot.reset:
            overrun_ms = registration.overrun_ms.pop(lot.source, None)
            registration.background.pop(lot.source, None)
            for hearing in self._of_source(registration, lot.source):
                if overrun_ms is not None:
                    hearing.skip(row.at_ms)
                hearing.catch_up(row.at_ms)
                hearing.told.reset(row.at_ms, overrun=overrun_ms is not None)
        elif lot.overrun:
            for hearing in self._of_source(registration, lot.source):
                hearing.told.turns.turn_all(row.at_ms)
            registration.overrun_ms.setdefault(lot.source, row.at_ms)
        elif lot.source in registration.overrun_ms and not lot.urgent:
            self._findings.add("overrun_ignored", f"{where} for {registration} from {lot.source}")

    def _entry(self, row: Row, lot: DeliveryLot, registration: Registration, entry: Entry) -> None:
        where = place(catalog.DELIVERIES, row)
        match entry:
            case Accepted() | Refused() | Applied():
                self._answers.add_to_session(registration, entry, row.at_ms)
            case Background():
                self._ground(row, lot, registration, entry)
            case Mention():
                self.mentions.tell(registration, entry, where)
            case Message():
                pass
            case _:
                self._of_group(row, self._hearing(registration, lot, entry, where), entry, where)

    def _of_group(self, row: Row, hearing: Hearing, entry: Entry, where: str) -> None:
        told = hearing.told
        match entry:
            case Bound():
                hearing.follow(entry.map)
                self._check_joined(row, told, entry, where)
                told.bind(entry, where, row.at_ms, self.up_to_bound)
            case Unbound():
                hearing.follow(entry.map)
                told.unbind(entry, where, row.at_ms)
            case Drive():
                hearing.catch_up(row.at_ms)
                self._check_joined(row, told, entry, where)
                told.drive(entry, where, row.at_ms)
            case Subscribed():
                hearing.catch_up(row.at_ms)
                told.subscribed(entry, where, row.at_ms)
            case AudienceSet():
                told.learn(entry, where)
            case AudienceDelta():
                hearing.settle()
                told.follow(entry, where)
            case Unread():
                self.notices += 1
                hearing.unread(entry, where, row.at_ms)
            case Changed():
                hearing.hint(entry, where)
            case SignalOut() | Head():
                hearing.settle()
                hearing.reach(entry, where, row.at_ms)

    def _check_joined(self, row: Row, told: Listening, entry: Bound | Drive, where: str) -> None:
        """What is heard unasked is what kind, size and policy make it."""
        right = self._run.drives.during(told.group, row.at_ms - self._run.settle_ms, row.at_ms)
        if entry.joined not in right:
            said = f"{where} {told}: {entry.joined}, not {' or '.join(sorted(right))}"
            self._findings.add("drive_wrong", said)

    def _ground(self, row: Row, lot: DeliveryLot, registration: Registration, entry: Background) -> None:
        """Sessions go to the background, as they said, or come from there."""
        background = registration.background.setdefault(lot.source, set())
        for hearing in self._of_source(registration, lot.source):
            hearing.turn(entry.slots, row.at_ms)
        for slot in entry.slots:
            session = registration.sessions.get(slot)
            if session is None or entry.on not in session.grounds_during(row.at_ms - self._run.settle_ms, row.at_ms):
                where = place(catalog.DELIVERIES, row)
                self._findings.add("ground_wrong", f"{where} {registration}: slot {slot}, which did not say so")
        if entry.on:
            background.update(entry.slots)
        else:
            background.difference_update(entry.slots)

    def _in_turn(self, where: str, lot: DeliveryLot, registration: Registration) -> bool:
        """Whether the lot is the next of its source; one seen before is not applied again."""
        last = registration.numbers.get(lot.source, 0)
        told = f"{where} for {registration} from {lot.source}: {lot.number} after {last}"
        if lot.number == last:
            self._findings.add("lot_twice", told)
            return False
        if lot.number < last:
            self._findings.add("lot_order", told)
        elif lot.number > last + 1:
            self._findings.add("lot_hole", told, lot.number - last - 1)
        registration.numbers[lot.source] = max(last, lot.number)
        return True

    def _message(self, row: Row, lot: DeliveryLot, registration: Registration, message: Message) -> None:
        self.messages += 1
        where = f"{place(catalog.DELIVERIES, row)} {message.group}/{message.channel} seq {message.seq}"
        key = message.app, message.group, message.channel
        history = self._run.history
        channel = history.channels.get(key)
        number = channel.by_seq.get(message.seq) if channel else None
        if number is None or channel is None:
            self._findings.add("not_in_history", where)
            return
        if not _same(history.messages[number], message):
            self._findings.add("altered", f"{where} on {registration}")
        hearing = self._hearing(registration, lot, message, where)
        if not self._first_time(registration, number) and not hearing.reads(number):
            self._findings.add("delivered_twice", f"{where} on {registration}")
            return
        self._check_order(registration, channel, key, message, where)
        self.append_to_append.append(row.at_ms - self._run.taken_ms[number])
        self.reached += hearing.hear(message, number, where)

    def _first_time(self, registration: Registration, number: int) -> bool:
        """Marks a message as delivered here; False if it was."""
        got = registration.got
        if number >= len(got):
            got.extend(bytes(number + 1 - len(got)))
        if got[number]:
            return False
        got[number] = 1
        return True

    def _check_order(
        self, registration: Registration, channel: Channel, key: ChannelKey, message: Message, where: str
    ) -> None:
        last = self._last.get((registration, key), 0)
        if message.seq < last:
            self._findings.add("delivery_order", f"{where} on {registration} of {channel.group}, after {last}")
        self._last[registration, key] = max(last, message.seq)

    def _hearing(self, registration: Registration, lot: DeliveryLot, entry: _OfGroup | Entry, where: str) -> Hearing:
        app, name = _group_of(entry)
        of_link = self.hearing[registration]
        if (found := of_link.get((app, name))) is None:
            group = self._groups.get(app, name)
            told = Listening(registration, group, self._findings, self._before)
            found = of_link[group.key] = Hearing(told, self._run)
        if found.told.group.partition != lot.source:
            self._findings.add("misplaced", f"{where} from source {lot.source}: {found.told.group}")
        return found

    def _before(self, session: Session, group: Group) -> Listening | None:
        """What a session was told of a group where it was before."""
        return self.told(self._registrations.get(session.at.link, session.at.epoch), group.key)

    def _of_source(self, registration: Registration, source: int) -> list[Hearing]:
        return [one for one in self.hearing[registration].values() if one.told.group.partition == source]


def _group_of(entry: Entry) -> GroupKey:
    app, group = getattr(entry, "app", ""), getattr(entry, "group", "")
    return app, group


def _same(kept: Message, told: Message) -> bool:
    """Whether a delivered message is the one of history: only whom it is for may differ."""
    return (told.audience == kept.audience and told == kept) or _plain(told) == _plain(kept)


def _plain(message: Message) -> Message:
    return msgspec.structs.replace(message, audience=0, audience_version=0)


def _in_time(rows: Iterable[tuple[Row, object]]) -> Iterator[tuple[Row, object]]:
    """All links' lots in the order of time, each link's in its own."""
    newest: dict[int, int] = defaultdict(int)
    timed = []
    for row, lot in rows:
        newest[row.partition] = max(newest[row.partition], row.at_ms)
        timed.append((newest[row.partition], row, lot))
    return ((row, lot) for _, row, lot in sorted(timed, key=lambda one: one[0]))
