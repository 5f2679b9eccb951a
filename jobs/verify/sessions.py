"""Each session from its beginning to its end, as `sessions` has it: who asked for what, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from jobs.verify.members import NEVER
from topics.policy import Policy
from topics.sessions import (
    Down,
    Ground,
    Kick,
    Lost,
    Resume,
    SessionRecord,
    Subscribe,
    Unsubscribe,
    Unwatch,
    Up,
    Watch,
)
from topics.subscriptions import MESSAGE_LEVELS, Subscription
from topics.wire import SessionId

Asking = Subscribe | Unsubscribe


@dataclass(slots=True, eq=False)
class Session:
    """One connection of one user: from when to before when, by append time.

    Attributes:
        at: which connection.
        user: (app, user).
        device: on which device.
        platform: of what kind.
        up_ms: since when it is here.
        before: what it was before, where it was resumed.
        left: the connection that it went on from, if that one was not known: its own records come late.
        down_ms: when it ended, or was lost and not resumed yet.
        lost: it may be resumed still: whether it is bound is open.
        why: by what it ended, if by another session, while there was a connection to be told so.
        by: which one took its place, or is where it goes on.
        grounds: when it went to the background (True) or the foreground.
        asked: what it asked to hear, or to hear no more, and when.
        watched: whom it asked to watch (True) or not to, and when.
    """

    at: SessionId
    user: tuple[str, str]
    device: str
    platform: str
    up_ms: int
    before: Session | None = None
    left: SessionId | None = None
    down_ms: int = NEVER
    lost: bool = False
    why: str | None = None
    by: Session | None = None
    grounds: list[tuple[int, bool]] = field(default_factory=list)
    asked: list[tuple[int, Asking]] = field(default_factory=list)
    watched: list[tuple[int, bool, Watch | Unwatch]] = field(default_factory=list)

    @property
    def slot(self) -> int:
        """Its slot."""
        return self.at.slot

    @property
    def background(self) -> bool:
        """Whether it is in the background in the end."""
        return bool(self.grounds) and self.grounds[-1][1]

    def grounds_during(self, from_ms: int, to_ms: int) -> set[bool]:
        """Whether it was in the background, at any time between two moments."""
        before = [on for at_ms, on in self.grounds if at_ms <= from_ms][-1:]
        return {*before, *(on for at_ms, on in self.grounds if from_ms < at_ms <= to_ms)}

    def asked_by(self, at_ms: int, wanted: Subscription) -> int:
        """When it last asked for something by then, if only by going on here: what it hears is no older than that."""
        asked = [asked_ms for asked_ms, asking in self.asked if asked_ms <= at_ms and wanted in asking.subscriptions]
        return max(asked, default=self.up_ms)

    def asks(self, wanted: Subscription) -> bool:
        """Whether it asked for something, here or where it was before, and did not take that back."""
        asking = [
            record
            for _, record in self.asked
            if wanted in record.subscriptions and not (isinstance(record, Subscribe) and _outdone(wanted, record))
        ]
        return bool(asking) and isinstance(asking[-1], Subscribe)

    def alive(self, at_ms: int) -> bool:
        """Whether it is there at a moment."""
        return self.up_ms <= at_ms < self.down_ms

    def end(self, at_ms: int, why: str | None = None) -> None:
        """It ends, if it has not."""
        if self.down_ms == NEVER or self.lost:
            self.why = None if self.lost else why
            self.down_ms = min(self.down_ms, at_ms)
            self.lost = False

    def lose(self, at_ms: int) -> None:
        """Its connection breaks."""
        if self.down_ms == NEVER:
            self.down_ms, self.lost = at_ms, True

    def watches(self) -> set[str]:
        """Whom it watches in the end."""
        users: set[str] = set()
        for _, on, record in self.watched:
            users = users | set(record.users) if on else users - set(record.users)
        return users


@dataclass(slots=True)
class UserSessions:
    """All sessions of one user, in the order of its records.

    Attributes:
        by_at: the newest session of each connection.
        resumes: when a session was resumed, the record, and whether it goes on what was.
        kicks: when sessions were ended by a kick, and how many.
    """

    by_at: dict[SessionId, Session] = field(default_factory=dict)
    resumes: list[tuple[int, Resume, bool | None]] = field(default_factory=list)

    def living(self) -> Iterator[Session]:
        """Those that did not end."""
        return (session for session in self.by_at.values() if session.down_ms == NEVER or session.lost)

    def take(self, at_ms: int, record: SessionRecord, policy: Policy) -> Session | None:
        """The next record; gives the session that it began."""
        if isinstance(record, Up | Resume) and self._late(record):
            return None
        match record:
            case Up():
                return self._begin(at_ms, record, policy)
            case Resume():
                return self._resume(at_ms, record, policy)
            case Kick():
                for session in list(self.living()):
                    if session.at != record.spared and record.device in {None, session.device}:
                        session.end(at_ms, "kicked")
            case Lost() | Down() | Ground() | Subscribe() | Unsubscribe() | Watch() | Unwatch():
                self._change(at_ms, record)
        return None

    def _late(self, record: Up | Resume) -> bool:
        """Whether its client has gone on elsewhere already, before anything was known of this connection."""
        at = SessionId(record.link, record.epoch, record.slot)
        living = list(self.living())
        here = any(session.at == at for session in living) or (isinstance(record, Resume) and record.was == at)
        return not here and any(session.left == at for session in living)

    def _change(self, at_ms: int, record: Lost | Down | Ground | Asking | Watch | Unwatch) -> None:
        session = self.by_at.get(SessionId(record.link, record.epoch, record.slot))
        if session is None:
            return
        match record:
            case Down():
                session.end(at_ms)
            case Lost():
                session.lose(at_ms)
            case Ground():
                session.grounds.append((at_ms, record.background))
            case Subscribe() | Unsubscribe():
                session.asked.append((at_ms, record))
            case Watch() | Unwatch():
                session.watched.append((at_ms, isinstance(record, Watch), record))

    def _begin(self, at_ms: int, record: Up | Resume, policy: Policy) -> Session | None:
        at = SessionId(record.link, record.epoch, record.slot)
        if (known := self.by_at.get(at)) is not None and known.down_ms == NEVER:
            return None
        session = Session(at, (record.app, record.user), record.device, record.platform, at_ms)
        session.grounds.append((at_ms, record.background))
        self._replace(session, policy)
        self.by_at[at] = session
        return session

    def _resume(self, at_ms: int, record: Resume, policy: Policy) -> Session | None:
        was = self.by_at.get(record.was)
        known = was is not None and (was.down_ms == NEVER or (was.lost and at_ms - was.down_ms < policy.resume_ms))
        # Near the end of its time it may go either way; so it may where a link's death is on its way to be known.
        sure = was is None or not was.lost or abs(at_ms - was.down_ms - policy.resume_ms) > _CLOCKS_MS
        self.resumes.append((at_ms, record, known if sure else None))
        if was is None or not known:
            session = self._begin(at_ms, record, policy)
            if session is not None and record.was != session.at:
                session.left = record.was
            return session
        if was.at == SessionId(record.link, record.epoch, record.slot):
            was.down_ms, was.lost = NEVER, False
            was.grounds.append((at_ms, record.background))
            return None
        was.end(at_ms, "replaced")
        session = self._begin(at_ms, record, policy)
        was.by = session or self.by_at[SessionId(record.link, record.epoch, record.slot)]
        if session is not None:
            session.before, session.left = was, was.left
            session.asked, session.watched = list(was.asked), list(was.watched)
        return session

    def _replace(self, new: Session, policy: Policy) -> None:
        for session in list(self.living()):
            if (
                policy.sessions == "one"
                or (policy.sessions == "one_per_device" and session.device == new.device)
                or (policy.sessions == "one_per_platform" and session.platform == new.platform)
            ):
                session.end(new.up_ms, "replaced")
                session.by = new


def _outdone(wanted: Subscription, record: Subscribe) -> bool:
    """Whether the same call names a stronger one of a channel's levels of messages."""
    if wanted.level not in MESSAGE_LEVELS:
        return False
    stronger = MESSAGE_LEVELS[: MESSAGE_LEVELS.index(wanted.level)]
    return any(Subscription(wanted.group, level, wanted.channel) in record.subscriptions for level in stronger)


_CLOCKS_MS = 2_000  # how far the moment of a record's append and that of its taking may be apart
