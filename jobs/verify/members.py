"""Who was a member of which group at which version: rebuilt from `relation-events`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from jobs.verify.findings import Findings
from jobs.verify.relations import Relations
from jobs.verify.world import Row, World, place
from topics import catalog
from topics.codec import Malformed
from topics.events import (
    GroupCreated,
    GroupDeleted,
    ListEdited,
    MembersAdded,
    MembersRemoved,
    MemberUpdated,
    Muted,
    RelationEvent,
    RoleMembersAdded,
    RoleMembersRemoved,
)
from topics.keys import key_of, partition_of

NEVER: Final = 1 << 62

GroupKey = tuple[str, str]


@dataclass(slots=True)
class Member:
    """One membership: from when to before when, by the group's version and by the broker's clock.

    Attributes:
        group: the group.
        user: the member.
        ordinal: the member's ordinal.
        since: the version that it began with.
        since_ms: when its event was appended: whatever was appended later found it.
        until: the version that it ended with.
        until_ms: when the command that ended it was appended: whatever was decided before found it. Its event would be
            too late: one batch appends it, and the answers that it gave afterwards, in any order.
    """

    group: Group
    user: str
    ordinal: int
    since: int
    since_ms: int
    until: int = NEVER
    until_ms: int = NEVER


@dataclass(slots=True, eq=False)
class Group:
    """All memberships that a group ever had.

    Attributes:
        key: (app, group).
        partition: that its records belong to.
        version: of its last event.
        next: the lowest ordinal that may be given.
        new_life: no ordinal was given since it was created.
        memberships: every membership, by user.
        by_ordinal: every membership, by ordinal.
        now: the members after the last event.
        ended: version -> memberships that ended with it.
        deletions: versions at which the group ended.
        events: as they came.
        appended_ms: when each was appended, at least: it never falls.
        relations: everything else that they say.
    """

    key: GroupKey
    partition: int
    version: int = 0
    next: int = 0
    new_life: bool = True
    memberships: dict[str, list[Member]] = field(default_factory=dict)
    by_ordinal: dict[int, Member] = field(default_factory=dict)
    now: dict[str, Member] = field(default_factory=dict)
    ended: dict[int, list[Member]] = field(default_factory=dict)
    deletions: list[int] = field(default_factory=list)
    events: list[RelationEvent] = field(default_factory=list)
    appended_ms: list[int] = field(default_factory=list)
    relations: Relations = field(default_factory=Relations)

    def versions(self, from_ms: int, to_ms: int) -> range:
        """The versions at which something could be decided that was asked and answered at these moments."""
        first = bisect_left(self.appended_ms, from_ms)
        end = bisect_right(self.events, to_ms, lo=first, key=lambda event: event.at)
        known, newest = (self.events[at - 1].version if at else 0 for at in (first, max(first, end)))
        return range(known, newest + 1)

    def sees(self, ordinal: int, channel: str, version: int) -> bool:
        """Whether the member of an ordinal was one, and saw a channel, at a version."""
        member = self.by_ordinal.get(ordinal)
        return (
            member is not None
            and member.since <= version < member.until
            and self.relations.sees(member.user, channel, version)
        )

    def user_sees(self, user: str, channel: str, version: int) -> bool:
        """Whether a user saw a channel at a version: as a member, or as a visitor."""
        if self.is_member(user, version):
            return self.relations.sees(user, channel, version)
        return self.relations.visitor_sees(channel, version)

    def version_at(self, at_ms: int) -> int:
        """The version that commands appended by then had led to."""
        at = bisect_right(self.events, at_ms, key=lambda event: event.at)
        return self.events[at - 1].version if at else 0

    def sees_throughout(self, user: str, channel: str, since: int, version: int) -> bool:
        """Whether a user saw a channel at each version from one to another."""
        touched = self.relations.touched
        first = bisect_right(touched, since, key=lambda one: one[0])
        end = bisect_right(touched, version, key=lambda one: one[0])
        turns = [since, *(at for at, _ in touched[first:end])]
        return all(self.user_sees(user, channel, at) for at in turns)

    def is_member(self, user: str, version: int) -> bool:
        """Whether the user was a member at a version."""
        return any(member.since <= version < member.until for member in self.memberships.get(user, ()))

    def __str__(self) -> str:
        return ":".join(self.key)


class Groups:
    """All groups of a run."""

    def __init__(self, world: World, findings: Findings) -> None:
        self.by_key: dict[GroupKey, Group] = {}
        self.of_user: dict[tuple[str, str], list[Member]] = defaultdict(list)
        self._partitions = world.partitions
        self._findings = findings
        for row, event in world.rows(catalog.RELATION_EVENTS):
            if isinstance(event, Malformed):
                findings.add("unreadable", place(catalog.RELATION_EVENTS, row))
            else:
                self._apply(row, event)

    def get(self, app: str, name: str) -> Group:
        """A group, also one that never was."""
        if (group := self.by_key.get((app, name))) is None:
            group = Group((app, name), partition_of(key_of(app, name), self._partitions))
            self.by_key[app, name] = group
        return group

    def _apply(self, row: Row, event: RelationEvent) -> None:
        group, where = self.get(event.app, event.group), place(catalog.RELATION_EVENTS, row)
        if row.partition != group.partition:
            self._findings.add("misplaced", where)
        if event.version <= group.version:
            again = event in group.events
            self._findings.add("event_twice" if again else "event_order", f"{where} {group} version {event.version}")
            return
        if event.version > group.version + 1:
            self._findings.add(
                "event_lost",
                f"{where} {group}: {event.version} after {group.version}",
                event.version - group.version - 1,
            )
        group.version = event.version
        group.events.append(event)
        group.appended_ms.append(max(row.at_ms, group.appended_ms[-1] if group.appended_ms else 0))
        group.relations.apply(event)
        self._check_ordinals(group, event, where)
        match event:
            case GroupCreated() | MembersAdded():
                group.new_life |= isinstance(event, GroupCreated)
                self._add(group, event, row.at_ms, where)
            case MembersRemoved():
                self._remove(group, event, where)
            case GroupDeleted():
                group.deletions.append(event.version)
                self._end(group, list(group.now.values()), event.version, event.at)

    def _check_ordinals(self, group: Group, event: RelationEvent, where: str) -> None:
        """Whoever else is named is a member, by its own ordinal."""
        for users, ordinals in _named(event):
            members = [group.now.get(user) for user in users]
            if [member.ordinal if member else None for member in members] != list(ordinals):
                self._findings.add("event_differs", f"{where} {group}: names others than it numbers")

    def _add(self, group: Group, event: GroupCreated | MembersAdded, at_ms: int, where: str) -> None:
        for user, ordinal in zip(event.users, event.ordinals, strict=False):
            in_turn = ordinal >= group.next if group.new_life else ordinal == group.next
            if not in_turn:
                self._findings.add("ordinal_reused", f"{where} {group}: {user} got {ordinal}, {group.next} was next")
            group.new_life = False
            group.next = max(group.next, ordinal + 1)
            member = Member(group, user, ordinal, event.version, at_ms)
            group.by_ordinal[ordinal] = group.now[user] = member
            group.memberships.setdefault(user, []).append(member)
            self.of_user[event.app, user].append(member)

    def _remove(self, group: Group, event: MembersRemoved, where: str) -> None:
        leaving = [group.now[user] for user in event.users if user in group.now]
        if [(member.user, member.ordinal) for member in leaving] != list(
            zip(event.users, event.ordinals, strict=False)
        ):
            self._findings.add("event_differs", f"{where} {group}: removes others than it names")
        self._end(group, leaving, event.version, event.at)

    def _end(self, group: Group, leaving: list[Member], version: int, at_ms: int) -> None:
        group.ended[version] = leaving
        for member in leaving:
            member.until, member.until_ms = version, at_ms
            del group.now[member.user]


def _named(event: RelationEvent) -> Iterable[tuple[list[str], list[int]]]:
    """The members that an event names and their ordinals, but for who comes or goes by it."""
    match event:
        case RoleMembersAdded() | RoleMembersRemoved() | Muted():
            return [(event.users, event.ordinals)]
        case ListEdited():
            return [(event.added, event.added_ordinals), (event.removed, event.removed_ordinals)]
        case MemberUpdated():
            return [([event.user], [event.ordinal])]
    return ()
