"""Sessions begin, go on, are lost, turn away and end: what the groups' owners are told of it, in one lot each.

A session that is lost stays as it is for everybody until its time to be resumed is over; then it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streams.users.desk import Desk, partition_of_group
from streams.users.presence import unwatch, watch
from tables.deaths import Gone
from tables.sessions import Session
from topics import limits
from topics.answers import Done, Refused
from topics.codec import Malformed, encode
from topics.deliveries import Ended, Resumed
from topics.links import Void
from topics.policy import SessionsRule
from topics.sessions import Down, Ground, Kick, Lost, Resume, Up
from topics.wire import LinkAddress, SessionId, slot_of

#: Which of a user's sessions a new one takes the place of.
_REPLACED: dict[SessionsRule, Callable[[Session, Session], bool]] = {
    "any": lambda _new, _old: False,
    "one_per_device": lambda new, old: new.device == old.device,
    "one_per_platform": lambda new, old: new.platform == old.platform,
    "one": lambda _new, _old: True,
}


def up(desk: Desk, up: Up) -> None:
    """A session began: bind it to the user's groups. Known before, or of a dead link: nothing."""
    desk.check_user(up.app, up.user)
    desk.check_partition(up.partition)
    if desk.voids.covers(up.link, up.epoch):
        return
    held = held_by(desk, up.app, up.user)
    if find(held, up.link, up.epoch, up.slot) is None and not _late(desk, up, held):
        _begin(desk, up, held)


def resume(desk: Desk, resume: Resume) -> None:
    """A session goes on where it is now: as it was, moved, or, if it is not known any more, anew."""
    app, user = resume.app, resume.user
    desk.check_user(app, user)
    desk.check_partition(resume.partition)
    if desk.voids.covers(resume.link, resume.epoch):
        return
    was = resume.was
    held = held_by(desk, app, user)
    old = find(held, was.link, was.epoch, was.slot)
    here = find(held, resume.link, resume.epoch, resume.slot)
    if old is not None and old is here:
        _stay(desk, resume, held, old)
    elif here is not None:  # it began here before: what was elsewhere is of no use
        if old is not None:
            _tell_ended(desk, old, Ended(old.slot, "replaced"))
            _drop(desk, app, user, held, [old])
        old = None
    elif _late(desk, resume, held):
        return
    elif old is not None:
        _move(desk, resume, held, old)
    else:
        _begin(desk, resume, held)
    desk.counts["resumed" if old is not None else "resumed_new"] += 1
    resumed = Resumed(resume.slot, old is not None, desk.inboxes.newest(app, user))
    desk.replies.add(LinkAddress(resume.link, resume.epoch, resume.partition), encode(resumed))


def lost(desk: Desk, lost: Lost) -> None:
    """A connection broke: the session waits to be resumed."""
    app, user = lost.app, lost.user
    desk.check_user(app, user)
    held = held_by(desk, app, user)
    session = find(held, lost.link, lost.epoch, lost.slot)
    if session is None or session.lost_until:
        return
    if (resume_ms := desk.policies.of(app).resume_ms) == 0:
        _drop(desk, app, user, held, [session])
        return
    desk.counts["lost"] += 1
    until = desk.now_ms + resume_ms
    desk.due.add(until, app, user)
    _replace(desk, app, user, held, session, session._replace(lost_until=until))


def ground(desk: Desk, ground: Ground) -> None:
    """A session went to the background or came back. One that is lost has no ground to be on."""
    app, user = ground.app, ground.user
    desk.check_user(app, user)
    held = held_by(desk, app, user)
    session = find(held, ground.link, ground.epoch, ground.slot)
    if session is not None and not session.lost_until:
        _replace(desk, app, user, held, session, _turned(desk, app, user, session, background=ground.background))


def down(desk: Desk, down: Down) -> None:
    """A session ended: unbind it."""
    desk.check_user(down.app, down.user)
    held = held_by(desk, down.app, down.user)
    if (session := find(held, down.link, down.epoch, down.slot)) is not None:
        _drop(desk, down.app, down.user, held, [session])


