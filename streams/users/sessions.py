"""Sessions come and go: each is bound to all groups of its user, in one lot a groups partition."""

from __future__ import annotations

from streams.users.desk import Desk
from tables.sessions import Session
from topics.codec import Malformed
from topics.keys import key_of, partition_of
from topics.sessions import Down, Up


def up(desk: Desk, up: Up) -> None:
    """A session began: bind it to the user's groups. Known before, or of a dead link: nothing."""
    _check_partition(desk, up)
    if up.partition >= desk.links:
        raise Malformed("bad_address", f"partition {up.partition} of {desk.links}")
    session = Session(up.device, up.link, up.epoch, up.partition, up.slot)
    if desk.sessions.up(up.app, up.user, session):
        for group, ordinal in desk.rolls.groups_of(up.app, up.user):
            desk.bind(up.app, up.user, session, group, ordinal)


def down(desk: Desk, down: Down) -> None:
    """A session ended: unbind it."""
    _check_partition(desk, down)
    if desk.sessions.down(down.app, down.user, down.link, down.epoch, down.slot):
        for group, ordinal in desk.rolls.groups_of(down.app, down.user):
            desk.unbind(down.app, down.link, down.epoch, down.slot, group, ordinal)


def _check_partition(desk: Desk, record: Up | Down) -> None:
    if (right := partition_of(key_of(record.app, record.user), desk.partitions)) != desk.partition:
        raise Malformed("wrong_partition", f"{record.app}:{record.user} belongs to partition {right}")
