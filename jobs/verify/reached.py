"""Who should have been reached: by the pipeline's own bindings, and by sessions and memberships alone."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from jobs.verify.deliveries import Deliveries
from jobs.verify.drives import Drives
from jobs.verify.findings import Findings
from jobs.verify.history import History
from jobs.verify.links import Registration, Registrations
from jobs.verify.members import NEVER, GroupKey, Groups, Member
from jobs.verify.sends import Sends
from jobs.verify.sessions import Session


@dataclass(slots=True)
class Timeline:
    """The messages of one group in order: when each was sent and kept, and the versions it was decided at.

    Each list is made to rise (a broker's clock may step), so that it can be searched; always to the cautious side.
    """

    numbers: list[int]
    sent_ms: list[int]
    kept_ms: list[int]
    versions: list[int]
    maps: list[int]

    @classmethod
    def of(cls, numbers: list[int], history: History, sends: Sends) -> Timeline:
        """Of these messages of history."""
        messages = [history.messages[number] for number in numbers]
        sent = np.array([sends.taken_ms(message) for message in messages], np.int64)
        kept = np.array([history.at_ms[number] for number in numbers], np.int64)
        return cls(
            numbers,
            np.minimum.accumulate(sent[::-1])[::-1].tolist(),
            np.maximum.accumulate(kept).tolist(),
            np.maximum.accumulate(np.array([message.version for message in messages], np.int64)).tolist(),
            np.maximum.accumulate(np.array([message.map for message in messages], np.int64)).tolist(),
        )


class Reached:
    """Compares who was reached with who should have been."""

    def __init__(
        self,
        groups: Groups,
        registrations: Registrations,
        history: History,
        deliveries: Deliveries,
        sends: Sends,
        findings: Findings,
        due_before_ms: int,
    ) -> None:
        self._due_before_ms = due_before_ms
        self._groups = groups
        self._registrations = registrations
        self._history = history
        self._deliveries = deliveries
        self._findings = findings
        self._timelines = {key: Timeline.of(numbers, history, sends) for key, numbers in history.of_group.items()}

    def judge_settled(self, settle_ms: int) -> None:
        """Each session that was up, of a user who was a member, both for long enough, was bound at each message.

        Whom of those that are bound a message must name is judged where it was delivered.
        """
        for registration in self._registrations.by_key.values():
            for session in registration.sessions.values():
                for member in self._groups.of_user.get(session.user, ()):
                    self._judge_settled(registration, session, member, settle_ms)

    def _judge_settled(self, registration: Registration, session: Session, member: Member, settle_ms: int) -> None:
        if (timeline := self._timelines.get(member.group.key)) is None:
            return
        settled_ms = max(session.up_ms, member.since_ms) + settle_ms
        gone_ms = min(session.down_ms, registration.first_void_ms, self._due_before_ms)
        first = max(bisect_left(timeline.sent_ms, settled_ms), bisect_left(timeline.versions, member.since))
        end = min(bisect_left(timeline.kept_ms, gone_ms), bisect_left(timeline.versions, member.until))
        if first >= end:
            return
        told = self._deliveries.told(registration, member.group.key)
        spans = told.spans.get(session.slot, ()) if told else ()
        covered = 0
        for since, until in spans:
            start = max(first, bisect_left(timeline.maps, since))
            covered += max(0, min(end, bisect_left(timeline.maps, until)) - start)
        if (missed := end - first - covered) > 0:
            seq = self._history.messages[timeline.numbers[first]].seq
            where = f"slot {session.slot} of {member.user} on {registration}, {member.group} from seq {seq} on"
            self._findings.add("settled_missed", where, missed)

    def judge_end(self) -> None:
        """Once all is quiet: bound are just the sessions that are up, in the groups that their users are in.

        One that was lost is open: it may be resumed for a while.
        """
        for registration in self._registrations.by_key.values():
            if registration.void_ms:
                continue
            should: set[tuple[GroupKey, int, int]] = set()
            lost = {session.slot for session in registration.sessions.values() if session.lost}
            for session in registration.sessions.values():
                if session.down_ms < NEVER:
                    continue
                for member in self._groups.of_user.get(session.user, ()):
                    if member.until == NEVER:
                        should.add((member.group.key, member.ordinal, session.slot))
            bound = {
                (key, binding.ordinal, binding.slot)
                for key, hearing in self._deliveries.hearing[registration].items()
                for binding in hearing.told.slots.values()
                if binding.slot not in lost
            }
            self._compare(registration, bound, should)
            self._judge_grounds(registration)

    def _judge_grounds(self, registration: Registration) -> None:
        """Each source that has a group of a session knows whether it is in the background."""
        for hearing in self._deliveries.hearing[registration].values():
            told = hearing.told
            for slot in told.slots:
                session = registration.sessions.get(slot)
                if session is None or session.down_ms < NEVER:
                    continue
                if session.background != (slot in told.background):
                    ground = "background" if session.background else "foreground"
                    self._findings.add("ground_wrong", f"{told}: slot {slot} is in the {ground}, and not known to be")

    def judge_drives(self, drives: Drives) -> None:
        """In the end what is heard of each group unasked is what it has to be."""
        for hearing in self._deliveries.all():
            told, right = hearing.told, drives.last(hearing.told.group)
            if told.slots and told.joined != right and not told.registration.void_ms:
                self._findings.add("drive_wrong", f"{told}: in the end {told.joined}, not {right}")

    def _compare(
        self,
        registration: Registration,
        bound: set[tuple[GroupKey, int, int]],
        should: set[tuple[GroupKey, int, int]],
    ) -> None:
        for rule, pairs in (("still_bound", bound - should), ("not_bound", should - bound)):
            for (app, group), ordinal, slot in sorted(pairs):
                self._findings.add(rule, f"{app}:{group} on {registration}: slot {slot}, ordinal {ordinal}")
