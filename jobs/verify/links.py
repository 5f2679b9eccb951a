"""Which links were registered and when they died; which sessions began on them and when they ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.verify.findings import Findings
from jobs.verify.members import NEVER
from jobs.verify.rejects import Rejects
from jobs.verify.world import World, place
from topics import catalog
from topics.answers import AnswerLot, Registered
from topics.codec import Malformed
from topics.sessions import Up

RegistrationKey = tuple[str, int]


@dataclass(slots=True)
class Session:
    """One connection of one user: from when to before when, by append time."""

    user: tuple[str, str]
    slot: int
    up_ms: int
    down_ms: int = NEVER


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
    """

    link: str
    epoch: int
    partition: int | None = None
    void_ms: dict[int, int] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    got: bytearray = field(default_factory=bytearray)
    numbers: dict[int, int] = field(default_factory=dict)

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
    """All registrations of a run, with their sessions and deaths."""

    def __init__(self, world: World, rejects: Rejects, findings: Findings) -> None:
        self.by_key: dict[RegistrationKey, Registration] = {}
        self._read_answers(world)
        self._read_sessions(world, rejects)
        self._read_voids(world, findings)

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

    def _read_sessions(self, world: World, rejects: Rejects) -> None:
        for row, record in world.rows(catalog.SESSIONS):
            if isinstance(record, Malformed) or rejects.names(catalog.SESSIONS, row):
                continue
            registration = self.get(record.link, record.epoch)
            if isinstance(record, Up):
                session = Session((record.app, record.user), record.slot, row.at_ms)
                registration.sessions.setdefault(record.slot, session)
                if registration.partition is None:  # no answer to be seen: take the gateway's word
                    registration.partition = record.partition
            elif (ended := registration.sessions.get(record.slot)) and ended.user == (record.app, record.user):
                ended.down_ms = min(ended.down_ms, row.at_ms)

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
