"""Whether each command led to what it must: its events, in turn, and its answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from jobs.verify.answers import Answers, Given, Question, may_be_deaf, target_of
from jobs.verify.findings import Findings
from jobs.verify.links import Registrations
from jobs.verify.members import Group, GroupKey, Groups
from jobs.verify.policies import Policies
from jobs.verify.rejects import Rejects
from jobs.verify.verdicts import Told, Verdict, told_of, verdict
from jobs.verify.world import Row, World, place
from topics import catalog
from topics.answers import CODES, Applied, Code, Refused
from topics.codec import Malformed
from topics.events import ApplicationEnded, CodeEnded, InviteEnded, RelationEvent
from topics.policy import Policy
from topics.relations import Join, Large, RelationRecord

_ANY: Final[frozenset[Code]] = frozenset(CODES)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command must be answered.

    Attributes:
        row: where it stands.
        command: it.
        codes: a refusal with one of these is right.
        applied: `applied` is right.
        versions: the group's version after it is one of these; None: it is not known.
        changes: whether it changed anything.
        users: how many users it changed, where that is what is told.
    """

    row: Row
    command: RelationRecord
    codes: frozenset[Code]
    applied: bool
    versions: frozenset[int] | None = None
    changes: bool = False
    users: int | None = None

    @property
    def due(self) -> str:
        """In words."""
        refusal = f"a refusal with {', '.join(sorted(self.codes))}" if self.codes else ""
        versions = " or ".join(map(str, sorted(self.versions or ())))
        applied = f"version {versions}, {'a' if self.changes else 'no'} change" if self.applied else ""
        return " or ".join(filter(None, (refusal, applied)))


@dataclass(slots=True)
class _Turn:
    """How far the events of a group were seen to follow from its commands.

    Attributes:
        group: the group.
        seen: how many of its events were.
        parts: parts of change sets that were applied: they count once.
        sets: how many parts those change sets have.
        used: (version at which an invite code was made, it) -> how often it was used.
        wrong: what follows is not to be judged: it was not what had to follow.
    """

    group: Group
    seen: int = 0
    parts: set[tuple[int, str, int]] = field(default_factory=set)
    sets: dict[tuple[int, str], int] = field(default_factory=dict)
    used: Counter[tuple[int, str]] = field(default_factory=Counter)
    wrong: bool = False

    @property
    def version(self) -> int:
        """The group's version so far."""
        return self.group.events[self.seen - 1].version if self.seen else 0

    def next(self, count: int) -> list[RelationEvent]:
        """The next so many events."""
        return self.group.events[self.seen : self.seen + count]

    def tells(self, told: tuple[Told, ...]) -> bool:
        """Whether the next events are these."""
        return tuple(told_of(event) for event in self.next(len(told))) == told

    def pass_over(self) -> bool:
        """Pass over the next event if it follows from nothing but time."""
        passed = bool(upcoming := self.next(1)) and self._by_time(upcoming[0])
        self.seen += passed
        return passed

    def verdict(self, row: Row, command: RelationRecord, policy: Policy) -> Verdict:
        """What a command must lead to now; a part of a change set counts once."""
        due = verdict(self.group.relations, command, self.version, row.at_ms, self.used, policy)
        part = self.part(command)
        if part is None or due.codes & {"unknown_group", "version_changed"}:
            return due
        if not self.fits(part, command):
            return Verdict(codes=frozenset({"bad_command"}))
        return Verdict() if part in self.parts else due

    def came(self, command: RelationRecord) -> None:
        """A part of a change set was applied."""
        if (part := self.part(command)) is not None and isinstance(command, Large):
            self.parts.add(part)
            self.sets[part[:2]] = command.parts

    def use(self, command: Join) -> None:
        """A user came in, perhaps by a code."""
        life = self.group.relations.life.at(self.version)
        if life is not None and command.code is not None and (minted := life.codes[command.code].at(self.version)):
            self.used[minted.version, command.code] += 1

    def part(self, command: RelationRecord) -> tuple[int, str, int] | None:
        """Which part of which change set of this life of the group a command is."""
        if isinstance(command, Large) and command.change_set is not None:
            return id(self.group.relations.life.at(self.version)), command.change_set, command.part
        return None

    def fits(self, part: tuple[int, str, int], command: RelationRecord) -> bool:
        """Whether a part agrees with itself and with those that came before."""
        parts = command.parts if isinstance(command, Large) else 1
        return part[2] <= parts and self.sets.get(part[:2], parts) == parts

    def _by_time(self, event: RelationEvent) -> bool:
        life = self.group.relations.life.at(self.version)
        match event:
            case InviteEnded(end="expired") | ApplicationEnded(end="expired"):
                return True
            case CodeEnded(code=code) if life is not None and (held := life.codes.get(code)) is not None:
                minted = held.at(self.version)
                return minted is not None and minted.code.expires_at <= event.at
        return False


