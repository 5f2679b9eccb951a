"""What a user's owner tells: to the user, and to the app's gateways and admins. And what the links' owner tells."""

from __future__ import annotations

from itertools import islice

from streams.links.core import LinksCore
from streams.users.core import UsersCore
from streams.web.answers import (
    GroupsAnswer,
    LinksAnswer,
    LinkState,
    NoticesAnswer,
    PresenceAnswer,
    SessionAnswer,
    SessionGroup,
    SessionsAnswer,
    UserGroup,
    UserSession,
)
from streams.web.asks import OfLinks, OfUser
from streams.web.cursors import cursor_for
from streams.web.problems import ProblemError
from streams.web.tokens import Claims
from tables.asked import ordered
from tables.presence import Known, state_of
from tables.sessions import Session
from topics.wire import U32, Count, Id

#: Names the list of the cluster's links.
LINKS_LIST = "links"


class SessionsAsk(OfUser, frozen=True, tag="sessions"):
    """Where is the user online?"""

    def answer(self, core: UsersCore, asker: Claims) -> SessionsAnswer:
        """See `Ask`."""
        self.admit(asker)
        return SessionsAnswer([_session(one) for one in core.desk.sessions.held(self.app, self.user)])


class SessionAsk(OfUser, frozen=True, tag="session"):
    """What does one session of the user hear because it asked to, of groups after this one?"""

    link: Id
    epoch: Count
    slot: U32
    limit: int
    after: Id | None = None

    def answer(self, core: UsersCore, asker: Claims) -> SessionAnswer:
        """See `Ask`."""
        self.admit(asker)
        desk = core.desk
        held = desk.sessions.held(self.app, self.user)
        session = next((one for one in held if one.at(self.link, self.epoch, self.slot)), None)
        if session is None:
            raise ProblemError("unknown_session")
        asked = desk.asked.all_of(self.app, self.user, session)
        found = [SessionGroup(group, list(ordered(wanted))) for group, wanted in asked if group > (self.after or "")]
        next_ = cursor_for(self.name, found[self.limit - 1].group) if len(found) > self.limit else None
        watched = desk.presences.watched(self.app, self.user, session)
        return SessionAnswer(_session(session), found[: self.limit], watched, next_)

    @property
    def name(self) -> str:
        """Names the list of the groups that the session subscribed to."""
        return f"session {self.app} {self.user} {self.link} {self.epoch} {self.slot}"


class PresenceAsk(OfUser, frozen=True, tag="presence"):
    """Is the user online?"""

    def answer(self, core: UsersCore, asker: Claims) -> PresenceAnswer:
        """See `Ask`."""
        self.admit(asker)
        presences = core.desk.presences
        known = presences.of(self.app, self.user) or Known()
        state = state_of(core.desk.sessions.held(self.app, self.user))
        return PresenceAnswer(state, known.status, known.version, presences.living(self.app, self.user))


class GroupsAsk(OfUser, frozen=True, tag="groups"):
    """Which groups is the user in, after this one?"""

    limit: int
    after: Id | None = None

    def answer(self, core: UsersCore, asker: Claims) -> GroupsAnswer:
        """See `Ask`."""
        self.admit(asker)
        groups = core.desk.rolls.groups_of(self.app, self.user, self.after or "")
        found = [UserGroup(*group) for group in islice(groups, self.limit + 1)]
        next_ = None
        if len(found) > self.limit:
            next_ = cursor_for(groups_list(self.app, self.user), found[self.limit - 1].group)
        return GroupsAnswer(found[: self.limit], next_)


class NoticesAsk(OfUser, frozen=True, tag="notices"):
    """What was the user told in person, after this number?"""

    limit: int
    since: Count = 0

    def answer(self, core: UsersCore, asker: Claims) -> NoticesAnswer:
        """See `Ask`."""
        self.admit(asker)
        return NoticesAnswer(*core.desk.inboxes.since(self.app, self.user, self.since, self.limit))


class LinksAsk(OfLinks, frozen=True, tag="links"):
    """Which links live, after this one?"""

    limit: int
    after: Id | None = None

    def answer(self, core: LinksCore, asker: Claims) -> LinksAnswer:
        """See `Ask`."""
        self.admit(asker)
        links = core.links
        names = sorted(name for name in links.living if name > (self.after or ""))
        found = [
            LinkState(
                link.link, link.epoch, link.partition, link.address, link.region, link.sessions, links.silent_ms(link)
            )
            for link in (links.living[name] for name in names[: self.limit])
        ]
        next_ = cursor_for(LINKS_LIST, names[self.limit - 1]) if len(names) > self.limit else None
        return LinksAnswer(len(links.living), links.most, found, next_)


def groups_list(app: str, user: str) -> str:
    """Names the list of a user's groups."""
    return f"groups {app} {user}"


def _session(session: Session) -> UserSession:
    return UserSession(*session[:5], session.platform, session.background, session.lost_until)
