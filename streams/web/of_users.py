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
    SessionsAnswer,
    UserGroup,
    UserSession,
)
from streams.web.asks import OfLinks, OfUser
from streams.web.cursors import cursor_for
from streams.web.tokens import Claims
from topics.wire import Count, Id

#: Names the list of the cluster's links.
LINKS_LIST = "links"


class SessionsAsk(OfUser, frozen=True, tag="sessions"):
    """Where is the user online?"""

    def answer(self, core: UsersCore, asker: Claims) -> SessionsAnswer:
        """See `Ask`."""
        self.admit(asker)
        return SessionsAnswer([UserSession(*session) for session in core.desk.sessions.of(self.app, self.user)])


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