def replay_commands(
    world: World, groups: Groups, rejects: Rejects, policies: Policies, findings: Findings, due_before_ms: int
) -> Iterator[Outcome]:
    """Compares each group's events with what its commands must have done; gives what each must have answered."""
    turns: dict[GroupKey, _Turn] = {}
    for row, command in world.rows(catalog.RELATIONS):
        if isinstance(command, Malformed) or rejects.names(catalog.RELATIONS, row):
            continue
        group = groups.get(command.app, command.group)
        if (turn := turns.get(group.key)) is None:
            turn = turns[group.key] = _Turn(group)
        if turn.wrong:
            yield Outcome(row, command, _ANY, applied=True)
        else:
            yield _judge(turn, row, command, policies.of(command.app, row.at_ms), findings, due_before_ms)
    for group in groups.by_key.values():
        turn = turns.get(group.key, _Turn(group))
        if not turn.wrong:
            while turn.pass_over():
                pass
            if extra := len(group.events) - turn.seen:
                findings.add("event_twice", f"{group}: more events than its commands have led to", extra)


def _judge(
    turn: _Turn, row: Row, command: RelationRecord, policy: Policy, findings: Findings, due_before_ms: int
) -> Outcome:
    begun = turn.seen
    dues: list[tuple[int, Verdict]] = []
    while True:  # what time ends may have ended before the command, or after it
        due = turn.verdict(row, command, policy)
        if due.told and turn.tells(due.told):
            return _changed(turn, row, command, due)
        dues.append((turn.version, due))
        if not turn.pass_over():
            break
    turn.seen = begun
    quiet = frozenset(version for version, due in dues if not due.told and not due.codes)
    codes = frozenset().union(*(due.codes | due.maybe for _, due in dues))
    if quiet:
        turn.came(command)
    elif not codes:
        return _lost(turn, row, command, dues[0][1], findings, due_before_ms)
    return Outcome(row, command, codes, applied=bool(quiet), versions=quiet)


def _changed(turn: _Turn, row: Row, command: RelationRecord, due: Verdict) -> Outcome:
    """The events that a command must have are there."""
    users = _users(turn, due.told[0])
    turn.came(command)
    turn.seen += len(due.told)
    if isinstance(command, Join):
        turn.use(command)
    versions = frozenset({turn.version})
    return Outcome(row, command, frozenset(), applied=True, versions=versions, changes=True, users=users)


def _users(turn: _Turn, told: Told) -> int | None:
    """How many users an event changes; None where it is about something else."""
    life = turn.group.relations.life.at(turn.version)
    if told.kind == "GroupDeleted" and life is not None:
        return life.count.at(turn.version)
    users = len(dict(told.fields).get("users", ()))
    return users if users or told.kind == "GroupCreated" else None


def _lost(
    turn: _Turn, row: Row, command: RelationRecord, due: Verdict, findings: Findings, due_before_ms: int
) -> Outcome:
    """The events that a command must have are not the next ones of its group."""
    where = f"{place(catalog.RELATIONS, row)} {turn.group}"
    if upcoming := turn.next(1):
        turn.wrong = True
        told = f"version {upcoming[0].version} tells {told_of(upcoming[0])}, not {due.told[0]}"
        findings.add("event_differs", f"{where}: {told}")
    elif row.at_ms < due_before_ms:
        findings.add("event_lost", where)
    return Outcome(row, command, frozenset(), applied=True, changes=True)


def judge_commands(
    outcomes: Iterable[Outcome],
    answers: Answers,
    registrations: Registrations,
    findings: Findings,
    due_before_ms: int,
) -> None:
    """Each command that asked for an answer got one, and the right one."""
    expected: dict[Question, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        command = outcome.command
        if command.reply is not None:
            question = Question(target_of(command.reply), command.app, command.group, None, command.request)
            expected[question].append(outcome)
    for question, outcomes_ in expected.items():
        given = answers.given.get(question, [])
        where = place(catalog.RELATIONS, outcomes_[0].row)
        missing = sum(outcome.row.at_ms < due_before_ms for outcome in outcomes_) - len(given)
        deaf = may_be_deaf(question.target, registrations)
        if missing > 0 and not deaf:
            findings.add("command_unanswered", where, missing)
        if len(given) > len(outcomes_):
            findings.add("answered_twice", where, len(given) - len(outcomes_))
        for outcome, one in zip(outcomes_, given, strict=False):
            if not deaf and not _answers(one, outcome):
                told = f"{type(outcome.command).__name__}: {one.answer}, due was {outcome.due}"
                findings.add("command_answer", f"{place(catalog.RELATIONS, outcome.row)} {told}")
    for question, given in answers.given.items():
        if question.client_id is None and question not in expected:
            findings.add("answer_unasked", f"{question.target} {question.request}", len(given))


def _answers(given: Given, outcome: Outcome) -> bool:
    match given.answer:
        case Refused(code=code):
            return code in outcome.codes
        case Applied(version=version, changed=changed):
            if outcome.versions is None:
                return outcome.applied
            right = (changed > 0) == outcome.changes if outcome.users is None else changed == outcome.users
            return outcome.applied and version in outcome.versions and right
    return False
