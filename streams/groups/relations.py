"""Commands on groups in, answers, events and memberships out."""

from __future__ import annotations

from streams.groups.desk import Desk, slot_of
from tables.chores import Disband
from tables.groups import Group
from topics.answers import Applied, Code, Refused
from topics.memberships import Joined, Left
from topics.relations import (
    AddMembers,
    CreateGroup,
    DeleteGroup,
    GroupCreated,
    GroupDeleted,
    MembersAdded,
    MembersRemoved,
    RelationRecord,
    RemoveMembers,
)

_DIRECT_USERS = 2


def command(desk: Desk, command: RelationRecord) -> None:
    """Apply a command and answer it; a refused one changes nothing."""
    desk.check_address(command.reply)
    group = desk.groups.touch(command.app, command.group)
    slot = slot_of(command.reply)
    if (code := _refusal(group, command)) is not None:
        refused = Refused(code, app=command.app, group=command.group, request=command.request, slot=slot)
        desk.answer(command.reply, refused)
        desk.counts[f"refused:{code}"] += 1
        return
    match command:
        case CreateGroup():
            changed = _create(desk, group, command)
        case DeleteGroup():
            changed = _delete(desk, group)
        case AddMembers():
            changed = _add(desk, group, command.users)
        case RemoveMembers():
            changed = _remove(desk, group, command.users)
    desk.answer(command.reply, Applied(command.app, command.group, group.version, changed, command.request, slot))


def _refusal(group: Group, command: RelationRecord) -> Code | None:
    match command:
        case CreateGroup() if group.alive:
            return "group_exists"
        case CreateGroup(kind="direct", members=members) if len(set(members)) != _DIRECT_USERS:
            return "direct_needs_two"
        case CreateGroup():
            return None
        case _ if not group.alive:
            return "unknown_group"
        case AddMembers() | RemoveMembers() if group.kind == "direct":
            return "direct_is_fixed"
    return None


def _create(desk: Desk, group: Group, command: CreateGroup) -> int:
    added = group.create(command.kind, command.members)
    users, ordinals = _columns(added)
    desk.publish(group, GroupCreated(group.app, group.group, group.version, desk.now_ms, group.kind, users, ordinals))
    desk.tell_users(Joined, group.app, group.group, group.version, added)
    return len(added)


def _delete(desk: Desk, group: Group) -> int:
    count = len(group.members)
    first, end = group.delete()
    desk.settle(group)
    desk.publish(group, GroupDeleted(group.app, group.group, group.version, desk.now_ms))
    desk.chores.add(Disband(group.app, group.group, group.version, first, end))
    return count


def _add(desk: Desk, group: Group, names: list[str]) -> int:
    added = group.add(names)
    if added:
        users, ordinals = _columns(added)
        desk.publish(group, MembersAdded(group.app, group.group, group.version, desk.now_ms, users, ordinals))
        desk.tell_users(Joined, group.app, group.group, group.version, added)
    return len(added)


def _remove(desk: Desk, group: Group, names: list[str]) -> int:
    removed = group.remove(names)
    if removed:
        users, ordinals = _columns(removed)
        desk.publish(group, MembersRemoved(group.app, group.group, group.version, desk.now_ms, users, ordinals))
        desk.tell_users(Left, group.app, group.group, group.version, removed)
    return len(removed)


def _columns(pairs: list[tuple[str, int]]) -> tuple[list[str], list[int]]:
    return [user for user, _ in pairs], [ordinal for _, ordinal in pairs]
