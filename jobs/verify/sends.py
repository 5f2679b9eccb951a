"""Whether each send came to exactly one end, and each try to one answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Final, NamedTuple

from jobs.verify.answers import Answers, Given, Question, may_be_deaf, target_of
from jobs.verify.findings import Findings
from jobs.verify.history import History, SendKey, send_key
from jobs.verify.links import Registrations
from jobs.verify.members import Groups, Member
from jobs.verify.rejects import Rejects
from jobs.verify.relations import Relations
from jobs.verify.report import Report
from jobs.verify.world import World, place
from topics import catalog, limits
from topics.answers import Accepted, Applied, Refused
from topics.events import ChannelDeleted, GroupDeleted, RelationEvent
from topics.messages import Message, Send, Signal


class Try(NamedTuple):
    """One try of a send: the record, where it stands, when it was appended."""

    send: Send
    where: str
    at_ms: int


class Sends:
    """All sends of a run, by what they are, with all their tries; rejected ones left out.

    Attributes:
        tries: the tries of each send.
        of_device: how many sends there are of each (app, group, channel, sender, device).
        signals: how many signals there were.
        resends: how many tries beyond each first.
    """

    def __init__(self, world: World, rejects: Rejects) -> None:
        self.tries: dict[SendKey, list[Try]] = defaultdict(list)
        self.of_device: Counter[tuple[str, ...]] = Counter()
        self.signals = 0
        for row, record in world.rows(catalog.MESSAGES):
            if isinstance(record, Signal):
                self.signals += 1
            elif isinstance(record, Send) and not rejects.names(catalog.MESSAGES, row):
                key = send_key(record)
                self.of_device[key[:-1]] += key not in self.tries
                self.tries[key].append(Try(record, place(catalog.MESSAGES, row), row.at_ms))

    @property
    def resends(self) -> int:
        """How many tries there were beyond the first of each send."""
        return sum(map(len, self.tries.values())) - len(self.tries)

    def taken_ms(self, message: Message) -> int:
        """When the try was appended that became this message: the last one that can have."""
        tries = self.tries.get(send_key(message), ())
        return max((one.at_ms for one in tries if one.at_ms <= message.at), default=message.at)


class SendJudge:
    """Compares sends with history and answers."""

    def __init__(
        self,
        sends: Sends,
        history: History,
        answers: Answers,
        groups: Groups,
        registrations: Registrations,
        findings: Findings,
        due_before_ms: int,
    ) -> None:
        self._sends = sends
        self._history = history
        self._answers = answers
        self._groups = groups
        self._registrations = registrations
        self._findings = findings
        self._due_before_ms = due_before_ms
        self._asked: dict[Question, list[Try]] = defaultdict(list)
        self._first: set[SendKey] = set()
        self._lives: dict[tuple[str, str, str, int], int] = {}

    def judge(self, report: Report) -> None:
        """All rules about sends."""
        for tries in self._sends.tries.values():
            for one in tries:
                if one.send.reply is not None:
                    self._asked[_question(one.send)].append(one)
        refusals = self._judge_answers(report)
        for key, tries in self._sends.tries.items():
            self._judge_end(key, tries, refusals, report)
        for key, numbers in self._history.by_send.items():
            self._judge_history(key, numbers)
        report.accepted = len(self._history.by_send)

    def _judge_answers(self, report: Report) -> dict[Question, list[Given]]:
        """Each question has as many answers as tries; gives the refusals."""
        refusals: dict[Question, list[Given]] = {}
        for question, tries in self._asked.items():
            given = self._answers.given.get(question, [])
            missing = sum(one.at_ms < self._due_before_ms for one in tries) - len(given)
            if missing > 0 and not self._may_lack(question, tries):
                self._findings.add("try_unanswered", f"{tries[-1].where} {_name(send_key(tries[-1].send))}", missing)
            if len(given) > len(tries):
                self._findings.add("answered_twice", f"{tries[0].where}", len(given) - len(tries))
            refusals[question] = [one for one in given if isinstance(one.answer, Refused)]
            for one in given:
                self._judge_answer(one, tries, report)
        for question, given in self._answers.given.items():
            if question.client_id is not None and question not in self._asked:
                self._findings.add("answer_unasked", f"{question.target} {question.client_id}", len(given))
        return refusals

    def _may_lack(self, question: Question, tries: list[Try]) -> bool:
        """Whether an answer may be missing: the link died, and not just after what the answer travels with."""
        if not may_be_deaf(question.target, self._registrations):
            return False
        if len(tries) > 1 or question.target.session is None:
            return True
        key = send_key(tries[0].send)
        numbers = self._history.by_send.get(key, ())
        if not numbers or len(self._sends.tries[key]) > 1:
            return True
        link, epoch, _ = question.target.session
        at_ms, (partition, _) = self._history.at_ms[numbers[0]], self._history.where[numbers[0]]
        return self._registrations.get(link, epoch).dead(partition, at_ms)

    def _judge_answer(self, given: Given, tries: list[Try], report: Report) -> None:
        keys = {send_key(one.send) for one in tries}
        match given.answer:
            case Refused(code=code):
                report.refused[code] = report.refused.get(code, 0) + 1
                if not any(self._refusable(one, given) for one in tries):
                    self._findings.add("refused_wrongly", f"{tries[0].where}: {code}")
            case Accepted(channel=channel, seq=seq, again=again):
                keys = {key for key in keys if key[2] == channel}
                numbers = [number for key in keys for number in self._history.by_send.get(key, ())]
                messages = [self._history.messages[number] for number in numbers]
                where = f"{tries[0].where}: seq {seq}"
                if not messages:
                    self._findings.add("accepted_not_kept", where)
                elif seq not in {message.seq for message in messages}:
                    self._findings.add("seq_differs", f"{where}, history has {messages[0].seq}")
                if not again:
                    key = next((send_key(message) for message in messages if message.seq == seq), None)
                    if key is not None and key in self._first and len(numbers) == 1:
                        self._findings.add("first_twice", where)
                    if key is not None:
                        self._first.add(key)
            case Applied():
                self._findings.add("answer_unasked", f"{tries[0].where}: applied")

    def _refusable(self, one: Try, given: Given) -> bool:
        """Whether this try could rightly be refused so."""
        send, code = one.send, given.answer.code if isinstance(given.answer, Refused) else None
        stranger = not self._surely_member(send, one.at_ms, given.at_ms)
        reasons: dict[str | None, bool] = {
            "not_a_member": stranger,
            "unknown_group": stranger,
            "unknown_channel": self._ever(one, given, lambda was, version: not was.is_channel(send.channel, version)),
            "not_visible": self._ever(
                one, given, lambda was, version: not was.sees(send.sender, send.channel, version)
            ),
            "not_permitted": self._ever(
                one, given, lambda was, version: not was.may(send.sender, "send", send.channel, version)
            ),
            "muted": self._ever(
                one, given, lambda was, version: was.muted(send.sender, send.channel, version, one.at_ms)
            ),
            "message_too_large": len(bytes(send.body)) > limits.BODY_BYTES,
            "expired": send.tried_at + limits.DEDUPE_WINDOW_MS < given.at_ms
            or send.tried_at <= self._earlier_life_ms(send, given.at_ms),
            "clock_ahead": send.tried_at > one.at_ms + limits.CLOCK_SKEW_MS,
            "overloaded": True,  # the pipeline knows its load
            "throttled": self._sends.of_device[send_key(send)[:-1]] > limits.DEDUPE_PER_DEVICE,
        }
        return reasons.get(code, False)

    def _ever(self, one: Try, given: Given, holds: Callable[[Relations, int], bool]) -> bool:
        """Whether something held at any version at which this try may have been decided."""
        group = self._groups.get(one.send.app, one.send.group)
        return any(holds(group.relations, version) for version in group.versions(one.at_ms, given.at_ms))

    def _might_send(self, one: Try) -> bool:
        """Whether the channel was there, seen and open to the sender, from the try on for good."""
        send, group = one.send, self._groups.get(one.send.app, one.send.group)
        return all(
            group.relations.might_send(send.sender, send.channel, version, one.at_ms)
            for version in group.versions(one.at_ms, _FOREVER)
        )

    def _surely_member(self, send: Send, from_ms: int, to_ms: int) -> bool:
        """Whether the sender was a member all the time; what the group's partition told before, it knew."""
        memberships: Iterable[Member] = self._groups.get(send.app, send.group).memberships.get(send.sender, ())
        return any(member.since_ms < from_ms and to_ms < member.until_ms for member in memberships)

    def _judge_end(self, key: SendKey, tries: list[Try], refusals: dict[Question, list[Given]], report: Report) -> None:
        report.sent += 1
        if key in self._history.by_send:
            return
        asked = [one for one in tries if one.send.reply is not None]
        if any(refusals[_question(one.send)] for one in asked):
            return
        due = [one for one in tries if one.at_ms < self._due_before_ms]
        waited = [one for one in due if one.send.reply is not None and not self._deaf(one.send)]
        if waited or any(self._acceptable(one) for one in due):
            self._findings.add("send_lost", f"{tries[0].where} {_name(key)}")
        else:
            report.silent += 1

    def _deaf(self, send: Send) -> bool:
        return send.reply is None or may_be_deaf(target_of(send.reply), self._registrations)

    def _acceptable(self, one: Try) -> bool:
        """Whether nothing could have been said against this try."""
        send = one.send
        return (
            self._surely_member(send, one.at_ms, _FOREVER - 1)
            and self._might_send(one)
            and len(bytes(send.body)) <= limits.BODY_BYTES
            and abs(send.tried_at - one.at_ms) < limits.DEDUPE_WINDOW_MS // 2
            and send.tried_at > self._earlier_life_ms(send, _FOREVER)
            and self._sends.of_device[send_key(send)[:-1]] <= limits.DEDUPE_PER_DEVICE
        )

    def _tried_ms(self, message: Message) -> int:
        return max(message.at, *(one.send.tried_at for one in self._sends.tries.get(send_key(message), ())))

    def _judge_history(self, key: SendKey, numbers: list[int]) -> None:
        tries = self._sends.tries.get(key)
        for number in numbers:
            message = self._history.messages[number]
            if tries is None:
                self._findings.add("never_sent", f"{_name(key)} seq {message.seq}")
            elif not any(one.send.body == message.body and one.send.kind == message.kind for one in tries):
                self._findings.add("altered", f"{tries[0].where} {_name(key)} seq {message.seq}")
        for one, other in pairwise(self._history.messages[number] for number in numbers):
            self._findings.add("numbered_twice", f"{_name(key)}: {one.seq} and {other.seq}")

    def _earlier_life_ms(self, send: Send, by_ms: int) -> int:
        """How late anything may have been tried first that was sent to a life of the channel that ended by then."""
        ended = max(
            (one.version for one in self._groups.get(send.app, send.group).events if _ends(one, send, by_ms)), default=0
        )
        key = send.app, send.group, send.channel, ended
        if ended and key not in self._lives:
            numbers = self._history.of_group.get((send.app, send.group), ())
            messages = [self._history.messages[number] for number in numbers]
            self._lives[key] = max(
                (self._tried_ms(one) for one in messages if one.version < ended and one.channel == send.channel),
                default=0,
            )
        return self._lives.get(key, 0)


def _ends(event: RelationEvent, send: Send, by_ms: int) -> bool:
    """Whether the channel of this send ended by this event."""
    if event.at > by_ms:
        return False
    return isinstance(event, GroupDeleted) or (isinstance(event, ChannelDeleted) and event.channel == send.channel)


_FOREVER: Final = 1 << 62


def _question(send: Send) -> Question:
    if send.reply is None:
        raise ValueError("nobody waits")
    return Question(target_of(send.reply), send.app, send.group, send.client_id, None)


def _name(key: SendKey) -> str:
    app, group, channel, sender, device, client_id = key
    return f"{app}:{group}/{channel} {client_id} of {sender}.{device}"
