"""Roles and who holds them."""

from __future__ import annotations

from typing import Final

import msgspec

from streams.groups.desk import Desk
from streams.groups.refusal import RefusalError
from streams.groups.relations.base import (
    Handler,
    columns,
    only,
    ordinals_of,
    publish,
    require,
    require_above,
    require_above_role,
    require_held,
)
from tables.grants import Grant, mask_of, names_of
from tables.groups import Group
from tables.permissions import rank
from topics.entities import EVERYONE, Role
from topics.events import RoleCreated, RoleDeleted, RoleMembersAdded, RoleMembersRemoved, RoleUpdated
from topics.relations import AddRoleMembers, CreateRole, DeleteRole, RemoveRoleMembers, UpdateRole

_FIELDS: Final = tuple(name for name in Role.__struct_fields__ if name != "role")
_OF_EVERYONE: Final = {"allow", "deny"}


def _create(desk: Desk, group: Group, command: CreateRole) -> int:
    asker = _asker(group, command.by)
    if command.role in group.structure.roles.infos:
        raise RefusalError("exists_already")
    if len(group.structure.roles) >= (limit := desk.policies.of(group.app).roles):
        raise RefusalError("limit_reached", limit)
    role = _tidy(Role(command.role, **{name: getattr(command, name) for name in _FIELDS}))
    _require_below(group, asker, role)
    require_held(group, asker, mask_of(role.allow))
    group.structure.roles.put(role)
    group.touched({})
    publish(desk, group, command, RoleCreated, role=role)
    return 1


def _update(desk: Desk, group: Group, command: UpdateRole) -> int:
    asker = _asker(group, command.by)
    before = _role(group, command.role)
    named = {name: value for name in _FIELDS if (value := getattr(command, name)) is not msgspec.UNSET}
    if command.role == EVERYONE and not named.keys() <= _OF_EVERYONE:
        raise RefusalError("everyone_stays")
    role = _tidy(msgspec.structs.replace(before, **named))
    require_above_role(group, asker, role.role)
    _require_below(group, asker, role)
    require_held(group, asker, given(_grant(before), _grant(role)))
    if role == before:
        return 0
    group.structure.roles.put(role)
    group.touched({})
    publish(desk, group, command, RoleUpdated, role=role)
    return 1


def _delete(desk: Desk, group: Group, command: DeleteRole) -> int:
    asker = _asker(group, command.by)
    role = _role(group, command.role, given=True)
    require_above_role(group, asker, role.role)
    require_held(group, asker, mask_of(role.deny))
    holders, touched = group.structure.delete_role(role.role)
    group.touched(touched)
    publish(desk, group, command, RoleDeleted, role=role.role)
    return max(1, len(holders))


def _add_members(desk: Desk, group: Group, command: AddRoleMembers) -> int:
    asker = _asker(group, command.by)
    role = _role(group, command.role, given=True)
    members = group.members.named(command.users)
    require_above_role(group, asker, role.role)
    require_above(group, asker, ordinals_of(members))
    require_held(group, asker, mask_of(role.allow))
    added, touched = group.structure.add_role_members(role.role, ordinals_of(members))
    if added:
        group.touched(touched)
        users, ordinals = columns(only(members, added))
        publish(desk, group, command, RoleMembersAdded, role=role.role, users=users, ordinals=ordinals)
    return len(added)


def _remove_members(desk: Desk, group: Group, command: RemoveRoleMembers) -> int:
    asker = _asker(group, command.by)
    role = _role(group, command.role, given=True)
    members = group.members.named(command.users)
    require_above_role(group, asker, role.role)
    require_above(group, asker, ordinals_of(members))
    require_held(group, asker, mask_of(role.deny))
    removed, touched = group.structure.remove_role_members(role.role, ordinals_of(members))
    if removed:
        group.touched(touched)
        users, ordinals = columns(only(members, removed))
        publish(desk, group, command, RoleMembersRemoved, role=role.role, users=users, ordinals=ordinals)
    return len(removed)


def given(before: Grant, after: Grant) -> int:
    """What a change of a grant gives to who has it: what is allowed newly, and what is denied no more."""
    return (after.allow & ~before.allow) | (before.deny & ~after.deny)


def _asker(group: Group, by: str | None) -> int | None:
    if group.kind == "direct":
        raise RefusalError("wrong_kind")
    return require(group, by, "manage_roles")


def _role(group: Group, role: str, *, given: bool = False) -> Role:
    """The role of this id; `given`: one that members are given."""
    if given and role == EVERYONE:
        raise RefusalError("everyone_stays")
    if (found := group.structure.roles.infos.get(role)) is None:
        raise RefusalError("unknown_role")
    return found


def _require_below(group: Group, asker: int | None, role: Role) -> None:
    """Refuse who asks, unless it ranks above the priority that a role is to have."""
    if asker is not None and role.priority >= rank(group, asker):
        raise RefusalError("not_permitted")


def _tidy(role: Role) -> Role:
    """Its permissions once each, in their usual order."""
    grant = _grant(role)
    return msgspec.structs.replace(role, allow=names_of(grant.allow), deny=names_of(grant.deny))


def _grant(role: Role) -> Grant:
    return Grant(mask_of(role.allow), mask_of(role.deny))


HANDLERS: Final[dict[type, Handler]] = {
    CreateRole: _create,
    UpdateRole: _update,
    DeleteRole: _delete,
    AddRoleMembers: _add_members,
    RemoveRoleMembers: _remove_members,
}
