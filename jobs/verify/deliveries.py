"""Every lot of every link, replayed: numbered without holes, each message once and in order, to who sees it."""

from __future__ import annotations

from array import array
from collections import defaultdict

from jobs.verify.answers import Answers
from jobs.verify.findings import Findings
from jobs.verify.history import Channel, ChannelKey, History
from jobs.verify.links import Registration, Registrations
from jobs.verify.listening import Listening
from jobs.verify.members import GroupKey, Groups
from jobs.verify.persons import Persons
from jobs.verify.said import Said
from jobs.verify.sends import Sends
from jobs.verify.world import Row, World, place
from topics import catalog
from topics.answers import Accepted, Applied, Refused
from topics.codec import Malformed
from topics.deliveries import (
    AudienceDelta,
    AudienceSet,
    Bound,
    Changed,
    DeliveryLot,
    Entry,
    Head,
    NoticeLot,
    SignalOut,
    Unbound,
)
from topics.messages import Message

_OfGroup = Message | Bound | Unbound | SignalOut | Head | AudienceSet | AudienceDelta | Changed


class Deliveries:
    """All deliveries of a run.

    Attributes:
        lots: how many lots there were.
        messages: how many messages in them.
        reached: how many sessions these reached, summed up.
        append_to_append: milliseconds from send to lot, one a message and link.
        up_to_bound: milliseconds from session up to the lot that binds it, one a binding.
        listening: what each registration was told of each group.
    """

    def __init__(
        self,
        world: World,
        groups: Groups,
        registrations: Registrations,
        history: History,
        sends: Sends,
        answers: Answers,
        said: Said,
        findings: Findings,
    ) -> None:
        self.lots = 0
        self.messages = 0
        self.reached = 0
        self.append_to_append: array[int] = array("q")
        self.up_to_bound: array[int] = array("q")
        self.listening: dict[Registration, dict[GroupKey, Listening]] = defaultdict(dict)
        self._groups = groups
        self._history = history
        self._answers = answers
        self._findings = findings
        self._taken_ms = [sends.taken_ms(message) for message in history.messages]
        self._last: dict[tuple[Registration, ChannelKey], int] = {}
        persons = Persons(said, findings)
        for row, lot in world.rows(catalog.DELIVERIES):
            if isinstance(lot, Malformed):
                findings.add("unreadable", place(catalog.DELIVERIES, row))
            elif isinstance(lot, DeliveryLot):
                self._replay(row, lot, registrations.get(lot.link, lot.epoch))
            elif isinstance(lot, NoticeLot):
                persons.replay(row, lot, registrations.get(lot.link, lot.epoch))
        for listening in self.all():
            listening.close()

    def all(self) -> list[Listening]:
        """What each registration was told of each group, as one list."""
        return [listening for by_group in self.listening.values() for listening in by_group.values()]

    def _replay(self, row: Row, lot: DeliveryLot, registration: Registration) -> None:
        self.lots += 1
        where = place(catalog.DELIVERIES, row)
        if row.partition != registration.partition:
            self._findings.add("other_partition", f"{where} for {registration}, given {registration.partition}")
        if not self._in_turn(where, lot, registration):
            return
        if lot.reset:
            for listening in self.listening[registration].values():
                if listening.group.partition == lot.source:
                    listening.reset()
        for entry in lot.entries:
            if isinstance(entry, Message):
                self._message(row, lot, registration, entry)
            else:
                self._entry(row, lot, registration, entry)

    def _entry(self, row: Row, lot: DeliveryLot, registration: Registration, entry: Entry) -> None:
        where = place(catalog.DELIVERIES, row)
        match entry:
            case Bound():
                listening = self._listening(registration, lot, entry, where)
                listening.bind(entry, where, row.at_ms, self.up_to_bound)
            case Unbound():
                self._listening(registration, lot, entry, where).unbind(entry, where)
            case AudienceSet():
                self._listening(registration, lot, entry, where).learn(entry, where)
            case AudienceDelta():
                self._listening(registration, lot, entry, where).follow(entry, where)
            case Changed():
                self._listening(registration, lot, entry, where).hint(entry, where)
            case SignalOut() | Head():
                self._listening(registration, lot, entry, where).reach(entry, where)
            case Accepted() | Refused() | Applied():
                self._answers.add_to_session(registration, entry, row.at_ms)

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
        channel = self._history.channels.get(key)
        number = channel.by_seq.get(message.seq) if channel else None
        if number is None or channel is None:
            self._findings.add("not_in_history", where)
            return
        if self._history.messages[number] != message:
            self._findings.add("altered", f"{where} on {registration}")
        if not self._first_time(registration, number):
            self._findings.add("delivered_twice", f"{where} on {registration}")
            return
        self._check_order(registration, channel, key, message, where)
        self.append_to_append.append(row.at_ms - self._taken_ms[number])
        self.reached += self._listening(registration, lot, message, where).hear(message, where)

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

    def _listening(self, registration: Registration, lot: DeliveryLot, entry: _OfGroup, where: str) -> Listening:
        of_link = self.listening[registration]
        if (found := of_link.get((entry.app, entry.group))) is None:
            group = self._groups.get(entry.app, entry.group)
            found = of_link[group.key] = Listening(registration, group, self._findings)
        if found.group.partition != lot.source:
            self._findings.add("misplaced", f"{where} from source {lot.source}: {found.group}")
        return found
