"""Every view: its path, who may ask it, what it takes and gives. Routes, the OpenAPI document and tests follow.

A view whose answer comes from one owner's memory names the question to that owner (`ask`); the others have handlers of
their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from streams.web import answers
from streams.web.asks import Ask
from streams.web.call import AFTER, BEFORE, CURSOR, LIMIT, MESSAGES, Call, Number, Param
from streams.web.health import HealthAnswer, ReadyAnswer
from streams.web.of_groups import (
    GroupAsk,
    LinkMapAsk,
    LinkSessionsAsk,
    MembersAsk,
    members_list,
    sessions_list,
)
from streams.web.of_users import LINKS_LIST, GroupsAsk, LinksAsk, NoticesAsk, SessionsAsk, groups_list
from streams.web.problems import Code
from streams.web.tokens import Role
from topics.wire import U32, Id

_CALLERS: Final[frozenset[Role]] = frozenset({"user", "gateway", "admin"})
_OPERATORS: Final[frozenset[Role]] = frozenset({"gateway", "admin"})
_WORKERS: Final[frozenset[Role]] = frozenset({"worker"})

_GROUP: Final = "/v1/apps/{app}/groups/{group}"
_USER: Final = "/v1/apps/{app}/users/{user}"


@dataclass(frozen=True, slots=True)
class View:
    """A view.

    Attributes:
        name: names it, in one word.
        path: where it is, with the names it takes.
        roles: who may ask it; None: anybody, without a token.
        says: what it answers, in one sentence.
        more: what else is to be known of it.
        params: what its query may hold.
        answer: what it answers; None for what is no JSON of ours.
        missing: what is told of an object that does not exist, also to those who may not see it.
        codes: further problems that it may answer.
        ask: the question to the owner that knows the answer; None for a view with a handler of its own.
        method: the HTTP method.
        media: what its answer is.
        also: another status than 200 that an answer may have.
    """

    name: str
    path: str
    roles: frozenset[Role] | None
    says: str
    more: str = ""
    params: tuple[Param, ...] = ()
    answer: type[msgspec.Struct] | None = None
    missing: Code = "not_found"
    codes: tuple[Code, ...] = ()
    ask: Callable[[Call], Ask] | None = None
    method: Literal["GET", "POST"] = "GET"
    media: str = "application/json"
    also: int | None = None

    @property
    def public(self) -> bool:
        """Whether it is there for others than workers."""
        return self.roles != _WORKERS

    @property
    def paged(self) -> bool:
        """Whether it takes a cursor."""
        return CURSOR in self.params


SINCE: Final = Number("since", "the version that you know: only what changed after it is told")
KNOWN: Final = Number("since", "the newest number that you know: only notices after it are told", usual=0)


def _members(call: Call) -> Ask:
    app, group = call.name("app"), call.name("group")
    return MembersAsk(app, group, _ordinal(call, members_list(app, group)), call.limit())


def _link_sessions(call: Call) -> Ask:
    app, group, link = call.name("app"), call.name("group"), call.name("link")
    return LinkSessionsAsk(app, group, link, _ordinal(call, sessions_list(app, group, link)), call.limit())


def _groups(call: Call) -> Ask:
    app, user = call.name("app"), call.name("user")
    return GroupsAsk(app, user, call.limit(), call.place(groups_list(app, user), Id))


def _notices(call: Call) -> Ask:
    return NoticesAsk(call.name("app"), call.name("user"), call.limit(), call.number(KNOWN) or 0)


def _ordinal(call: Call, of: str) -> int:
    return call.place(of, U32) or 0


_VIEWS: Final = (
    View(
        "group",
        _GROUP,
        _CALLERS,
        "What a group is, how many members it has, how far its channels go.",
        answer=answers.GroupAnswer,
        missing="unknown_group",
        ask=lambda call: GroupAsk(call.name("app"), call.name("group")),
    ),
    View(
        "members",
        f"{_GROUP}/members",
        _CALLERS,
        "The members of a group, in the order of joining.",
        params=(LIMIT, CURSOR),
        answer=answers.MembersAnswer,
        missing="unknown_group",
        ask=_members,
    ),
    View(
        "link_map",
        f"{_GROUP}/link-map",
        _CALLERS,
        "On which links a group's sessions are; with `since`, what changed after that version.",
        "Without `since`, or when that version is too long ago, `changes` is absent: read each link's sessions.",
        params=(SINCE,),
        answer=answers.LinkMapAnswer,
        missing="unknown_group",
        ask=lambda call: LinkMapAsk(call.name("app"), call.name("group"), call.number(SINCE)),
    ),
    View(
        "link_sessions",
        f"{_GROUP}/link-map/{{link}}",
        _CALLERS,
        "Who of a group listens on one link, by ordinal.",
        "Changes may come while you page: afterwards, ask the Link map for those since your first page's version.",
        params=(LIMIT, CURSOR),
        answer=answers.LinkSessionsAnswer,
        missing="unknown_group",
        codes=("unknown_link",),
        ask=_link_sessions,
    ),
    View(
        "messages",
        f"{_GROUP}/channels/{{channel}}/messages",
        _CALLERS,
        "Messages of a channel, without a hole.",
        "`after`: the oldest ones above a seq; `before`: the newest ones below it; neither: the newest of all.",
        params=(BEFORE, AFTER, MESSAGES),
        answer=answers.MessagesAnswer,
        missing="unknown_group",
        codes=("not_stored_yet",),
    ),
    View(
        "sessions",
        f"{_USER}/sessions",
        _CALLERS,
        "Where a user is online, on which devices.",
        answer=answers.SessionsAnswer,
        missing="unknown_user",
        ask=lambda call: SessionsAsk(call.name("app"), call.name("user")),
    ),
    View(
        "groups",
        f"{_USER}/groups",
        _CALLERS,
        "The groups that a user is a member of, by name.",
        params=(LIMIT, CURSOR),
        answer=answers.GroupsAnswer,
        missing="unknown_user",
        ask=_groups,
    ),
    View(
        "notices",
        f"{_USER}/notices",
        _CALLERS,
        "What a user was told in person, while online or not: invites, kicks, roles given, by number.",
        "With `since`, what came after that number. A user who was never told anything has none.",
        params=(KNOWN, LIMIT),
        answer=answers.NoticesAnswer,
        missing="unknown_user",
        ask=_notices,
    ),
    View(
        "links",
        "/v1/links",
        _OPERATORS,
        "The living links of the cluster, their load and health, by name.",
        "Links belong to the cluster, not to an app.",
        params=(LIMIT, CURSOR),
        answer=answers.LinksAnswer,
        ask=lambda call: LinksAsk(call.limit(), call.place(LINKS_LIST, Id)),
    ),
    View("ask", "/internal/v1/ask", _WORKERS, "What the owner of a partition knows.", method="POST"),
    View("openapi", "/openapi.json", None, "This document."),
    View("health", "/health", None, "What this worker does: 200 for as long as it can be asked.", answer=HealthAnswer),
    View(
        "ready",
        "/ready",
        None,
        "200 when every lane that was assigned to this worker is open, else 503.",
        answer=ReadyAnswer,
        also=503,
    ),
    View("metrics", "/metrics", None, "What this worker counted, for Prometheus.", media="text/plain"),
)

#: Every view, by name.
VIEWS: Final[dict[str, View]] = {view.name: view for view in _VIEWS}
