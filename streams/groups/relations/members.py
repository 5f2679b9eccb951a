"""Members come and go, are muted and banned, and have a profile in the group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from pyroaring import BitMap

from streams.groups.desk import Desk
from streams.groups.refusal import RefusalError
from streams.groups.relations.base import Handler, columns, ordinals_of, publish, require, require_above
from tables.groups import Group
from topics.entities import MemberProfile
from topics.events import (
    Banned,
    How,
    MembersAdded,
    MembersRemoved,
    MemberUpdated,
    Muted,
    Unbanned,
    Why,
)
from topics.memberships import Joined, Left
from topics.relations import (
    AddMembers,
    Asked,
    BanMembers,
    Mute,
    RemoveMembers,
    UnbanMembers,
    UpdateMember,
)

_OWN: Final = ("nick", "avatar", "custom", "weight")


def check_room(desk: Desk, group: Group, users: Sequence[str]) -> None:
    """Refuse users who would be too many.

    Raises:
        RefusalError: limit_reached.
    """
    limit = desk.policies.of(group.app).group_members
    if len(group.members) + len(users) <= limit:
        return  # whoever of them is a member already
    if len(group.members) + len(set(users)) - len(group.members.named(users)) > limit:
        raise RefusalError("limit_reached", limit)


def enter(desk: Desk, group: Group, command: Asked, users: Iterable[str], how: How, inviter: str | None) -> int:
    """Make members of those who are none; how many were none.

    Args:
        desk: the partition.
        group: of which group.
        command: what asked for it.
        users: who; nobody who is banned, and not more than there is room for.
        how: how they became members.
        inviter: who let them in.
    """
    added = group.add(users)
    if added:
        names, ordinals = columns(added)
        group.origins.add(ordinals[0], len(ordinals), desk.now_ms, how, inviter)
        version = publish(desk, group, command, MembersAdded, users=names, ordinals=ordinals, how=how)
        desk.tell_users(Joined, group.app, group.group, version, added)
    return len(added)


def changeable(group: Group) -> None:
    """Refuse a group whose members are fixed.

    Raises:
        RefusalError: direct_is_fixed.
    """
    if group.kind == "direct":
        raise RefusalError("direct_is_fixed")


def _leave(desk: Desk, group: Group, command: Asked, users: Iterable[str], why: Why) -> int:
    """Users are members no more, and leave all that named them; how many were members."""
    removed = group.remove(users)
    if removed:
        names, ordinals = columns(removed)
        group.profiles.forget(ordinals)
        if group.ruled:
            group.mutes.forget(ordinals)
            group.forget(BitMap(ordinals))
        version = publish(desk, group, command, MembersRemoved, users=names, ordinals=ordinals, why=why)
        desk.tell_users(Left, group.app, group.group, version, removed)
    return len(removed)


def _spare_owner(group: Group, users: Sequence[str]) -> None:
    """Refuse what would befall the owner.

    Raises:
        RefusalError: owner_stays.
    """
    if group.owner is not None and group.members.users_at([group.owner])[0] in users:
        raise RefusalError("owner_stays")


def _add(desk: Desk, group: Group, command: AddMembers) -> int:
    changeable(group)
    require(group, command.by, "manage_members")
    users = group.bans.let_in(command.users, desk.now_ms)
    check_room(desk, group, users)
    return enter(desk, group, command, users, "added", command.by)


def _remove(desk: Desk, group: Group, command: RemoveMembers) -> int:
    changeable(group)
    _spare_owner(group, command.users)
    if command.by is None:
        return _leave(desk, group, command, command.users, "removed")
    if set(command.users) == {command.by}:
        return _leave(desk, group, command, command.users, "left")
    asker = require(group, command.by, "kick")
    require_above(group, asker, ordinals_of(group.members.named(command.users)))
    return _leave(desk, group, command, command.users, "kicked")


def _update(desk: Desk, group: Group, command: UpdateMember) -> int:
    asker = group.members.ordinal_of(command.by) if command.by is not None else None
    if command.by != command.user or asker is None:
        require(group, command.by, "manage_members")
    ordinal = group.members.ordinal_of(command.user)
    if ordinal is None:
        raise RefusalError("unknown_member")
    named = {name: getattr(command, name) for name in _OWN}
    before = group.profiles.of(ordinal)
    profile = msgspec.structs.replace(
        before, **{name: value for name, value in named.items() if value is not msgspec.UNSET}
    )
    if profile == before:
        return 0
    group.profiles.set(ordinal, profile)
    shown = profile_of(group, ordinal, desk.now_ms)
    publish(desk, group, command, MemberUpdated, user=command.user, ordinal=ordinal, profile=shown)
    return 1


def profile_of(group: Group, ordinal: int, now_ms: int) -> MemberProfile:
    """All that a member is in the group, with its mute."""
    profile = group.profiles.of(ordinal)
    until = group.mutes.muted(ordinal, now_ms) if group.ruled else 0
    return msgspec.structs.replace(profile, muted_until=until) if until else profile


def _mute(desk: Desk, group: Group, command: Mute) -> int:
    if group.kind == "direct":
        raise RefusalError("wrong_kind")
    if command.users and command.channel is not None:
        raise RefusalError("bad_command")
    asker = require(group, command.by, "mute")
    until = command.until if command.until > desk.now_ms else 0
    if command.users:
        return _mute_members(desk, group, command, asker, until)
    if command.channel is not None:
        return _mute_channel(desk, group, command, command.channel, until)
    if max(group.muted_until, desk.now_ms) == max(until, desk.now_ms):
        return 0
    group.muted_until = until
    group.ruled = group.ruled or bool(until)
    publish(desk, group, command, Muted, until=until)
    return 1


def _mute_members(desk: Desk, group: Group, command: Mute, asker: int | None, until: int) -> int:
    _spare_owner(group, command.users)
    named = group.members.named(command.users)
    require_above(group, asker, ordinals_of(named))
    members = {ordinal: user for user, ordinal in named}
    mutes, limit = group.mutes, desk.policies.of(group.app).muted_members
    mutes.drop_expired(desk.now_ms)
    if until and len(mutes) + sum(not mutes.until(ordinal) for ordinal in members) > limit:
        raise RefusalError("limit_reached", limit)
    changed = mutes.mute(members, until, desk.now_ms)
    if changed:
        group.ruled = True
        users = [members[ordinal] for ordinal in changed]
        publish(desk, group, command, Muted, until=until, users=users, ordinals=changed)
    return len(changed)


def _mute_channel(desk: Desk, group: Group, command: Mute, channel: str, until: int) -> int:
    if group.kind != "server":
        raise RefusalError("wrong_kind")
    if not group.has_channel(channel):
        raise RefusalError("unknown_channel")
    info = group.structure.channels[channel]
    if max(info.muted_until, desk.now_ms) == max(until, desk.now_ms):
        return 0
    group.structure.update_channel(msgspec.structs.replace(info, muted_until=until), group.members.bits)
    publish(desk, group, command, Muted, until=until, channel=channel)
    return 1


def _ban(desk: Desk, group: Group, command: BanMembers) -> int:
    changeable(group)
    if command.until is not None and command.until <= desk.now_ms:
        raise RefusalError("bad_command")
    asker = require(group, command.by, "ban")
    _spare_owner(group, command.users)
    if asker is not None:
        require_above(group, asker, ordinals_of(group.members.named(command.users)))
    limit = desk.policies.of(group.app).banned_users
    if len(group.bans) + len(command.users) > limit:
        new = len(group.bans.let_in(dict.fromkeys(command.users), desk.now_ms))
        if len(group.bans) + new > limit:
            raise RefusalError("limit_reached", limit)
    banned = group.bans.ban(command.users, command.until, desk.now_ms)
    if banned:
        publish(desk, group, command, Banned, users=banned, until=command.until)
        _leave(desk, group, command, banned, "banned")
    return len(banned)


def _unban(desk: Desk, group: Group, command: UnbanMembers) -> int:
    require(group, command.by, "ban")
    lifted = group.bans.lift(command.users, desk.now_ms)
    if lifted:
        publish(desk, group, command, Unbanned, users=lifted)
    return len(lifted)


HANDLERS: Final[dict[type, Handler]] = {
    AddMembers: _add,
    RemoveMembers: _remove,
    UpdateMember: _update,
    Mute: _mute,
    BanMembers: _ban,
    UnbanMembers: _unban,
}
