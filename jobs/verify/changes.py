"""What each event does to a group's life, and whose view of channels it may touch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from jobs.verify.ever import Ever
from jobs.verify.lives import CategoryLife, ChannelLife, Life, Minted, Place, Request, RequestKind, RoleLife
from topics.entities import MemberProfile
from topics.events import (
    ApplicationEnded,
    Applied,
    Banned,
    CategoryCreated,
    CategoryDeleted,
    CategoryUpdated,
    ChannelCreated,
    ChannelDeleted,
    ChannelUpdated,
    CodeCreated,
    CodeEnded,
    GroupUpdated,
    Invited,
    InviteEnded,
    ListEdited,
    MembersAdded,
    MembersRemoved,
    MemberUpdated,
    Muted,
    OverrideSet,
    OwnerChanged,
    RelationEvent,
    RoleCreated,
    RoleDeleted,
    RoleMembersAdded,
    RoleMembersRemoved,
    RoleUpdated,
    Unbanned,
)

T = TypeVar("T")

#: A ban without an end.
FOREVER_MS: Final = 1 << 62


def _set(ever: dict[str, Ever[T | None]], name: str, version: int, value: T | None) -> None:
    ever.setdefault(name, Ever(None)).set(version, value)


def _add_members(life: Life, event: MembersAdded) -> None:
    life.members.add(event.version, event.users)
    life.count.set(event.version, len(life.members.now))


def _remove_members(life: Life, event: MembersRemoved) -> None:
    """Who is a member no more leaves roles, lists, overrides and mutes."""
    version, gone = event.version, set(event.users)
    life.members.remove(version, gone)
    life.count.set(version, len(life.members.now))
    for role in life.roles.values():
        if role.now is not None:
            role.now.members.remove(version, gone)
    for place in life.places():
        for listed in place.lists.values():
            listed.users.remove(version, gone)
        for user in [user for user in place.of_users if user in gone]:
            place.of_users[user].set(version, None)
    for user in [user for user in life.mutes if user in gone]:
        life.mutes[user].set(version, 0)
    for user in [user for user in life.profiles if user in gone]:
        life.profiles[user].set(version, MemberProfile())


def _update_member(life: Life, event: MemberUpdated) -> None:
    life.profiles.setdefault(event.user, Ever(MemberProfile())).set(event.version, event.profile)


def _mute(life: Life, event: Muted) -> None:
    if event.users:
        for user in event.users:
            life.mutes.setdefault(user, Ever(0)).set(event.version, event.until)
    elif event.channel is None:
        life.muted_until.set(event.version, event.until)
    elif (found := life.channel(event.channel, event.version)) is not None:
        muted = msgspec.structs.replace(found.channel.now, muted_until=event.until)
        found.channel.set(event.version, muted)


def _ban(life: Life, event: Banned) -> None:
    for user in event.users:
        life.bans.setdefault(user, Ever(0)).set(event.version, FOREVER_MS if event.until is None else event.until)


def _unban(life: Life, event: Unbanned) -> None:
    for user in event.users:
        life.bans.setdefault(user, Ever(0)).set(event.version, 0)


def _ask(life: Life, event: Invited | Applied) -> None:
    kind: RequestKind = "invite" if isinstance(event, Invited) else "application"
    name = event.invite if isinstance(event, Invited) else event.application
    request = Request(event.user, event.by, event.expires_at)
    life.requests.setdefault((kind, name), Ever(None)).set(event.version, request)


def _end_request(life: Life, event: InviteEnded | ApplicationEnded) -> None:
    kind: RequestKind = "invite" if isinstance(event, InviteEnded) else "application"
    name = event.invite if isinstance(event, InviteEnded) else event.application
    if (found := life.requests.get((kind, name))) is not None and found.now is not None:
        found.set(event.version, found.now._replace(end=event.end, ended_ms=event.at))


def _create_channel(life: Life, event: ChannelCreated) -> None:
    place = Place(event.channel.view_mode, event.version, event.black_roles, event.white_roles)
    _set(life.channels, event.channel.channel, event.version, ChannelLife(event.channel, place))


def _update_channel(life: Life, event: ChannelUpdated) -> None:
    if (found := life.channel(event.channel.channel, event.version)) is not None:
        found.channel.set(event.version, event.channel)
        found.place.mode.set(event.version, event.channel.view_mode)


def _create_category(life: Life, event: CategoryCreated) -> None:
    place = Place(event.category.view_mode, event.version, event.black_roles, event.white_roles)
    _set(life.categories, event.category.category, event.version, CategoryLife(event.category, place))


def _update_category(life: Life, event: CategoryUpdated) -> None:
    if (found := life.category(event.category.category, event.version)) is not None:
        found.category.set(event.version, event.category)
        found.place.mode.set(event.version, event.category.view_mode)


def _delete_category(life: Life, event: CategoryDeleted) -> None:
    """Each channel in it stands alone from here on."""
    _set(life.categories, event.category, event.version, None)
    for channel in life.channels.values():
        if channel.now is not None and channel.now.channel.now.category == event.category:
            alone = msgspec.structs.replace(channel.now.channel.now, category=None, sync=False)
            channel.now.channel.set(event.version, alone)


def _edit_list(life: Life, event: ListEdited) -> None:
    version = event.version
    found: ChannelLife | CategoryLife | None = (
        life.category(event.category, version) if event.channel is None else life.channel(event.channel, version)
    )
    if found is None:
        return
    listed = found.place.lists[event.which]
    for names, added, removed in (
        (listed.roles, event.added_roles, event.removed_roles),
        (listed.users, event.added, event.removed),
    ):
        names.remove(version, set(names.now) if event.cleared else set(removed))
        names.add(version, added)


def _set_override(life: Life, event: OverrideSet) -> None:
    version, override = event.version, event.override
    found: ChannelLife | CategoryLife | None = (
        life.category(event.category, version) if event.channel is None else life.channel(event.channel, version)
    )
    if found is None:
        return
    value = override if override.allow or override.deny else None
    if override.role is not None:
        _set(found.place.of_roles, override.role, version, value)
    elif override.user is not None:
        _set(found.place.of_users, override.user, version, value)


def _create_role(life: Life, event: RoleCreated) -> None:
    _set(life.roles, event.role.role, event.version, RoleLife(event.role))


def _update_role(life: Life, event: RoleUpdated) -> None:
    if (found := life.role(event.role.role, event.version)) is not None:
        found.role.set(event.version, event.role)


def _delete_role(life: Life, event: RoleDeleted) -> None:
    """Its members leave it, lists and overrides name it no more."""
    _set(life.roles, event.role, event.version, None)
    for place in life.places():
        for listed in place.lists.values():
            listed.roles.remove(event.version, [event.role])
        if event.role in place.of_roles:
            place.of_roles[event.role].set(event.version, None)


def _add_role_members(life: Life, event: RoleMembersAdded) -> None:
    if (found := life.role(event.role, event.version)) is not None:
        found.members.add(event.version, event.users)


def _remove_role_members(life: Life, event: RoleMembersRemoved) -> None:
    if (found := life.role(event.role, event.version)) is not None:
        found.members.remove(event.version, set(event.users))


def _touched_by_list(event: ListEdited) -> list[int] | None:
    if event.cleared or event.added_roles or event.removed_roles:
        return None
    return event.added_ordinals + event.removed_ordinals


APPLY: Final[dict[type, Callable[..., None]]] = {
    GroupUpdated: lambda life, event: life.profile.set(event.version, event.profile),
    OwnerChanged: lambda life, event: life.owner.set(event.version, event.owner),
    MembersAdded: _add_members,
    MembersRemoved: _remove_members,
    Invited: _ask,
    Applied: _ask,
    InviteEnded: _end_request,
    ApplicationEnded: _end_request,
    CodeCreated: lambda life, event: _set(
        life.codes, event.code.code, event.version, Minted(event.code, event.version)
    ),
    CodeEnded: lambda life, event: _set(life.codes, event.code, event.version, None),
    MemberUpdated: _update_member,
    Muted: _mute,
    Banned: _ban,
    Unbanned: _unban,
    ChannelCreated: _create_channel,
    ChannelUpdated: _update_channel,
    ChannelDeleted: lambda life, event: _set(life.channels, event.channel, event.version, None),
    CategoryCreated: _create_category,
    CategoryUpdated: _update_category,
    CategoryDeleted: _delete_category,
    ListEdited: _edit_list,
    OverrideSet: _set_override,
    RoleCreated: _create_role,
    RoleUpdated: _update_role,
    RoleDeleted: _delete_role,
    RoleMembersAdded: _add_role_members,
    RoleMembersRemoved: _remove_role_members,
}


def _of_all(_: RelationEvent) -> None:
    return None


#: Events that may change who sees what, and for whom: the ordinals, or None for anybody.
TOUCHES: Final[dict[type, Callable[..., list[int] | None]]] = {
    MembersAdded: lambda event: event.ordinals,
    MembersRemoved: lambda event: event.ordinals,
    RoleMembersAdded: lambda event: event.ordinals,
    RoleMembersRemoved: lambda event: event.ordinals,
    ListEdited: _touched_by_list,
    OwnerChanged: _of_all,
    ChannelCreated: _of_all,
    ChannelUpdated: _of_all,
    ChannelDeleted: _of_all,
    CategoryUpdated: _of_all,
    CategoryDeleted: _of_all,
    RoleDeleted: _of_all,
}
