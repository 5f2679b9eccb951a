"""Channels, categories, their lists and overrides."""

from __future__ import annotations

from collections.abc import Iterable
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
    require_in,
)
from streams.groups.relations.roles import given
from tables.grants import Grant, mask_of, names_of
from tables.groups import Group
from tables.structure import Holder, Place, category_place
from topics import limits
from topics.entities import Category, Channel, Override
from topics.events import (
    CategoryCreated,
    CategoryDeleted,
    CategoryUpdated,
    ChannelCreated,
    ChannelDeleted,
    ChannelUpdated,
    ListEdited,
    OverrideSet,
)
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

#: What a command may say of a channel: not until when it is muted.
_OF_CHANNEL: Final = tuple(name for name in UpdateChannel.__struct_fields__ if name in Channel.__struct_fields__)
_OF_CATEGORY: Final = tuple(name for name in UpdateCategory.__struct_fields__ if name in Category.__struct_fields__)
_NEW_CHANNEL: Final = ("kind", *_OF_CHANNEL)
_NO_GRANT: Final = Grant(0, 0)


def _create_channel(desk: Desk, group: Group, command: CreateChannel) -> int:
    _server(group)
    require(group, command.by, "manage_channels")
    structure = group.structure
    if command.channel in structure.channels:
        raise RefusalError("exists_already")
    if len(structure.channels) >= (limit := desk.policies.of(group.app).channels):
        raise RefusalError("limit_reached", limit)
    info = _standing(Channel(**{name: getattr(command, name) for name in _NEW_CHANNEL}))
    _check_move(group, command.by, info)
    black, white = _roles(group, command.black_roles), _roles(group, command.white_roles)
    group.touched(group.structure.create_channel(info, black, white, group.members.bits))
    publish(desk, group, command, ChannelCreated, channel=info, black_roles=black, white_roles=white)
    return 1


def _update_channel(desk: Desk, group: Group, command: UpdateChannel) -> int:
    _channel_place(group, command.channel)
    require_in(group, command.by, command.channel, "manage_channels")
    before = group.structure.channels[command.channel]
    info = _standing(msgspec.structs.replace(before, **_named(command, _OF_CHANNEL)))
    if info.category != before.category:
        _check_move(group, command.by, info)
    if info == before:
        return 0
    group.touched(group.structure.update_channel(info, group.members.bits))
    publish(desk, group, command, ChannelUpdated, channel=info)
    return 1


def _delete_channel(desk: Desk, group: Group, command: DeleteChannel) -> int:
    channel = command.channel
    _channel_place(group, channel)
    require_in(group, command.by, channel, "manage_channels")
    group.touched(group.structure.delete_channel(channel, group.members.bits))
    if (numbers := group.numbers(channel)).seq:
        numbers.end()
    publish(desk, group, command, ChannelDeleted, channel=channel)
    return 1


def _create_category(desk: Desk, group: Group, command: CreateCategory) -> int:
    _server(group)
    require(group, command.by, "manage_channels")
    structure = group.structure
    if command.category in structure.categories:
        raise RefusalError("exists_already")
    if len(structure.categories) >= (limit := desk.policies.of(group.app).categories):
        raise RefusalError("limit_reached", limit)
    info = Category(**{name: getattr(command, name) for name in _OF_CATEGORY})
    black, white = _roles(group, command.black_roles), _roles(group, command.white_roles)
    group.touched(group.structure.create_category(info, black, white, group.members.bits))
    publish(desk, group, command, CategoryCreated, category=info, black_roles=black, white_roles=white)
    return 1


def _update_category(desk: Desk, group: Group, command: UpdateCategory) -> int:
    place = _category_place(group, command.category)
    require_in(group, command.by, place, "manage_channels")
    before = group.structure.categories[command.category]
    info = msgspec.structs.replace(before, **_named(command, _OF_CATEGORY))
    if info == before:
        return 0
    group.touched(group.structure.update_category(info, group.members.bits))
    publish(desk, group, command, CategoryUpdated, category=info)
    return 1


def _delete_category(desk: Desk, group: Group, command: DeleteCategory) -> int:
    place = _category_place(group, command.category)
    require_in(group, command.by, place, "manage_channels")
    group.touched(group.structure.delete_category(command.category, group.members.bits))
    publish(desk, group, command, CategoryDeleted, category=command.category)
    return 1


