"""Roles and who holds them."""

from __future__ import annotations

from typing import Final

import msgspec

from jobs.verify.verdicts.case import Case, Judge, changed_by, granted, made_of, plain
from topics.entities import EVERYONE, Role
from topics.relations import AddRoleMembers, CreateRole, DeleteRole, RemoveRoleMembers, UpdateRole


def _create_role(case: Case, command: CreateRole) -> None:
    _manage_roles(case)
    there = sum(case.life.role(name, case.version) is not None for name in case.life.roles)
    case.room(there, case.policy.roles)  # EVERYONE is one of them, and does not count
    case.refuse("exists_already", when=case.role() is not None)
    case.above(priorities=[command.priority])
    case.gives(command.allow)
    case.tell("RoleCreated", role=made_of(Role, command))


def _update_role(case: Case, command: UpdateRole) -> None:
    _manage_roles(case)
    found = case.role()
    case.refuse("unknown_role", when=found is None)
    if found is None:
        return
    before = found.role.at(case.version)
    after = changed_by(command, before)
    case.above(priorities=[before.priority, after.priority])
    case.gives(granted(before, after))
    fixed = any(getattr(command, name) is not msgspec.UNSET for name in ("name", "priority", "custom"))
    case.refuse("everyone_stays", when=command.role == EVERYONE and fixed)
    if plain(after) != plain(before):
        case.tell("RoleUpdated", role=after)


def _delete_role(case: Case, command: DeleteRole) -> None:
    _manage_roles(case)
    if (role := _check_role(case)) is not None:
        case.gives(role.deny)
    case.tell("RoleDeleted", role=command.role)


def _add_role_members(case: Case, _: AddRoleMembers) -> None:
    _manage_roles(case)
    if (role := _check_role(case)) is not None:
        case.gives(role.allow)
        _change_holders(case, "RoleMembersAdded", holding=False)


def _remove_role_members(case: Case, _: RemoveRoleMembers) -> None:
    _manage_roles(case)
    if (role := _check_role(case)) is not None:
        case.gives(role.deny)
        _change_holders(case, "RoleMembersRemoved", holding=True)


def _change_holders(case: Case, kind: str, *, holding: bool) -> None:
    role, members = case.command.role, case.members(case.command.users)
    case.above(users=members)
    if users := [user for user in members if case.life.holds(user, role, case.version) == holding]:
        case.tell(kind, role=role, users=users)


def _manage_roles(case: Case) -> None:
    case.refuse("wrong_kind", when=case.life.kind == "direct")
    case.need("manage_roles")


def _check_role(case: Case) -> Role | None:
    """The role that members are given or lose, or that ends."""
    found = case.role()
    case.refuse("everyone_stays", when=case.command.role == EVERYONE)
    case.refuse("unknown_role", when=found is None)
    if found is None:
        return None
    role = found.role.at(case.version)
    case.above(priorities=[role.priority])
    return role


JUDGES: Final[dict[type, Judge]] = {
    CreateRole: _create_role,
    UpdateRole: _update_role,
    DeleteRole: _delete_role,
    AddRoleMembers: _add_role_members,
    RemoveRoleMembers: _remove_role_members,
}
