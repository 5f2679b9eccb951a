"""Members come and go, are muted and banned, and have a profile in the group."""

from __future__ import annotations

from typing import Final

from streams.groups.desk import Desk
from streams.groups.relations.base import Handler, RefusalError, columns, publish
from tables.groups import Group
from topics.events import MembersAdded, MembersRemoved
from topics.memberships import Joined, Left
from topics.relations import AddMembers, RemoveMembers


def _add(desk: Desk, group: Group, command: AddMembers) -> int:
    if group.kind == "direct":
        raise RefusalError("direct_is_fixed")
    added = group.add(command.users)
    if added:
        users, ordinals = columns(added)
        version = publish(desk, group, command, MembersAdded, users=users, ordinals=ordinals)
        desk.tell_users(Joined, group.app, group.group, version, added)
    return len(added)


def _remove(desk: Desk, group: Group, command: RemoveMembers) -> int:
    if group.kind == "direct":
        raise RefusalError("direct_is_fixed")
    removed = group.remove(command.users)
    if removed:
        users, ordinals = columns(removed)
        version = publish(desk, group, command, MembersRemoved, users=users, ordinals=ordinals)
        desk.tell_users(Left, group.app, group.group, version, removed)
    return len(removed)


HANDLERS: Final[dict[type, Handler]] = {AddMembers: _add, RemoveMembers: _remove}
