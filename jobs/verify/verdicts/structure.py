"""Channels, categories, their lists and overrides."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jobs.verify.lives import CategoryLife, ChannelLife
from jobs.verify.verdicts.case import Case, Judge, changed_by, granted, made_of
from topics import limits
from topics.entities import EVERYONE, Category, Channel, Override
from topics.relations import (
    CreateCategory,
    CreateChannel,
    DeleteCategory,
    DeleteChannel,
    EditList,
    SetOverride,
    UpdateCategory,
    UpdateChannel,
)


def _create_channel(case: Case, command: CreateChannel) -> None:
    case.server()
    case.need("manage_channels")
    there = sum(case.life.channel(name, case.version) is not None for name in case.life.channels)
    case.room(there + 1, case.policy.channels)
    case.refuse("exists_already", when=case.life.channel(command.channel, case.version) is not None)
    made = _standing(made_of(Channel, command))
    _check_category(case, made.category)
    _tell_created(case, "ChannelCreated", channel=made)


def _create_category(case: Case, command: CreateCategory) -> None:
    case.server()
    case.need("manage_channels")
    there = sum(case.life.category(name, case.version) is not None for name in case.life.categories)
    case.room(there + 1, case.policy.categories)
    case.refuse("exists_already", when=case.life.category(command.category, case.version) is not None)
    _tell_created(case, "CategoryCreated", category=made_of(Category, command))


def _tell_created(case: Case, kind: str, /, **of: Any) -> None:
    lists = {name: list(dict.fromkeys(getattr(case.command, name))) for name in ("black_roles", "white_roles")}
    case.refuse("unknown_role", when=not all(_given(case, role) for roles in lists.values() for role in roles))
    case.tell(kind, **of, **lists)


def _update_channel(case: Case, command: UpdateChannel) -> None:
    case.server()
    found = case.life.channel(command.channel, case.version)
    case.refuse("unknown_channel", when=found is None)
    if found is None:
        return
    case.need("manage_channels", found)
    before = found.channel.at(case.version)
    after = _standing(changed_by(command, before))
    if after.category != before.category:
        _check_category(case, after.category)
    if after != before:
        case.tell("ChannelUpdated", channel=after)


def _update_category(case: Case, command: UpdateCategory) -> None:
    case.server()
    found = case.life.category(command.category, case.version)
    case.refuse("unknown_category", when=found is None)
    if found is None:
        return
    case.need("manage_channels", found)
    before = found.category.at(case.version)
    if (after := changed_by(command, before)) != before:
        case.tell("CategoryUpdated", category=after)


def _delete_channel(case: Case, command: DeleteChannel) -> None:
    case.server()
    found = case.life.channel(command.channel, case.version)
    case.refuse("unknown_channel", when=found is None)
    if found is not None:
        case.need("manage_channels", found)
    case.tell("ChannelDeleted", channel=command.channel)


def _delete_category(case: Case, command: DeleteCategory) -> None:
    case.server()
    found = case.life.category(command.category, case.version)
    case.refuse("unknown_category", when=found is None)
    if found is not None:
        case.need("manage_channels", found)
    case.tell("CategoryDeleted", category=command.category)


def _edit_list(case: Case, command: EditList) -> None:
    found = _check_place(case, command)
    if found is None:
        return
    listed = found.place.lists[command.which]
    roles_now, users_now = set(listed.roles.at(case.version)), set(listed.users.at(case.version))
    cleared = command.clear and bool(roles_now or users_now)
    roles = {role for role in command.add_roles if _given(case, role)} | (set() if cleared else roles_now)
    users = set(case.members(command.add_users)) | (set() if cleared else users_now)
    roles, users = roles - set(command.remove_roles), users - set(command.remove_users)
    case.room(len(roles), limits.LIST_ROLES)
    if (roles, users) == (roles_now, users_now):
        return
    before = (set(), set()) if cleared else (roles_now, users_now)
    case.tell(
        "ListEdited",
        which=command.which,
        channel=command.channel,
        category=command.category,
        cleared=cleared,
        added_roles=list(roles - before[0]),
        removed_roles=list(before[0] - roles),
        added=list(users - before[1]),
        removed=list(before[1] - users),
    )


def _set_override(case: Case, command: SetOverride) -> None:
    case.refuse("bad_command", when=(command.role is None) == (command.user is None))
    found = _check_place(case, command)
    before: Override | None = None
    if command.role is not None:
        role = case.role()
        case.refuse("unknown_role", when=role is None)
        if role is not None:
            case.above(priorities=[role.role.at(case.version).priority])
        if found is not None and (of := found.place.of_roles.get(command.role)):
            before = of.at(case.version)
    elif command.user is not None:
        case.refuse("unknown_member", when=not case.member(command.user))
        case.above(users=case.members([command.user]))
        if found is not None and (of := found.place.of_users.get(command.user)):
            before = of.at(case.version)
    was, after = before or Override(), Override(command.role, command.user, command.allow, command.deny)
    case.gives(granted(was, after), found)
    if found is not None and before is None and (after.allow or after.deny):
        held = [*found.place.of_roles.values(), *found.place.of_users.values()]
        case.room(sum(one.at(case.version) is not None for one in held) + 1, limits.OVERRIDES)
    if (set(was.allow), set(was.deny)) != (set(after.allow), set(after.deny)):
        case.tell("OverrideSet", override=after, channel=command.channel, category=command.category)


def _check_place(case: Case, command: EditList | SetOverride) -> ChannelLife | CategoryLife | None:
    case.server()
    case.refuse("bad_command", when=(command.channel is None) == (command.category is None))
    found = case.place()
    if command.channel is not None:
        case.refuse("unknown_channel", when=found is None)
    elif command.category is not None:
        case.refuse("unknown_category", when=found is None)
    if found is not None:
        case.need("manage_channels", found)
    return found


def _check_category(case: Case, category: str | None) -> None:
    """A channel is put into a category: it must be there, and who asks manages its channels."""
    if category is not None:
        found = case.life.category(category, case.version)
        case.refuse("unknown_category", when=found is None)
        if found is not None:
            case.need("manage_channels", found)


def _standing(channel: Channel) -> Channel:
    """Without a category it follows none."""
    return channel if channel.category is not None else msgspec.structs.replace(channel, sync=False)


def _given(case: Case, role: str) -> bool:
    """Whether there is such a role; EVERYONE stands on no list."""
    return role != EVERYONE and case.life.role(role, case.version) is not None


JUDGES: Final[dict[type, Judge]] = {
    CreateChannel: _create_channel,
    UpdateChannel: _update_channel,
    DeleteChannel: _delete_channel,
    CreateCategory: _create_category,
    UpdateCategory: _update_category,
    DeleteCategory: _delete_category,
    EditList: _edit_list,
    SetOverride: _set_override,
}
