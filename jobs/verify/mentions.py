"""Whether those whom a message mentions were told of it, on each of their sessions, and nobody else."""

from __future__ import annotations

from collections import defaultdict

from jobs.verify.links import Registration, Registrations
from jobs.verify.listening import Listening
from jobs.verify.members import Group, GroupKey, Groups
from jobs.verify.run import Run
from topics.deliveries import Mention
from topics.messages import Message


class Mentions:
    """What links were told of messages that mention somebody."""

    def __init__(self, run: Run, groups: Groups) -> None:
        self._run = run
        self._groups = groups
        self._told: dict[tuple[Registration, int], set[int]] = defaultdict(set)

    def tell(self, registration: Registration, entry: Mention, where: str) -> None:
        """A link is told for whom of its sessions a message is."""
        message, add = entry.message, self._run.findings.add
        said = f"{where} {registration}: {message.group}/{message.channel} seq {message.seq}"
        channel = self._run.history.channels.get((message.app, message.group, message.channel))
        number = channel.by_seq.get(message.seq) if channel is not None else None
        if number is None:
            add("not_in_history", said)
            return
        group = self._groups.get(message.app, message.group)
        kept = self._run.history.messages[number]
        for slot in entry.slots:
            session = registration.sessions.get(slot)
            user = session.user[1] if session is not None else None
            if user not in kept.mentions or not group.relations.sees(str(user), kept.channel, kept.version):
                add("mention_wrong", f"{said}: slot {slot} of {user}")
        told = self._told[registration, number]
        if twice := told & set(entry.slots):
            add("mention_twice", f"{said}: slots {sorted(twice)}")
        told.update(entry.slots)

    def judge(self, registrations: Registrations, told: dict[tuple[Registration, GroupKey], Listening]) -> None:
        """Each session of who is mentioned, and sees the channel, was told."""
        run = self._run
        for number, message in enumerate(run.history.messages):
            if not message.mentions or run.history.at_ms[number] >= run.due_before_ms:
                continue
            group = self._groups.get(message.app, message.group)
            for user in message.mentions:
                if group.relations.sees(user, message.channel, message.version):
                    self._judge(registrations, told, group, number, message, user)

    def _judge(
        self,
        registrations: Registrations,
        told: dict[tuple[Registration, GroupKey], Listening],
        group: Group,
        number: int,
        message: Message,
        user: str,
    ) -> None:
        kept_ms = self._run.history.at_ms[number]
        sessions = registrations.of_user.get((message.app, user))
        for session in sessions.by_at.values() if sessions is not None else ():
            registration = registrations.get(session.at.link, session.at.epoch)
            listening = told.get((registration, group.key))
            bound = listening is not None and listening.was_bound(session.slot, message.map)
            if not bound or registration.dead(group.partition, kept_ms):
                continue
            if session.slot not in self._told.get((registration, number), ()):
                said = f"{group}/{message.channel} seq {message.seq}: slot {session.slot} of {user} on {registration}"
                self._run.findings.add("mention_missed", said)