def _edit_list(desk: Desk, group: Group, command: EditList) -> int:
    place, which = _place(group, command), command.which
    require_in(group, command.by, place, "manage_channels")
    roles = group.structure.roles_after(
        place, which, clear=command.clear, add_roles=command.add_roles, remove_roles=command.remove_roles
    )
    if len(roles) > limits.LIST_ROLES:
        raise RefusalError("limit_reached", limits.LIST_ROLES)
    to_add, to_remove = group.members.named(command.add_users), group.members.named(command.remove_users)
    change = group.structure.edit_list(
        place,
        which,
        clear=command.clear,
        add_roles=command.add_roles,
        remove_roles=command.remove_roles,
        add=ordinals_of(to_add),
        remove=ordinals_of(to_remove),
    )
    group.touched(change.touched)
    if not change.changed:
        return 0
    added, added_ordinals = columns(only(to_add, change.added))
    removed, removed_ordinals = columns(only(to_remove, change.removed))
    publish(
        desk,
        group,
        command,
        ListEdited,
        which=which,
        channel=command.channel,
        category=command.category,
        cleared=change.cleared,
        added_roles=change.added_roles,
        removed_roles=change.removed_roles,
        added=added,
        added_ordinals=added_ordinals,
        removed=removed,
        removed_ordinals=removed_ordinals,
    )
    return change.changed


def _set_override(desk: Desk, group: Group, command: SetOverride) -> int:
    place = _place(group, command)
    asker = require_in(group, command.by, place, "manage_channels")
    holder = _holder(group, command)
    grant = Grant(mask_of(command.allow), mask_of(command.deny))
    overrides = group.structure.overrides(place)
    before = overrides.get(holder, _NO_GRANT)
    if isinstance(holder, str):
        require_above_role(group, asker, holder)
    else:
        require_above(group, asker, ordinals_of([("", holder)]))
    require_held(group, asker, given(before, grant), place)
    if holder not in overrides and grant != _NO_GRANT and len(overrides) >= limits.OVERRIDES:
        raise RefusalError("limit_reached", limits.OVERRIDES)
    if not group.structure.set_override(place, holder, grant):
        return 0
    override = Override(command.role, command.user, names_of(grant.allow), names_of(grant.deny))
    publish(desk, group, command, OverrideSet, override=override, channel=command.channel, category=command.category)
    return 1


def _server(group: Group) -> None:
    """Refuse for a group that has no channels, categories and lists."""
    if group.kind != "server":
        raise RefusalError("wrong_kind")


def _channel_place(group: Group, channel: str) -> Place:
    _server(group)
    if channel not in group.structure.channels:
        raise RefusalError("unknown_channel")
    return channel


def _category_place(group: Group, category: str) -> Place:
    _server(group)
    if category not in group.structure.categories:
        raise RefusalError("unknown_category")
    return category_place(category)


def _place(group: Group, command: EditList | SetOverride) -> Place:
    """The channel or category that a command names: one of them."""
    match command.channel, command.category:
        case str() as channel, None:
            return _channel_place(group, channel)
        case None, str() as category:
            return _category_place(group, category)
    _server(group)
    raise RefusalError("bad_command")


def _holder(group: Group, command: SetOverride) -> Holder:
    """For whom an override is: a role or a member, one of them."""
    match command.role, command.user:
        case str() as role, None:
            if role not in group.structure.roles.infos:
                raise RefusalError("unknown_role")
            return role
        case None, str() as user:
            if (ordinal := group.members.ordinal_of(user)) is None:
                raise RefusalError("unknown_member")
            return ordinal
    raise RefusalError("bad_command")


def _check_move(group: Group, by: str | None, info: Channel) -> None:
    """Refuse to put a channel into a category that is none, or of which who asks does not manage the channels."""
    if info.category is not None:
        require_in(group, by, _category_place(group, info.category), "manage_channels")


def _standing(info: Channel) -> Channel:
    """Without a category it follows none."""
    return info if info.category is not None or not info.sync else msgspec.structs.replace(info, sync=False)


def _roles(group: Group, roles: Iterable[str]) -> list[str]:
    """Roles for the lists of what is created; a missing one could let in whom it was to keep out."""
    named = list(dict.fromkeys(roles))
    if not all(group.structure.roles.given(role) for role in named):
        raise RefusalError("unknown_role")
    return named


def _named(command: UpdateChannel | UpdateCategory, fields: Iterable[str]) -> dict[str, object]:
    """What an update says; what is absent stays as it is."""
    return {name: value for name in fields if (value := getattr(command, name)) is not msgspec.UNSET}


HANDLERS: Final[dict[type, Handler]] = {
    CreateChannel: _create_channel,
    UpdateChannel: _update_channel,
    DeleteChannel: _delete_channel,
    CreateCategory: _create_category,
    UpdateCategory: _update_category,
    DeleteCategory: _delete_category,
    EditList: _edit_list,
    SetOverride: _set_override,
}
