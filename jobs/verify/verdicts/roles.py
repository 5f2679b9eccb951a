"""Roles and who holds them."""

from __future__ import annotations

from typing import Final

import msgspec

from jobs.verify.verdicts.case import Case, Judge, changed_by, made_of, plain
from topics.entities import EVERYONE, Role
from topics.relations import AddRoleMembers, CreateRole, DeleteRole, RemoveRoleMembers, UpdateRole


def _create_role(case: Case, command: CreateRole) -> None:
    _manage_roles(case)
    case.maybe.add("limit_reached")
    case.refuse("exists_already", when=case.role() is not None)
    case.refuse("everyone_stays", when=command.role == EVERYONE)
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
    after = changed_by(before, command)
    case.above(priorities=[before.priority, after.priority])
    case.gives(set(after.allow) - set(before.allow), set(before.deny) - set(after.deny))
    if command.role == EVERYONE:
        fixed = msgspec.structs.replace(after, allow=before.allow, deny=before.deny)
        case.refuse("everyone_stays", when=fixed != before)
    if plain(after) != plain(before):
        case.tell("RoleUpdated", role=after)


def _delete_role(case: Case, command: DeleteRole) -> None:
    _manage_roles(case)
    _check_role(case)
    case.tell("RoleDeleted", role=command.role)


def _add_role_members(case: Case, _: AddRoleMembers) -> None:
    _change_holders(case, "RoleMembersAdded", holding=False)


def _remove_role_members(case: Case, _: RemoveRoleMembers) -> None:
    _change_holders(case, "RoleMembersRemoved", holding=True)


def _change_holders(case: Case, kind: str, *, holding: bool) -> None:
    _manage_roles(case)
    _check_role(case)
    role, version = case.command.role, case.version
    users = [user for user in case.members(case.command.users) if case.life.holds(user, role, version) == holding]
    if users:
        case.tell(kind, role=role, users=users)


def _manage_roles(case: Case) -> None:
    case.refuse("wrong_kind", when=case.life.kind == "direct")
    case.need("manage_roles")


def _check_role(case: Case) -> None:
    found = case.role()
    case.refuse("everyone_stays", when=case.command.role == EVERYONE)
    case.refuse("unknown_role", when=found is None)
    if found is not None:
        case.above(priorities=[found.role.at(case.version).priority])


JUDGES: Final[dict[type, Judge]] = {
    CreateRole: _create_role,
    UpdateRole: _update_role,
    DeleteRole: _delete_role,
    AddRoleMembers: _add_role_members,
    RemoveRoleMembers: _remove_role_members,
}
