"""Who was told what: answers in the links' deliveries and on `answers`, by whom they are for and what they answer."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from jobs.verify.findings import Findings
from jobs.verify.links import Registration, Registrations
from jobs.verify.world import World, place
from topics import catalog
from topics.answers import Accepted, Applied, Done, Refused, Registered
from topics.codec import Malformed
from topics.keys import partition_of
from topics.wire import ReplyTo, ToSession


class Target(NamedTuple):
    """Who waits: a requester, or a session. Exactly one of both is set."""

    requester: str | None
    session: tuple[str, int, int] | None


class Question(NamedTuple):
    """What is answered: a send by `client_id`, or a command by `request` (None where the caller gave none)."""

    target: Target
    app: str
    group: str
    client_id: str | None
    request: str | None


class Given(NamedTuple):
    """One answer and when it was appended."""

    answer: Accepted | Refused | Applied
    at_ms: int


def target_of(reply: ReplyTo) -> Target:
    """Who waits at this address."""
    if isinstance(reply, ToSession):
        return Target(None, (reply.link, reply.epoch, reply.slot))
    return Target(reply.requester, None)


class Answers:
    """All answers of a run, but those to registrations and to what is asked of a user's sessions."""

    def __init__(self, world: World, findings: Findings) -> None:
        self.given: dict[Question, list[Given]] = defaultdict(list)
        for row, lot in world.rows(catalog.ANSWERS):
            where = place(catalog.ANSWERS, row)
            if isinstance(lot, Malformed):
                findings.add("unreadable", where)
                continue
            for entry in lot.entries:
                if partition_of(entry.requester.encode(), world.partitions) != row.partition:
                    findings.add("misplaced", f"{where} for {entry.requester}")
                if not isinstance(entry.answer, Registered | Done):
                    self.add(Target(entry.requester, None), entry.answer, row.at_ms)

    def add_to_session(self, registration: Registration, answer: Accepted | Refused | Applied, at_ms: int) -> None:
        """An answer in a link's deliveries."""
        slot = -1 if answer.slot is None else answer.slot
        self.add(Target(None, (registration.link, registration.epoch, slot)), answer, at_ms)

    def add(self, target: Target, answer: Accepted | Refused | Applied, at_ms: int) -> None:
        """An answer to `target`."""
        if answer.app is None or answer.group is None:  # answers a registration
            return
        client_id = None if isinstance(answer, Applied) else answer.client_id
        request = None if isinstance(answer, Accepted) else answer.request
        self.given[Question(target, answer.app, answer.group, client_id, request)].append(Given(answer, at_ms))


def may_be_deaf(target: Target, registrations: Registrations) -> bool:
    """Whether answers to this target may be missing, as its link died."""
    if target.session is None:
        return False
    link, epoch, _ = target.session
    return bool(registrations.get(link, epoch).void_ms)
