"""Long clean-ups in bounded steps: the members and parts of an ended group, the bindings of a dead link."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, takewhile

import msgspec

from streams.groups.desk import Desk
from tables import keys
from tables.chores import Chore, Disband, Sweep
from tables.members import Members
from topics import limits
from topics.keys import key_of
from topics.memberships import Left


def step(desk: Desk) -> None:
    """Work at the oldest clean-up, if there is one, for one step."""
    if not desk.chores:
        return
    chore = desk.chores.next()
    left: Chore | None
    match chore:
        case Disband():
            left = _disband(desk, chore)
        case Sweep():
            left = _sweep(desk, chore)
    desk.chores.worked(left)


def _disband(desk: Desk, chore: Disband) -> Disband | None:
    return _tell_members(desk, chore) if chore.first < chore.end else _remove_parts(desk, chore)


def _tell_members(desk: Desk, chore: Disband) -> Disband | None:
    step = limits.CHORE_PAGES * limits.PAGE_ORDINALS
    upto = min(chore.end, (chore.first // limits.PAGE_ORDINALS) * limits.PAGE_ORDINALS + step)
    group = key_of(chore.app, chore.group)
    gone = [(user, ordinal) for ordinal, user in Members.take_pages(desk.rows, group, chore.first, upto)]
    desk.tell_users(Left, chore.app, chore.group, chore.version, gone)
    left = msgspec.structs.replace(chore, first=upto)
    return left if upto < chore.end or next(_rows_of_parts(desk, left), None) is not None else None


def _remove_parts(desk: Desk, chore: Disband) -> Disband | None:
    found = list(islice(_rows_of_parts(desk, chore), limits.CHORE_ROWS))
    for key in found:
        desk.rows.delete(key)
    return msgspec.structs.replace(chore, part=found[-1]) if len(found) == limits.CHORE_ROWS else None


def _rows_of_parts(desk: Desk, chore: Disband) -> Iterator[bytes]:
    """The keys of the parts of the life that ended, and of those before it, from where the removal goes on."""
    group = key_of(chore.app, chore.group)
    for part in sorted(keys.PARTS):
        prefix = keys.name(part, group)
        end = prefix + keys.u32(chore.life + 1)
        if end > chore.part:
            yield from takewhile(end.__gt__, (key for key, _ in desk.rows.scan(prefix, chore.part)))


def _sweep(desk: Desk, chore: Sweep) -> Sweep | None:
    dead = list(islice(_rows_of_link(desk, chore), limits.CHORE_ROWS))
    for key in dead:
        desk.rows.delete(key)
    return chore if len(dead) == limits.CHORE_ROWS else None


def _rows_of_link(desk: Desk, chore: Sweep) -> Iterator[bytes]:
    """The keys of all that there is of the sessions of a link's dead registrations."""
    for noun in (keys.BINDING, keys.SUBSCRIBED, keys.BACKGROUND):
        prefix = keys.name(noun, chore.link.encode())
        end = prefix + keys.u64(chore.epoch + 1)
        yield from takewhile(end.__gt__, (key for key, _ in desk.rows.scan(prefix)))
