"""Who listens: binds and unbinds in, the sessions' links told; the death of a link; a gateway that lost track."""

from __future__ import annotations

from streams.groups import subscriptions
from streams.groups.desk import Desk
from tables import keys
from tables.chores import Sweep
from tables.groups import Group
from tables.linkmap import binding_prefix, pairs
from tables.subscriptions import subscription_prefix
from topics import limits
from topics.bindings import Bind, BindingLot, Grounded, Listen, Unbind, Unlisten
from topics.codec import encode
from topics.deliveries import Background
from topics.links import Void
from topics.resync import Resync


def lot(desk: Desk, lot: BindingLot) -> None:
    """Bind members' sessions, unbind those that ended. A bind of who is no member, or of a dead link, is refused."""
    highest = max([one.partition for one in lot.entries if not isinstance(one, Unbind)], default=0)
    desk.check_partition(highest)
    group: Group | None = None
    for entry in lot.entries:
        if isinstance(entry, Grounded):
            subscriptions.ground(desk, entry)
            continue
        if group is None or group.group != entry.group or group.app != entry.app:
            group = desk.groups.touch(entry.app, entry.group)
        if isinstance(entry, Bind):
            _bind(desk, group, entry)
        elif isinstance(entry, Listen):
            subscriptions.listen(desk, group, entry)
        elif isinstance(entry, Unlisten):
            subscriptions.unlisten(desk, group, entry)
        elif (outlet := desk.outbox.find(entry.link, entry.epoch)) is not None:
            group.map.unbind(entry.ordinal, outlet, entry.slot)


def _bind(desk: Desk, group: Group, bind: Bind) -> None:
    if not group.members.holds(bind.user, bind.ordinal):
        return
    if (outlet := desk.outbox.outlet(bind.link, bind.epoch, bind.partition)) is not None:
        group.map.bind(bind.ordinal, outlet, bind.slot)


def void(desk: Desk, void: Void) -> None:
    """Registrations of a link are dead: nothing goes there from here on, and no later bind of theirs is taken."""
    if desk.voids.add(void.link, void.epoch):
        desk.outbox.close(void.link, void.epoch)
        desk.ground.drop(void.link, void.epoch)
        desk.chores.add(Sweep(void.link, void.epoch))


def resync(desk: Desk, resync: Resync) -> None:
    """Give a link all its bindings here anew, beginning with a lot that says so."""
    desk.check_partition(resync.partition)
    desk.check_source(resync.source)
    desk.counts["resyncs"] += 1
    if (outlet := desk.outbox.outlet(resync.link, resync.epoch, resync.partition)) is None:
        return
    desk.counts["resyncs_answered"] += 1
    desk.flush()  # so that the rows hold what this batch changed; what the link was told stands in the lots before
    outlet.reset()
    turned = list(desk.ground.on(outlet))
    for start in range(0, len(turned), limits.ENTRY_PAIRS):
        outlet.entries.append(encode(Background(turned[start : start + limits.ENTRY_PAIRS])))
    for key, bound in _heard_on(desk, resync.link, resync.epoch).items():
        app, _, name = key.decode().partition(":")
        group = desk.groups.touch(app, name)
        group.unlearn(outlet)
        desk.tell_bound(group, outlet, bound, desk.heads(group))


def _heard_on(desk: Desk, link: str, epoch: int) -> dict[bytes, list[tuple[int, int]]]:
    """The groups that sessions of a registration hear, each with its bindings there: visitors have none."""
    prefix = binding_prefix(link, epoch)
    by_group: dict[bytes, list[tuple[int, int]]] = {}
    for key, row in desk.rows.scan(prefix):
        by_group.setdefault(key[len(prefix) : -5], []).extend(pairs(row))
    prefix = subscription_prefix(link, epoch)
    for key, _ in desk.rows.scan(prefix):
        by_group.setdefault(key[len(prefix) :].partition(keys.END)[0], [])
    return by_group
