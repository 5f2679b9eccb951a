"""Whether persons were told what concerns them, and nobody else was."""

from __future__ import annotations

from jobs.verify.findings import Findings
from jobs.verify.links import Registration
from jobs.verify.said import Said
from jobs.verify.world import Row, place
from topics import catalog
from topics.deliveries import NoticeLot
from topics.notices import NoticeOut


class Persons:
    """Notices to persons: what the groups role had to say, told to the sessions of those to whom it said it.

    That every notice gets there is not judged: one may be told after its user left, and stands in the inbox.
    """

    def __init__(self, said: Said, findings: Findings) -> None:
        self._findings = findings
        self._said = said
        self._told: set[tuple[Registration, str, str, int]] = set()

    def replay(self, row: Row, lot: NoticeLot, registration: Registration) -> None:
        """A link is told."""
        where = place(catalog.DELIVERIES, row)
        if row.partition != registration.partition:
            self._findings.add("other_partition", f"{where} for {registration}, given {registration.partition}")
        for entry in lot.entries:
            self._judge(f"{where} {registration}: {entry.notice.number} of {entry.app}:{entry.user}", entry)
            key = registration, entry.app, entry.user, entry.notice.number
            if key in self._told:
                self._findings.add("told_twice", f"{where} {registration}: {key[1:]}")
            self._told.add(key)
            for slot in entry.slots:
                session = registration.sessions.get(slot)
                if session is None or session.user != (entry.app, entry.user):
                    told = f"{where} {registration}: slot {slot} is no session of {entry.app}:{entry.user}"
                    self._findings.add("told_wrong", told)

    def _judge(self, told: str, entry: NoticeOut) -> None:
        notice = entry.notice
        if not self._said.to(entry.app, entry.user, notice):
            self._findings.add("told_wrong", f"{told}: {notice.kind} in {notice.group}, which nobody said")
