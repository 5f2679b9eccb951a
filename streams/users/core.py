"""The deciding core of a users partition: each input topic to its flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from streams.rejects import each
from streams.users import memberships, notices, presence, sessions, subscriptions
from streams.users.desk import Desk
from tables import rolls
from tables import sessions as session_rows
from tables.batch import NO_BACKLOG, Backlog, Outputs, Record
from tables.rows import Changes, Rows
from topics import catalog
from topics import sessions as records
from topics.codec import decode

#: What the users role reads.
INPUTS: Final = (
    catalog.POLICIES,
    catalog.MEMBERSHIPS,
    catalog.SESSIONS,
    catalog.WATCHES,
    catalog.LINK_VOIDS,
    catalog.NOTICES,
)

#: How many users are looked at in a batch because something of theirs is due.
_USERS_A_BATCH: Final = 500

_SESSIONS: Final[dict[type[Any], Callable[[Desk, Any], None]]] = {
    records.Up: sessions.up,
    records.Resume: sessions.resume,
    records.Lost: sessions.lost,
    records.Ground: sessions.ground,
    records.Down: sessions.down,
    records.Kick: sessions.kick,
    records.SetStatus: presence.set_status,
    records.Subscribe: subscriptions.subscribe,
    records.Unsubscribe: subscriptions.unsubscribe,
    records.Watch: subscriptions.watch,
    records.Unwatch: subscriptions.unwatch,
}


class UsersCore:
    """One users partition. See `tables.batch.Core`."""

    def __init__(self, rows: Rows, partition: int, partitions: int, links: int) -> None:
        self.applying = 0
        self.desk = Desk(rows, partition, partitions, links)

    def apply(self, records: Sequence[Record], now_ms: int, backlog: Backlog = NO_BACKLOG) -> Outputs:  # noqa: ARG002 -- nothing here is shed
        """Apply a batch: every record in order, then what is due, then all that is to be told."""
        desk = self.desk
        out = Outputs()
        for self.applying, record in enumerate(records):
            desk.now_ms = max(desk.now_ms, record.at_ms)
            each(out, desk.partition, record, self._apply_one)
        self.applying = len(records)  # whatever raises from here on is no record's fault
        desk.now_ms = max(desk.now_ms, now_ms)
        for gone in desk.deaths.step(desk.now_ms, _USERS_A_BATCH):
            sessions.end_dead(desk, gone)
        for app, user in desk.due.take(desk.now_ms, _USERS_A_BATCH):
            sessions.look(desk, app, user)
        presence.settle(desk)
        desk.drain(out)
        return out

    def due_ms(self) -> int | None:
        """When sessions end, a change of ground or a state is told, or dead links are to be swept."""
        dues = (self.desk.due.due_ms(), self.desk.deaths.due_ms())
        return min([at for at in dues if at is not None], default=None)

    def _apply_one(self, record: Record) -> None:
        decoded = decode(record.topic, record.value)
        match record.topic:
            case catalog.SESSIONS.name:
                _SESSIONS[type(decoded)](self.desk, decoded)
            case catalog.MEMBERSHIPS.name:
                memberships.lot(self.desk, decoded)
            case catalog.WATCHES.name:
                presence.lot(self.desk, decoded)
            case catalog.NOTICES.name:
                notices.lot(self.desk, decoded)
            case catalog.LINK_VOIDS.name:
                sessions.void(self.desk, decoded)
            case catalog.POLICIES.name:
                self.desk.policies.set(decoded.app, decoded.policy)


def index(key: bytes, old: bytes | None, new: bytes | None, get: Callable[[bytes], bytes | None]) -> Changes:
    """The local rows that a change of a row of this role brings with it; see `tables.rows.Index`."""
    return rolls.index(key, old, new, get) or session_rows.index(key, old, new, get)