def kick(desk: Desk, kick: Kick) -> None:
    """End sessions of a user, and close their connections."""
    desk.check_user(kick.app, kick.user)
    desk.check_address(kick.reply)
    held = held_by(desk, kick.app, kick.user)
    spared = kick.spared
    ended = [
        session
        for session in held
        if kick.device in (None, session.device)
        and (spared is None or not session.at(spared.link, spared.epoch, spared.slot))
    ]
    desk.counts["kicked"] += len(ended)
    for session in ended:
        _tell_ended(desk, session, Ended(session.slot, "kicked"))
    if ended:
        _drop(desk, kick.app, kick.user, held, ended)
    desk.answer(kick.reply, Done(kick.app, kick.user, len(ended), kick.request, slot_of(kick.reply)))


def void(desk: Desk, void: Void) -> None:
    """Registrations of a link are dead: their sessions are lost, all at once; who they are is found in steps."""
    after = desk.voids.newest(void.link)
    if desk.voids.add(void.link, void.epoch):
        desk.deaths.add(void.link, after, void.epoch, desk.now_ms)


def held_by(desk: Desk, app: str, user: str) -> list[Session]:
    """The user's sessions; those whose time is over have ended."""
    held = desk.sessions.held(app, user)
    over = [session for session in held if session.lost_until and session.lost_until <= desk.now_ms]
    return _drop(desk, app, user, held, over) if over else held


def find(held: list[Session], link: str, epoch: int, slot: int) -> Session | None:
    """The session of this connection, if there is one."""
    return next((session for session in held if session.at(link, epoch, slot)), None)


def look(desk: Desk, app: str, user: str) -> None:
    """Something of the user's is due: sessions whose time is over end, those that went to the background are told."""
    held = held_by(desk, app, user)
    turned = [_turned(desk, app, user, session, background=session.background) for session in held]
    if turned != held:
        desk.sessions.write(app, user, turned)
    desk.touched[app, user] = None


def end_dead(desk: Desk, gone: Gone) -> None:
    """The time to resume a user's sessions of a dead link is over."""
    for session in desk.sessions.forget(gone.app, gone.user, gone.link, gone.epoch):
        desk.counts["ended"] += 1
        _end(desk, gone.app, gone.user, session)
    desk.touched[gone.app, gone.user] = None


def _late(desk: Desk, begun: Up | Resume, held: list[Session]) -> bool:
    """Whether a session already went on from this connection, elsewhere: what its gateway says late begins nothing.

    So it is when a gateway was cut off from Kafka while its clients went to others. Who goes on just where it was may
    have come back instead.
    """
    place = begun.link, begun.epoch, begun.slot
    here = isinstance(begun, Resume) and begun.was == SessionId(*place)
    late = not here and any(session.was == place for session in held)
    desk.counts["late"] += late
    return late


def _begin(desk: Desk, begun: Up | Resume, held: list[Session]) -> None:
    """A session that was not there before: in place of those that the app does not allow beside it.

    Raises:
        Malformed: the user has as many as one may have.
    """
    app, user = begun.app, begun.user
    place = begun.link, begun.epoch, begun.partition, begun.slot
    session = Session(begun.device, *place, begun.platform, begun.background)
    takes_place_of = _REPLACED[desk.policies.of(app).sessions]
    replaced = [other for other in held if takes_place_of(session, other)]
    if len(held) - len(replaced) >= limits.SESSIONS_PER_USER:
        limit = limits.SESSIONS_PER_USER
        refused = Refused("limit_reached", app, limit=limit, slot=begun.slot)
        desk.refuse(session.address, refused)
        raise Malformed("too_many_sessions", f"limit {limit}")
    desk.counts["begun"] += 1
    desk.counts["replaced"] += len(replaced)
    desk.counts["ended"] += len(replaced)
    for other in replaced:
        _tell_ended(desk, other, Ended(other.slot, "replaced"))
        _end(desk, app, user, other)
    kept = [other for other in held if other not in replaced]
    if isinstance(begun, Resume):  # in a slot that was its before, maybe in the background
        was = begun.was.link, begun.was.epoch, begun.was.slot
        session = session._replace(turned_at=desk.now_ms, was=None if session.at(*was) else was)
    desk.sessions.write(app, user, [*kept, _bind(desk, app, user, session)])
    desk.touched[app, user] = None


def _stay(desk: Desk, resume: Resume, held: list[Session], old: Session) -> None:
    """The session goes on where it was; what it missed while it was lost of those whom it watches, it is told anew."""
    app, user = resume.app, resume.user
    new = _turned(desk, app, user, old._replace(lost_until=0), background=resume.background)
    _replace(desk, app, user, held, old, new)
    if old.lost_until:
        watch(desk, app, new, desk.presences.watched(app, user, new))


