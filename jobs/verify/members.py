"""Who was a member of which group at which version: rebuilt from `relation-events`, checked against the commands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from jobs.verify.findings import Findings
from jobs.verify.rejects import Rejects
from jobs.verify.world import Row, World, place
from topics import catalog
from topics.codec import Malformed
from topics.events import GroupCreated, GroupDeleted, MembersAdded, MembersRemoved, RelationEvent
from topics.keys import key_of, partition_of
from topics.relations import AddMembers, CreateGroup, DeleteGroup, RelationRecord, RemoveMembers

NEVER: Final = 1 << 62
_DIRECT_USERS: Final = 2

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
        match event:
            case GroupCreated() | MembersAdded():
                group.new_life |= isinstance(event, GroupCreated)
                self._add(group, event, row.at_ms, where)
            case MembersRemoved():
                self._remove(group, event, where)
            case GroupDeleted():
                group.deletions.append(event.version)
                self._end(group, list(group.now.values()), event.version, event.at)

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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command must have led to: a refusal, or a version and a number of changed users."""

    row: Row
    command: RelationRecord
    refused: bool
    version: int = 0
    changed: int = 0


class _Replay:
    """Applies commands to plain sets: too simple to be wrong."""

    def __init__(self) -> None:
        self.alive = False
        self.kind = "team"
        self.version = 0
        self.users: set[str] = set()

    def apply(self, command: RelationRecord) -> list[str] | None:
        """The users that it changes, in order; None if it must be refused."""
        if isinstance(command, CreateGroup):
            if self.alive or (command.kind == "direct" and len(set(command.members)) != _DIRECT_USERS):
                return None
            self.alive, self.kind = True, command.kind
            return self._changed(command.members, joined=True, always=True)
        if not self.alive or (self.kind == "direct" and not isinstance(command, DeleteGroup)):
            return None
        match command:
            case AddMembers():
                return self._changed(command.users, joined=True)
            case RemoveMembers():
                return self._changed(command.users, joined=False)
            case DeleteGroup():
                self.alive = False
                return self._changed(sorted(self.users), joined=False, always=True)

    def _changed(self, users: list[str], *, joined: bool, always: bool = False) -> list[str]:
        changed = [user for user in dict.fromkeys(users) if (user in self.users) != joined]
        self.users = self.users | set(changed) if joined else self.users - set(changed)
        self.version += bool(changed or always)
        return changed


def replay_commands(
    world: World, groups: Groups, rejects: Rejects, findings: Findings, due_before_ms: int
) -> Iterator[Outcome]:
    """Compares each group's events with what its commands must have done; gives what each must have answered."""
    replays: dict[GroupKey, _Replay] = defaultdict(_Replay)
    seen: dict[GroupKey, int] = defaultdict(int)
    wrong: set[GroupKey] = set()
    for row, command in world.rows(catalog.RELATIONS):
        if isinstance(command, Malformed) or rejects.names(catalog.RELATIONS, row):
            continue
        group, where = groups.get(command.app, command.group), place(catalog.RELATIONS, row)
        replay, before = replays[group.key], replays[group.key].version
        if (changed := replay.apply(command)) is None:
            yield Outcome(row, command, refused=True)
            continue
        yield Outcome(row, command, refused=False, version=replay.version, changed=len(changed))
        if replay.version == before or group.key in wrong:
            continue
        if (at := seen[group.key]) >= len(group.events):
            if row.at_ms < due_before_ms:
                findings.add("event_lost", f"{where} {group}")
            continue
        seen[group.key] += 1
        if not _tells(group.events[at], command, changed):
            wrong.add(group.key)
            findings.add("event_differs", f"{where} {group}: event of version {group.events[at].version}")
    for group in groups.by_key.values():
        if group.key not in wrong and (extra := len(group.events) - seen[group.key]):
            findings.add("event_twice", f"{group}: more events than commands that changed it", extra)


def _tells(event: RelationEvent, command: RelationRecord, changed: list[str]) -> bool:
    """Whether the event is the one of this command."""
    match command, event:
        case CreateGroup(), GroupCreated():
            return event.users == changed and event.kind == command.kind and _paired(event)
        case AddMembers(), MembersAdded():
            return event.users == changed and _paired(event)
        case RemoveMembers(), MembersRemoved():
            return sorted(event.users) == sorted(changed) and _paired(event)
        case DeleteGroup(), GroupDeleted():
            return True
    return False


def _paired(event: GroupCreated | MembersAdded | MembersRemoved) -> bool:
    return len(event.users) == len(event.ordinals)
