"""Who listens to a group on one link, and which of them see a channel: by the events and bindings, not by audiences."""

from __future__ import annotations

from jobs.verify.members import Group


class Seers:
    """Which of a link's listeners see one channel, followed from version to version.

    Only those are asked about anew who were bound or unbound, or whom a change may have touched.

    Attributes:
        who: their ordinals.
        stamp: rises when they change.
    """

    __slots__ = ("_changes", "_channel", "_present", "_touched", "_version", "stamp", "who")

    def __init__(self, present: Present, channel: str) -> None:
        self.who: set[int] = set()
        self.stamp = 0
        self._present = present
        self._channel = channel
        self._version = -1
        self._changes = 0  # of bindings, that were looked at
        self._touched = 0  # of the group, that were looked at

    def follow(self, version: int) -> None:
        """Be as of this version of the group, and of the bindings as they are now."""
        present = self._present
        group, touched = present.group, present.group.relations.touched
        asked: set[int] | None = set() if 0 <= self._version <= version else None
        if asked is None:
            self._touched = 0
        while self._touched < len(touched) and touched[self._touched][0] <= version:
            ordinals = touched[self._touched][1]
            self._touched += 1
            if asked is None or ordinals is None or len(asked) + len(ordinals) > len(present.sessions):
                asked = None
            else:
                asked.update(ordinals)
        if asked is not None:
            asked.update(present.changes[self._changes :])
        self._changes, self._version = len(present.changes), version
        if asked is None:
            self._replace({one for one in present.sessions if group.sees(one, self._channel, version)})
        elif asked:
            now = {one for one in asked if one in present.sessions and group.sees(one, self._channel, version)}
            self._replace((self.who - asked) | now)

    def _replace(self, who: set[int]) -> None:
        if who != self.who:
            self.who = who
            self.stamp += 1


class Present:
    """The ordinals of one group that are bound on a link.

    Attributes:
        group: the group.
        sessions: ordinal -> how many of its sessions are.
        changes: ordinals in the order in which they began or ceased to be.
    """

    __slots__ = ("_seers", "changes", "group", "sessions")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.sessions: dict[int, int] = {}
        self.changes: list[int] = []
        self._seers: dict[str, Seers] = {}

    def add(self, ordinal: int) -> None:
        """A session of this member began to listen."""
        self.sessions[ordinal] = self.sessions.get(ordinal, 0) + 1
        if self.sessions[ordinal] == 1:
            self.changes.append(ordinal)

    def drop(self, ordinal: int) -> bool:
        """A session ceased to listen; whether it was the member's last one here."""
        if (left := self.sessions.get(ordinal, 0) - 1) > 0:
            self.sessions[ordinal] = left
            return False
        if self.sessions.pop(ordinal, None) is not None:
            self.changes.append(ordinal)
        return True

    def seers(self, channel: str, version: int) -> Seers:
        """Those who see a channel at a version of the group."""
        if (seers := self._seers.get(channel)) is None:
            seers = self._seers[channel] = Seers(self, channel)
        seers.follow(version)
        return seers