def _move(desk: Desk, resume: Resume, held: list[Session], old: Session) -> None:
    """The session is elsewhere now, and hears and watches there what it did."""
    app, user = resume.app, resume.user
    _tell_ended(desk, old, Ended(old.slot, "replaced"))
    asked = list(desk.asked.all_of(app, user, old))
    watched = desk.presences.watched(app, user, old)
    _end(desk, app, user, old)
    place = resume.link, resume.epoch, resume.partition, resume.slot
    platform = resume.platform or old.platform
    new = Session(resume.device, *place, platform, resume.background, asked=len(asked), watched=len(watched))
    new = _bind(desk, app, user, new._replace(was=old.was))
    for group, wanted in asked:
        desk.asked.set(app, user, new, group, wanted)
        if new.told:
            desk.grounded(new, [partition_of_group(app, group, desk.partitions)])
        desk.listen(app, user, new, group, wanted, resumed=True)
    desk.presences.set_watched(app, user, new, watched)
    watch(desk, app, new, watched)
    desk.sessions.write(app, user, [new if other is old else other for other in held])
    desk.touched[app, user] = None


def _bind(desk: Desk, app: str, user: str, session: Session) -> Session:
    """Bind a session to the user's groups. Its ground is told first, if it or its slot ever was in the background."""
    groups = list(desk.rolls.groups_of(app, user))
    if session.background:
        session = session._replace(told=True, turned_at=desk.now_ms)
    if session.turned_at:
        desk.grounded(session, {partition_of_group(app, group, desk.partitions): None for group, _ in groups})
    for group, ordinal in groups:
        desk.bind(app, user, session, group, ordinal)
    return session


def _turned(desk: Desk, app: str, user: str, session: Session, *, background: bool) -> Session:
    """The session on this ground: what is told of it at once, and what waits for the end of the window.

    To the foreground is told at once, to the background only if nothing was told for a while: a session that comes and
    goes is in the foreground.
    """
    if session.background != background:
        session = session._replace(background=background)
        desk.touched[app, user] = None
    if session.told == background:
        return session
    if background and session.turned_at:
        open_at = session.turned_at + desk.policies.of(app).ground_window_ms
        if desk.now_ms < open_at:
            desk.due.add(open_at, app, user)
            return session
    session = session._replace(told=background, turned_at=desk.now_ms)
    if not desk.dead(session):
        desk.grounded(session, _partitions(desk, app, user, session))
    return session


def _partitions(desk: Desk, app: str, user: str, session: Session) -> Iterable[int]:
    """The groups partitions with anything that the session hears."""
    groups = [group for group, _ in desk.rolls.groups_of(app, user)]
    groups += [group for group, _ in desk.asked.all_of(app, user, session)]
    return dict.fromkeys([partition_of_group(app, group, desk.partitions) for group in groups])


def _replace(desk: Desk, app: str, user: str, held: list[Session], old: Session, new: Session) -> None:
    """One of the user's sessions is another from here on; the same: nothing."""
    if new != old:
        desk.sessions.write(app, user, [new if session is old else session for session in held])


def _drop(desk: Desk, app: str, user: str, held: list[Session], ended: list[Session]) -> list[Session]:
    """These of the user's sessions end; gives those that are left."""
    desk.counts["ended"] += len(ended)
    for session in ended:
        _end(desk, app, user, session)
    left = [session for session in held if session not in ended]
    desk.sessions.write(app, user, left)
    desk.touched[app, user] = None
    return left


def _end(desk: Desk, app: str, user: str, session: Session) -> None:
    """Nothing is for this session any more. The owners know by themselves what a dead link takes with it."""
    dead = desk.dead(session)
    if not dead:
        for group, ordinal in desk.rolls.groups_of(app, user):
            desk.unbind(app, session, group, ordinal)
        if session.told:
            desk.grounded(session, _partitions(desk, app, user, session), ended=True)
    for group, _ in list(desk.asked.all_of(app, user, session)):
        desk.asked.set(app, user, session, group, ())
        if not dead:
            desk.unlisten(app, session, group, ())
    if watched := desk.presences.watched(app, user, session):
        desk.presences.set_watched(app, user, session, ())
        if not dead:
            unwatch(desk, app, session, watched)


def _tell_ended(desk: Desk, session: Session, ended: Ended) -> None:
    """Tell the session's gateway to close the connection, if there is one."""
    if not session.lost_until:
        desk.replies.add(session.address, encode(ended))
