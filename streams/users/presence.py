"""Who is online, told to those who watch: at once to who begins to; each change at once, then merged for a while."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from streams.users.desk import Desk
from tables.presence import Known, state_of
from tables.sessions import Session
from topics import limits
from topics.answers import Done, Refused
from topics.codec import encode
from topics.deliveries import PresenceOut
from topics.keys import key_of, partitions_of
from topics.presence import Presence, Unwatched, Watching, WatchLot
from topics.sessions import SetStatus
from topics.wire import LinkAddress, slot_of


def watch(desk: Desk, app: str, session: Session, users: Collection[str]) -> None:
    """Tell the users' owners that the session watches them."""
    for partition, some in _by_partition(desk, app, users).items():
        watching = Watching(app, some, session.link, session.epoch, session.partition, session.slot)
        desk.watches.add(partition, encode(watching))


def unwatch(desk: Desk, app: str, session: Session, users: Collection[str]) -> None:
    """Tell the users' owners that the session watches them no more."""
    for partition, some in _by_partition(desk, app, users).items():
        desk.watches.add(partition, encode(Unwatched(app, some, session.link, session.epoch, session.slot)))


def lot(desk: Desk, lot: WatchLot) -> None:
    """Sessions begin and cease to watch users of this partition; those of dead links do not begin.

    Raises:
        Malformed: the lot names a partition of `deliveries` that does not exist.
    """
    for entry in lot.entries:
        if isinstance(entry, Watching):
            desk.check_partition(entry.partition)
    for entry in lot.entries:
        if isinstance(entry, Unwatched):
            for user in entry.users:
                desk.presences.unwatch(entry.app, user, entry.link, entry.epoch, entry.slot)
        elif not desk.voids.covers(entry.link, entry.epoch):
            _watching(desk, entry)


def set_status(desk: Desk, sets: SetStatus) -> None:
    """A user's custom status is this from here on."""
    app, user = sets.app, sets.user
    desk.check_user(app, user)
    desk.check_address(sets.reply)
    known = desk.presences.of(app, user) or Known()
    changed = int(known.status != sets.status)
    if changed:
        known.status = sets.status
        desk.presences.put(app, user, known)
        desk.touched[app, user] = None
    desk.answer(sets.reply, Done(app, user, changed, sets.request, slot_of(sets.reply)))


def settle(desk: Desk) -> None:
    """Tell what is to be told at the end of a batch: each link once, of all users that its sessions watch alike."""
    told: dict[LinkAddress, dict[tuple[str, tuple[int, ...]], list[Presence]]] = {}
    for app, user in {**desk.touched, **dict.fromkeys(desk.fresh)}:
        known = desk.presences.of(app, user)
        if known is None or not known.watchers:
            continue
        fresh = desk.fresh.get((app, user), {})
        to: Iterable[tuple[LinkAddress, list[int]]] = fresh.items()
        if _changed(desk, app, user, known, alone=known.watchers == sum(map(len, fresh.values()))):
            to = list(desk.presences.watchers(app, user))
        presence = Presence(user, known.state, known.shown, known.version)
        for address, slots in to:
            told.setdefault(address, {}).setdefault((app, tuple(slots)), []).append(presence)
    desk.touched, desk.fresh = {}, {}
    for address, entries in told.items():
        for (app, among), users in entries.items():
            desk.counts["presence"] += len(users)
            desk.replies.add(address, encode(PresenceOut(app, list(among), users)))


def _changed(desk: Desk, app: str, user: str, known: Known, *, alone: bool) -> bool:
    """Whether all who watch are to be told now that the user is to be found otherwise; if it waits, it is due then.

    Nobody but who began to watch is there to be spared (`alone`): it does not wait.
    """
    state = state_of(desk.sessions.held(app, user))
    if (state, known.status) == (known.state, known.shown):
        return False
    if desk.now_ms < known.closed_until and not alone:
        desk.due.add(known.closed_until, app, user)
        return False
    known.state, known.shown = state, known.status
    known.version += 1
    known.closed_until = desk.now_ms + desk.policies.of(app).presence_window_ms
    desk.presences.put(app, user, known)
    return True


def _watching(desk: Desk, entry: Watching) -> None:
    address = LinkAddress(entry.link, entry.epoch, entry.partition)
    refused = False
    for user in entry.users:
        if desk.presences.watch(entry.app, user, address, entry.slot):
            slots = desk.fresh.setdefault((entry.app, user), {}).setdefault(address, [])
            if entry.slot not in slots:
                slots.append(entry.slot)
        else:
            refused = True
    if refused:
        desk.refuse(address, Refused("limit_reached", entry.app, limit=limits.WATCHERS, slot=entry.slot))


def _by_partition(desk: Desk, app: str, users: Collection[str]) -> dict[int, list[str]]:
    partitions = partitions_of([key_of(app, user) for user in users], desk.partitions)
    by_partition: dict[int, list[str]] = {}
    for user, partition in zip(users, partitions, strict=True):
        by_partition.setdefault(partition, []).append(user)
    return by_partition
