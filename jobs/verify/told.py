"""What single sessions were told by their users' owners: that they go on, that they ended, who is online, answers."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from jobs.verify.findings import Findings
from jobs.verify.links import Registration, Registrations
from jobs.verify.members import NEVER
from jobs.verify.sessions import Session, UserSessions
from jobs.verify.world import Row, place
from topics import catalog
from topics.answers import Done, Refused
from topics.deliveries import Ended, PresenceOut, Resumed, SessionLot
from topics.presence import Presence, State


class SessionNews:
    """All records `sessions` of `deliveries`."""

    def __init__(self, registrations: Registrations, findings: Findings) -> None:
        self._registrations = registrations
        self._findings = findings
        self._resumed: dict[tuple[Registration, int], list[bool]] = defaultdict(list)
        self._ended: dict[tuple[Registration, int], str] = {}
        self._presence: dict[tuple[Registration, int], dict[str, Presence]] = defaultdict(dict)
        self._refused: set[tuple[Registration, int, str | None]] = set()

    def replay(self, row: Row, lot: SessionLot, registration: Registration) -> None:
        """A link is told."""
        where = place(catalog.DELIVERIES, row)
        if row.partition != registration.partition:
            self._findings.add("other_partition", f"{where} for {registration}, given {registration.partition}")
        for entry in lot.entries:
            match entry:
                case Resumed():
                    self._resumed[registration, entry.slot].append(entry.known)
                case Ended():
                    self._end(registration, entry, where)
                case PresenceOut():
                    self._show(row, registration, entry, where)
                case Refused():
                    self._refused.add((registration, -1 if entry.slot is None else entry.slot, entry.request))
                case Done():
                    pass

    def _end(self, registration: Registration, entry: Ended, where: str) -> None:
        session = registration.sessions.get(entry.slot)
        if session is None or (session.why != entry.why and not _died(registration, session)):
            said = "no session" if session is None else f"{session.user[1]}, {session.why or 'which was not ended'}"
            self._findings.add("ended_wrong", f"{where} {registration}: slot {entry.slot} {entry.why}: {said}")
        elif (registration, entry.slot) in self._ended:
            self._findings.add("ended_twice", f"{where} {registration}: slot {entry.slot}")
        self._ended[registration, entry.slot] = entry.why

    def _show(self, row: Row, registration: Registration, entry: PresenceOut, where: str) -> None:
        for slot in entry.slots:
            session = registration.sessions.get(slot)
            for user in entry.users:
                said = f"{where} {registration}: slot {slot}: {user.user} {user.state}"
                if session is None or session.user[0] != entry.app or not _watched(session, user.user, row.at_ms):
                    self._findings.add("presence_unasked", said)
                    continue
                known = self._presence[registration, slot].get(user.user)
                if known is not None and user.version < known.version:
                    self._findings.add("presence_order", f"{said}, {user.version} after {known.version}")
                self._presence[registration, slot][user.user] = user

    def judge(self, due_before_ms: int, *, settled: bool) -> None:
        """Each resume was answered, and rightly; in the end each watcher knows how those whom it watches are."""
        for of_user in self._registrations.of_user.values():
            self._judge_resumes(of_user, due_before_ms)
        for registration in self._registrations.by_key.values():
            if registration.void_ms:
                continue
            for session in registration.sessions.values():
                if session.why is not None and session.down_ms < due_before_ms:
                    self._judge_end(registration, session)
                if settled and session.down_ms == NEVER:
                    self._judge_watcher(registration, session)

    def _judge_end(self, registration: Registration, session: Session) -> None:
        if session.by is not None and self._dead(session.by):
            return  # it may be that nothing began there, and nothing ended here
        if (registration, session.slot) not in self._ended:
            said = f"slot {session.slot} of {session.user[1]} on {registration}: {session.why}"
            self._findings.add("ended_untold", said)

    def _dead(self, session: Session) -> bool:
        """Whether a session's link was dead, or about to be, when it began."""
        return self._registrations.get(session.at.link, session.at.epoch).first_void_ms < session.up_ms + _LATE_MS

    def _judge_resumes(self, of_user: UserSessions, due_before_ms: int) -> None:
        due: dict[tuple[Registration, int], list[bool | None]] = defaultdict(list)
        for at_ms, record, known in of_user.resumes:
            registration = self._registrations.get(record.link, record.epoch)
            if at_ms < due_before_ms and not registration.void_ms:
                due[registration, record.slot].append(known)
        for (registration, slot), knowns in due.items():
            told = self._resumed.pop((registration, slot), [])
            if len(told) < len(knowns):
                self._findings.add("resume_unanswered", f"slot {slot} on {registration}", len(knowns) - len(told))
            for known, said in zip(knowns, told, strict=False):
                if known is not None and known != said:
                    word = "known" if said else "not known"
                    self._findings.add("resume_wrong", f"slot {slot} on {registration}: told that it is {word}")

    def _judge_watcher(self, registration: Registration, session: Session) -> None:
        told = self._presence.get((registration, session.slot), {})
        refused = {
            user
            for _, on, record in session.watched
            if on and (registration, session.slot, record.request) in self._refused
            for user in record.users
        }
        for user in session.watches() - refused:
            of_user = self._registrations.of_user.get((session.user[0], user))
            if of_user is not None and any(map(self._dead, of_user.by_at.values())):
                continue
            said = f"slot {session.slot} on {registration}: {user}"
            if (presence := told.get(user)) is None:
                self._findings.add("presence_missed", said)
                continue
            right = _states(self._registrations.of_user.get((session.user[0], user)))
            if presence.state not in right:
                self._findings.add("presence_wrong", f"{said} is {presence.state}, not {' or '.join(sorted(right))}")


def _died(registration: Registration, session: Session) -> bool:
    """Whether its link died about when another took its place: who tells it so may know of the one before the other."""
    if session.by is None or session.why is not None:
        return False
    return registration.first_void_ms < session.by.up_ms < registration.first_void_ms + _LATE_MS


def _watched(session: Session, user: str, at_ms: int) -> bool:
    """Whether a session may be told of a user: it watched, and did not cease to for long."""
    watched = False
    for asked_ms, on, record in session.watched:
        if asked_ms <= at_ms and user in record.users:
            watched = on or (watched and asked_ms > at_ms - _LATE_MS)
    return watched


def _states(of_user: UserSessions | None) -> set[State]:
    """How a user may be found in the end: what is lost may have run out or not."""
    living = [] if of_user is None else list(of_user.living())
    sure = [session for session in living if not session.lost]
    return {_state(living), _state(sure)}


def _state(sessions: list[Session]) -> State:
    if not sessions:
        return "offline"
    return "background" if all(session.background for session in sessions) else "online"


_LATE_MS: Final = 20_000  # what was on its way may come so much later
