"""Which links were registered and when they died; which sessions began on them and when they ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.verify.findings import Findings
from jobs.verify.members import NEVER
from jobs.verify.policies import Policies
from jobs.verify.rejects import Rejects
from jobs.verify.sessions import Session, UserSessions
from jobs.verify.world import Row, World, place
from topics import catalog
from topics.answers import AnswerLot, Registered
from topics.codec import Malformed
from topics.sessions import Resume, SessionRecord, Up

RegistrationKey = tuple[str, int]


@dataclass(slots=True, eq=False)
class Registration:
    """One registration of a link.

    Attributes:
        link: the link.
        epoch: the registration's number.
        partition: of `deliveries` that it was given; None: it was given none.
        void_ms: partition -> when its death was told there.
        sessions: its sessions by slot.
        got: for each message of history whether it was delivered here.
        numbers: source -> the last lot's number.
        background: source -> the sessions that it was told are in the background.
        overrun_ms: source -> since when it is told nothing but answers, as it fell too far behind.
    """

    link: str
    epoch: int
    partition: int | None = None
    void_ms: dict[int, int] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    got: bytearray = field(default_factory=bytearray)
    numbers: dict[int, int] = field(default_factory=dict)
    background: dict[int, set[int]] = field(default_factory=dict)
    overrun_ms: dict[int, int] = field(default_factory=dict)

    @property
    def first_void_ms(self) -> int:
        """When its death was first told anywhere."""
        return min(self.void_ms.values(), default=NEVER)

    def dead(self, partition: int, at_ms: int) -> bool:
        """Whether a batch of this partition, appended at `at_ms`, may have known of its death."""
        return at_ms >= self.void_ms.get(partition, NEVER)

    def __str__(self) -> str:
        return f"{self.link}/{self.epoch}"


class Registrations:
    """All registrations of a run, with their sessions and deaths.

    Attributes:
        by_key: by link and epoch.
        of_user: all sessions of a user, by (app, user).
    """

    def __init__(self, world: World, rejects: Rejects, policies: Policies, findings: Findings) -> None:
        self.by_key: dict[RegistrationKey, Registration] = {}
        self.of_user: dict[tuple[str, str], UserSessions] = {}
        self._policies = policies
        self._read_answers(world)
        rows = [
            (row, record)
            for row, record in world.rows(catalog.SESSIONS)
            if not isinstance(record, Malformed) and not rejects.names(catalog.SESSIONS, row)
        ]
        for _, record in rows:
            if isinstance(record, Up | Resume):
                self._name(record)
        self._read_voids(world, findings)
        for row, record in rows:
            self._take(row, record)
        for of_user in self.of_user.values():
            self._take_voids(of_user, NEVER)

    def get(self, link: str, epoch: int) -> Registration:
        """A registration, also one that never was."""
        if (found := self.by_key.get((link, epoch))) is None:
            found = self.by_key[link, epoch] = Registration(link, epoch)
        return found

    def _read_answers(self, world: World) -> None:
        for _, lot in world.rows(catalog.ANSWERS):
            if not isinstance(lot, AnswerLot):
                continue  # told by who reads the answers themselves
            for entry in lot.entries:
                if isinstance(answer := entry.answer, Registered):
                    self.get(answer.link, answer.epoch).partition = answer.partition

    def _name(self, record: Up | Resume) -> None:
        registration = self.get(record.link, record.epoch)
        if registration.partition is None:  # no answer to be seen: take the gateway's word
            registration.partition = record.partition

    def _take(self, row: Row, record: SessionRecord) -> None:
        of_user = self.of_user.setdefault((record.app, record.user), UserSessions())
        self._take_voids(of_user, row.at_ms)
        began = of_user.take(row.at_ms, record, self._policies.of(record.app, row.at_ms))
        if began is not None:
            self.get(began.at.link, began.at.epoch).sessions.setdefault(began.slot, began)

    def _take_voids(self, of_user: UserSessions, by_ms: int) -> None:
        """A link that died by then took its sessions with it: they are lost."""
        for session in list(of_user.living()):
            void_ms = self.get(session.at.link, session.at.epoch).first_void_ms
            if void_ms < by_ms:
                session.lose(max(void_ms, session.up_ms))

    def _read_voids(self, world: World, findings: Findings) -> None:
        told: dict[RegistrationKey, set[int]] = {}
        for row, void in world.rows(catalog.LINK_VOIDS):
            if isinstance(void, Malformed):
                findings.add("unreadable", place(catalog.LINK_VOIDS, row))
                continue
            told.setdefault((void.link, void.epoch), set()).add(row.partition)
            for registration in self.by_key.values():
                if registration.link == void.link and registration.epoch <= void.epoch:
                    known = registration.void_ms.get(row.partition, NEVER)
                    registration.void_ms[row.partition] = min(known, row.at_ms)
        for (link, epoch), partitions in told.items():
            if len(partitions) < world.partitions:
                findings.add("void_untold", f"{link}/{epoch}: told to {sorted(partitions)} of {world.partitions}")
