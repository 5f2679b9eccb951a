"""The group itself and its members."""

from __future__ import annotations

from typing import Final

import msgspec

from jobs.verify.changes import FOREVER_MS
from jobs.verify.verdicts.case import Case, Judge, changed_by
from topics.entities import MemberProfile
from topics.relations import (
    AddMembers,
    BanMembers,
    DeleteGroup,
    Mute,
    RemoveMembers,
    TransferOwnership,
    UnbanMembers,
    UpdateGroup,
    UpdateMember,
)


def _update_group(case: Case, command: UpdateGroup) -> None:
    case.need("manage_group")
    profile = changed_by(command, case.life.profile.at(case.version))
    if profile != case.life.profile.at(case.version):
        case.tell("GroupUpdated", profile=profile)


def _transfer(case: Case, command: TransferOwnership) -> None:
    if command.to == case.owner():
        return
    case.refuse("not_permitted", when=command.by is not None and command.by != case.owner())
    case.refuse("unknown_member", when=not case.member(command.to))
    if case.muted_until(command.to):  # the owner is never muted
        case.tell("Muted", until=0, users=[command.to])
    case.tell("OwnerChanged", owner=command.to, before=case.owner())


def _delete_group(case: Case, command: DeleteGroup) -> None:
    case.refuse("not_permitted", when=command.by is not None and command.by != case.owner())
    case.tell("GroupDeleted")


def _add_members(case: Case, command: AddMembers) -> None:
    case.refuse("direct_is_fixed", when=case.life.kind == "direct")
    case.need("manage_members")
    users = [user for user in dict.fromkeys(command.users) if not case.member(user) and not case.banned_until(user)]
    case.room_for(users)
    if users:
        case.tell("MembersAdded", users=users, how="added")


def _remove_members(case: Case, command: RemoveMembers) -> None:
    leaving = command.by is not None and set(command.users) == {command.by}
    case.refuse("direct_is_fixed", when=case.life.kind == "direct")
    case.refuse("owner_stays", when=case.owner() in command.users)
    users = case.members(command.users)
    if not leaving:
        case.need("kick")
        case.above(users=users)
    if users:
        case.tell("MembersRemoved", users=users, why=_why(command, leaving=leaving))


def _why(command: RemoveMembers, *, leaving: bool) -> str:
    if command.by is None:
        return "removed"
    return "left" if leaving else "kicked"


def _update_member(case: Case, command: UpdateMember) -> None:
    own = command.by == command.user and case.member(command.user)
    case.refuse("not_permitted", when=not own and "manage_members" not in case.held())
    case.refuse("unknown_member", when=not case.member(command.user))
    held = case.life.profiles.get(command.user)
    before = held.at(case.version) if held else MemberProfile()
    until = case.muted_until(command.user)
    after = msgspec.structs.replace(changed_by(command, before), muted_until=until)
    if after != msgspec.structs.replace(before, muted_until=until):
        case.tell("MemberUpdated", user=command.user, profile=after)


def _mute(case: Case, command: Mute) -> None:
    case.refuse("wrong_kind", when=case.life.kind == "direct")
    case.refuse("bad_command", when=bool(command.users) and command.channel is not None)
    case.need("mute")
    until = command.until if command.until > case.at_ms else 0
    if command.users:
        _crowded(case, len(case.life.mutes) + len(command.users), case.policy.muted_members)
        case.refuse("owner_stays", when=case.owner() in command.users)
        users = case.members(command.users)
        case.above(users=users)
        if changed := [user for user in users if case.muted_until(user) != until]:
            case.tell("Muted", until=until, users=changed)
        return
    before = case.life.muted_until.at(case.version)
    if command.channel is not None:
        case.server()
        found = case.life.channel(command.channel, case.version)
        case.refuse("unknown_channel", when=found is None)
        before = found.channel.at(case.version).muted_until if found is not None else 0
    if max(before, case.at_ms) != max(until, case.at_ms):
        case.tell("Muted", until=until, channel=command.channel)


def _ban(case: Case, command: BanMembers) -> None:
    case.refuse("direct_is_fixed", when=case.life.kind == "direct")
    case.refuse("bad_command", when=command.until is not None and command.until <= case.at_ms)
    case.need("ban")
    _crowded(case, len(case.life.bans) + len(command.users), case.policy.banned_users)
    case.refuse("owner_stays", when=case.owner() in command.users)
    case.above(users=case.members(command.users))
    until = FOREVER_MS if command.until is None else command.until
    users = [user for user in dict.fromkeys(command.users) if case.banned_until(user) != until]
    if users:
        case.tell("Banned", users=users, until=command.until)
        if gone := case.members(users):
            case.tell("MembersRemoved", users=gone, why="banned")


def _crowded(case: Case, most: int, limit: int) -> None:
    """There may be too many: those whose time is over count until they are looked at."""
    if most > limit:
        case.maybe.add("limit_reached")


def _unban(case: Case, command: UnbanMembers) -> None:
    case.need("ban")
    if users := [user for user in dict.fromkeys(command.users) if case.banned_until(user)]:
        case.tell("Unbanned", users=users)


JUDGES: Final[dict[type, Judge]] = {
    UpdateGroup: _update_group,
    TransferOwnership: _transfer,
    DeleteGroup: _delete_group,
    AddMembers: _add_members,
    RemoveMembers: _remove_members,
    UpdateMember: _update_member,
    Mute: _mute,
    BanMembers: _ban,
    UnbanMembers: _unban,
}
