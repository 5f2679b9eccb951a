"""A group comes to be, says something else of itself, gets another owner, ends."""

from __future__ import annotations

from typing import Final

import msgspec
from pyroaring import BitMap

from streams.groups.desk import Desk
from streams.groups.refusal import RefusalError
from streams.groups.relations.base import Handler, columns, publish, require
from tables.chores import Disband
from tables.groups import Group
from topics.entities import Profile
from topics.events import GroupCreated, GroupDeleted, GroupUpdated, Muted, OwnerChanged
from topics.memberships import Joined
from topics.relations import CreateGroup, DeleteGroup, TransferOwnership, UpdateGroup

_DIRECT_USERS: Final = 2
_PROFILE: Final = Profile.__struct_fields__


def _create(desk: Desk, group: Group, command: CreateGroup) -> int:
    if group.alive:
        raise RefusalError("group_exists")
    if command.kind == "direct" and len(set(command.members)) != _DIRECT_USERS:
        raise RefusalError("direct_needs_two")
    if command.owner is not None and command.owner not in command.members:
        raise RefusalError("unknown_member")
    if command.by is not None and command.owner not in {None, command.by}:
        raise RefusalError("not_permitted")
    limit = desk.policies.of(command.app).group_members
    if len(set(command.members)) > limit:
        raise RefusalError("limit_reached", limit)
    profile = Profile(**{name: getattr(command, name) for name in _PROFILE})
    added = group.create(command.kind, command.members, command.owner, profile)
    users, ordinals = columns(added)
    if added:
        group.origins.add(ordinals[0], len(ordinals), desk.now_ms, "added", command.by)
    version = publish(
        desk,
        group,
        command,
        GroupCreated,
        kind=group.kind,
        users=users,
        ordinals=ordinals,
        owner=command.owner,
        profile=profile,
    )
    desk.tell_users(Joined, group.app, group.group, version, added)
    return len(added)


def _update(desk: Desk, group: Group, command: UpdateGroup) -> int:
    require(group, command.by, "manage_group")
    named = {name: getattr(command, name) for name in _PROFILE}
    changed = {name: value for name, value in named.items() if value is not msgspec.UNSET}
    profile = msgspec.structs.replace(group.profile, **changed)
    if profile == group.profile:
        return 0
    group.profile = profile
    publish(desk, group, command, GroupUpdated, profile=profile)
    return 1


def _transfer(desk: Desk, group: Group, command: TransferOwnership) -> int:
    to = group.members.ordinal_of(command.to)
    if to is not None and to == group.owner:
        return 0
    _require_owner(group, command.by)
    if to is None:
        raise RefusalError("unknown_member")
    if group.ruled and group.mutes.mute([to], 0, desk.now_ms):  # the owner is never muted
        publish(desk, group, command, Muted, until=0, users=[command.to], ordinals=[to])
    owners = BitMap([to] if group.owner is None else [to, group.owner])
    before = None if group.owner is None else group.members.users_at([group.owner])[0]
    structure = group.structure if group.ruled else None  # before there is another owner
    group.owner = to
    if structure is not None:
        group.touched(structure.everywhere(owners))
    publish(desk, group, command, OwnerChanged, owner=command.to, before=before)
    return 1


def _require_owner(group: Group, by: str | None) -> None:
    """Refuse who asks, unless it is the owner or the back end.

    Raises:
        RefusalError: not_permitted.
    """
    if by is not None and (group.owner is None or group.members.ordinal_of(by) != group.owner):
        raise RefusalError("not_permitted")


def _delete(desk: Desk, group: Group, command: DeleteGroup) -> int:
    _require_owner(group, command.by)
    count = len(group.members)
    first, end = group.delete()
    desk.settle(group)
    version = publish(desk, group, command, GroupDeleted)
    desk.chores.add(Disband(group.app, group.group, version, first, end, life=first))
    return count


HANDLERS: Final[dict[type, Handler]] = {
    CreateGroup: _create,
    UpdateGroup: _update,
    TransferOwnership: _transfer,
    DeleteGroup: _delete,
}
