"""One command: checked, applied, answered. A refused one changes nothing."""

from __future__ import annotations

from typing import Final

from streams.groups.desk import Desk
from streams.groups.refusal import RefusalError
from streams.groups.relations import life, members, requests, roles, structure
from streams.groups.relations.base import Handler
from tables.groups import Group
from topics.answers import Applied
from topics.relations import AddMembers, CreateGroup, DeleteGroup, Large, RelationRecord, RemoveMembers
from topics.wire import slot_of

_HANDLERS: Final[dict[type, Handler]] = (
    life.HANDLERS | members.HANDLERS | requests.HANDLERS | roles.HANDLERS | structure.HANDLERS
)


def command(desk: Desk, command: RelationRecord) -> None:
    """Apply a command and answer it."""
    desk.check_address(command.reply)
    group = desk.groups.touch(command.app, command.group)
    try:
        changed = _apply(desk, group, command)
    except RefusalError as refusal:
        desk.refuse(command, refusal)
        return
    if changed and not _known_before(command):
        desk.mark_rows()
    slot = slot_of(command.reply)
    desk.answer(command.reply, Applied(command.app, command.group, group.version, changed, command.request, slot))


def _known_before(command: RelationRecord) -> bool:
    """Whether the rows that a command leads to say the same to workers that know the first version of rows only."""
    if isinstance(command, CreateGroup):
        return command.kind in {"team", "direct"} and command.owner is None
    return isinstance(command, DeleteGroup | AddMembers | RemoveMembers)


def _apply(desk: Desk, group: Group, command: RelationRecord) -> int:
    if not isinstance(command, CreateGroup) and not group.alive:
        raise RefusalError("unknown_group")
    if command.expected is not None and command.expected != group.version:
        raise RefusalError("version_changed")
    if isinstance(command, Large) and command.change_set is not None:
        return _apply_part(desk, group, command, command.change_set)
    return _HANDLERS[type(command)](desk, group, command)


def _apply_part(desk: Desk, group: Group, command: Large, change_set: str) -> int:
    if not group.change_sets.fits(change_set, command.part, command.parts):
        raise RefusalError("bad_command")
    if not group.change_sets.begins(change_set, command.part):
        return 0  # this part came before
    before = group.version
    changed = _HANDLERS[type(command)](desk, group, command)
    group.change_sets.done(
        change_set,
        command.part,
        command.parts,
        changed=changed,
        before=before,
        version=group.version,
        at=desk.now_ms,
    )
    return changed
