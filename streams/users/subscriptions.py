"""Sessions ask to hear of groups and of users: kept here for a resume, and asked of the owners, who answer.

A call that would pass a limit is refused as a whole: nothing of it is in force. Of the levels of a channel's messages a
session has one: of one call the strongest, which replaces that of an earlier call.
"""

from __future__ import annotations

from streams.users.desk import Desk, partition_of_group
from streams.users.presence import unwatch as tell_unwatched
from streams.users.presence import watch as tell_watching
from streams.users.sessions import find, held_by
from tables.asked import joined, strongest
from tables.sessions import Session
from topics.answers import Refused
from topics.memberships import Unheard
from topics.sessions import Subscribe, Unsubscribe, Unwatch, Watch
from topics.subscriptions import VISITOR_LEVELS, Subscription, Wanted
from topics.wire import LinkAddress


def subscribe(desk: Desk, asks: Subscribe) -> None:
    """A session asks to hear something: each group's owner is asked for its part, even for what it has already."""
    if (session := _session(desk, asks)) is None:
        return
    app, user = asks.app, asks.user
    policy = desk.policies.of(app)
    by_group = {group: strongest(wanted) for group, wanted in _by_group(asks.subscriptions).items()}
    asked: dict[str, set[Wanted]] = {}
    groups = session.asked
    for group, wanted in by_group.items():
        before = desk.asked.of(app, user, session, group)
        asked[group] = joined(before, _lasting(desk, app, user, group, wanted))
        groups += bool(asked[group]) - bool(before)
        if len({one.channel for one in asked[group] if one.channel is not None}) > policy.channels_subscribed:
            _refuse(desk, session, asks, policy.channels_subscribed)
            return
    if groups > policy.groups_subscribed:
        _refuse(desk, session, asks, policy.groups_subscribed)
        return
    for group, wanted in by_group.items():
        desk.asked.set(app, user, session, group, asked[group])
        if session.turned_at:
            desk.grounded(session, [partition_of_group(app, group, desk.partitions)])
        desk.listen(app, user, session, group, wanted, asks.request)
    _write(desk, app, user, session, session._replace(asked=groups))


def unsubscribe(desk: Desk, asks: Unsubscribe) -> None:
    """A session wants to hear something no more; what it never asked for is answered as well."""
    if (session := _session(desk, asks)) is None:
        return
    left = session
    for group, wanted in _by_group(asks.subscriptions).items():
        left = forget(desk, asks.app, asks.user, left, group, wanted)
        desk.unlisten(asks.app, session, group, wanted, asks.request)
    _write(desk, asks.app, asks.user, session, left)


def unheard(desk: Desk, entry: Unheard) -> None:
    """What a session had asked for is not in force: a resume does not ask for it again."""
    held = held_by(desk, entry.app, entry.user)
    if (session := find(held, entry.link, entry.epoch, entry.slot)) is not None:
        left = forget(desk, entry.app, entry.user, session, entry.group, set(entry.wanted))
        _write(desk, entry.app, entry.user, session, left)


def left(desk: Desk, app: str, user: str, group: str) -> None:
    """A user left a group: what its sessions asked for there ends with that.

    The group's owner ends it by itself, but for what it was asked for after it had seen the user leave.
    """
    for session in desk.sessions.held(app, user):
        if wanted := desk.asked.of(app, user, session, group) if session.asked else None:
            if not desk.dead(session):
                desk.unlisten(app, session, group, ())
            _write(desk, app, user, session, forget(desk, app, user, session, group, wanted))


def forget(desk: Desk, app: str, user: str, session: Session, group: str, wanted: set[Wanted]) -> Session:
    """The session is not to hear this of a group; gives it with its count of groups, to be written."""
    before = desk.asked.of(app, user, session, group) if session.asked else set()
    if not before & wanted:
        return session
    desk.asked.set(app, user, session, group, before - wanted)
    return session if before - wanted else session._replace(asked=session.asked - 1)


def watch(desk: Desk, asks: Watch) -> None:
    """A session wants to know which of these users are online: told at once, also of those that it watches already."""
    if (session := _session(desk, asks)) is None:
        return
    watched = {*desk.presences.watched(asks.app, asks.user, session), *asks.users}
    if len(watched) > (limit := desk.policies.of(asks.app).watched_users):
        _refuse(desk, session, asks, limit)
        return
    desk.presences.set_watched(asks.app, asks.user, session, watched)
    tell_watching(desk, asks.app, session, dict.fromkeys(asks.users))
    _write(desk, asks.app, asks.user, session, session._replace(watched=len(watched)))


def unwatch(desk: Desk, asks: Unwatch) -> None:
    """A session watches these users no more."""
    if (session := _session(desk, asks)) is None:
        return
    before = desk.presences.watched(asks.app, asks.user, session)
    watched = [user for user in before if user not in asks.users]
    if len(watched) < len(before):
        desk.presences.set_watched(asks.app, asks.user, session, watched)
        tell_unwatched(desk, asks.app, session, [user for user in before if user in asks.users])
        _write(desk, asks.app, asks.user, session, session._replace(watched=len(watched)))


def _session(desk: Desk, asks: Subscribe | Unsubscribe | Watch | Unwatch) -> Session | None:
    """The session that asks. If there is none, its gateway is told so, where it is known how it is reached."""
    desk.check_user(asks.app, asks.user)
    session = find(held_by(desk, asks.app, asks.user), asks.link, asks.epoch, asks.slot)
    if session is not None and not session.lost_until:
        return session
    if (partition := desk.sessions.partition_of(asks.link, asks.epoch)) is None:
        desk.counts["refused:unknown_session"] += 1
        return None
    refused = Refused("unknown_session", asks.app, request=asks.request, slot=asks.slot)
    desk.refuse(LinkAddress(asks.link, asks.epoch, partition), refused)
    return None


def _refuse(desk: Desk, session: Session, asks: Subscribe | Watch, limit: int) -> None:
    refused = Refused("limit_reached", asks.app, request=asks.request, limit=limit, slot=session.slot)
    desk.refuse(session.address, refused)


def _write(desk: Desk, app: str, user: str, session: Session, new: Session) -> None:
    if new != session:
        held = desk.sessions.held(app, user)
        desk.sessions.write(app, user, [new if other == session else other for other in held])


def _lasting(desk: Desk, app: str, user: str, group: str, wanted: set[Wanted]) -> set[Wanted]:
    """Without what is refused to who is no member: it replaces nothing."""
    member = desk.rolls.has(app, user, group)
    return wanted if member else {one for one in wanted if one.level in VISITOR_LEVELS}


def _by_group(subscriptions: list[Subscription]) -> dict[str, set[Wanted]]:
    by_group: dict[str, set[Wanted]] = {}
    for one in subscriptions:
        by_group.setdefault(one.group, set()).add(Wanted(one.level, one.channel))
    return by_group
