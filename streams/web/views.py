"""Every view: its path, who may ask it, what it takes and gives. Routes, the OpenAPI document and tests follow.

A view whose answer comes from one owner's memory names the question to that owner (`ask`); the others have handlers of
their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from streams.web import answers, relation_answers
from streams.web.asks import Ask
from streams.web.call import AFTER, BEFORE, CURSOR, LIMIT, MESSAGES, Call, Choice, Name, Number, Param
from streams.web.changes import PART as CHANGES_PART
from streams.web.changes import SINCE as CHANGES_SINCE
from streams.web.health import HealthAnswer, ReadyAnswer
from streams.web.of_groups import GroupAsk, LinkMapAsk, LinkSessionsAsk, sessions_list
from streams.web.of_listening import SubscribersAsk
from streams.web.of_members import ChannelMembersAsk, MemberAsk, MembersAsk
from streams.web.of_requests import BansAsk, ChangeSetAsk, CodesAsk, RequestsAsk
from streams.web.of_structure import (
    AccessAsk,
    CategoriesAsk,
    ChannelsAsk,
    ListAsk,
    OverridesAsk,
    PlaceKind,
    RolesAsk,
)
from streams.web.of_users import (
    LINKS_LIST,
    GroupsAsk,
    LinksAsk,
    NoticesAsk,
    PresenceAsk,
    SessionAsk,
    SessionsAsk,
    groups_list,
)
from streams.web.problems import Code, ProblemError
from streams.web.tokens import Role
from tables.requests import RequestKind
from topics import limits
from topics.wire import U32, Id

_CALLERS: Final[frozenset[Role]] = frozenset({"user", "gateway", "admin"})
_OPERATORS: Final[frozenset[Role]] = frozenset({"gateway", "admin"})
_WORKERS: Final[frozenset[Role]] = frozenset({"worker"})

#: A number of so many digits is none that is ever given.
_DIGITS: Final = 19
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
CHANGED_SINCE: Final = Number(
    "changed_since_ms",
    f"`at_ms` of an answer that you know: what changed from {limits.WATERMARK_MS} ms before it on is told, so some of "
    "it twice; not with `since`, which is exact",
)
KNOWN: Final = Number("since", "the newest number that you know: only notices after it are told", usual=0)


ORDER: Final = Choice(
    "order", "`join`: in the order of joining; `weight`: the heaviest first", ("join", "weight"), "join"
)
PART: Final = Choice("part", "`all` tells profiles, and since when", ("hot", "all"), "hot")
ROLE: Final = Name("role", "only members who hold this role")
USER: Final = Name("user", "about whom; the asker where it is not given")
LIST: Final = Choice("list", "which list", ("black", "white"), "white")
#: A channel's lists and so on are a category's as well.
_CHANNEL: Final = f"{_GROUP}/channels/{{channel}}"
_CATEGORY: Final = f"{_GROUP}/categories/{{category}}"


def _members(call: Call, role: str | None = None) -> Ask:
    role = role or call.id(ROLE)
    ask = MembersAsk(*_group(call), call.limit(), 0, call.choice(ORDER), call.choice(PART), role)
    return msgspec.structs.replace(ask, start=_start(call, ask))


def _channel_members(call: Call) -> Ask:
    ask = ChannelMembersAsk(
        *_group(call),
        call.limit(),
        0,
        call.choice(ORDER),
        call.choice(PART),
        call.id(ROLE),
        channel=call.name("channel"),
    )
    return msgspec.structs.replace(ask, start=_start(call, ask))


def _start(call: Call, ask: MembersAsk | ChannelMembersAsk) -> int | str:
    if ask.order == "join":
        return call.place(ask.name, U32) or 0
    return call.place(ask.name, str) or 0


def _channels(call: Call) -> Ask:
    ask = ChannelsAsk(*_group(call), call.number(CHANNELS) or limits.PAGE_ENTRIES, user=call.id(USER))
    return msgspec.structs.replace(ask, after=call.place(ask.name, Id))


def _list(kind: PlaceKind) -> Callable[[Call], Ask]:
    def ask(call: Call) -> Ask:
        made = ListAsk(*_group(call), kind, call.name(kind), call.choice(LIST), call.limit())
        return msgspec.structs.replace(made, start=_ordinal(call, made.name))

    return ask


def _bans(call: Call) -> Ask:
    ask = BansAsk(*_group(call), call.limit())
    return msgspec.structs.replace(ask, after=call.place(ask.name, Id))


def _requests(kind: RequestKind) -> Callable[[Call], Ask]:
    def ask(call: Call) -> Ask:
        made = RequestsAsk(*_group(call), kind, call.limit())
        return msgspec.structs.replace(made, after=call.place(made.name, Id))

    return ask


def _group(call: Call) -> tuple[str, str]:
    return call.name("app"), call.name("group")


CHANNELS: Final = Number("limit", "how many at most", least=1, most=limits.PAGE_ENTRIES, usual=limits.PAGE_ENTRIES)


def _link_map(call: Call) -> Ask:
    since, changed_since_ms = call.number(SINCE), call.number(CHANGED_SINCE)
    if since is not None and changed_since_ms is not None:
        raise ProblemError("bad_request", "give `since` or `changed_since_ms`, not both")
    return LinkMapAsk(*_group(call), since, changed_since_ms)


def _link_sessions(call: Call) -> Ask:
    app, group, link = call.name("app"), call.name("group"), call.name("link")
    return LinkSessionsAsk(app, group, link, _ordinal(call, sessions_list(app, group, link)), call.limit())


def _groups(call: Call) -> Ask:
    app, user = call.name("app"), call.name("user")
    return GroupsAsk(app, user, call.limit(), call.place(groups_list(app, user), Id))


def _session(call: Call) -> Ask:
    epoch, slot = (_digits(call.name(of)) for of in ("epoch", "slot"))
    ask = SessionAsk(call.name("app"), call.name("user"), call.name("link"), epoch, slot, call.limit())
    return msgspec.structs.replace(ask, after=call.place(ask.name, Id))


def _digits(name: str) -> int:
    """A number in a path; what is none names no session."""
    if not (name.isascii() and name.isdigit() and len(name) < _DIGITS):
        raise ProblemError("unknown_session")
    return int(name)


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
        "The members of a group, in the order of joining or by weight.",
        "Two parts: who they are, and, with `part=all`, what they are in the group.",
        params=(ROLE, ORDER, PART, LIMIT, CURSOR),
        answer=relation_answers.MembersAnswer,
        missing="unknown_group",
        codes=("unknown_role", "too_many_to_sort"),
        ask=_members,
    ),
    View(
        "member",
        f"{_GROUP}/members/{{member}}",
        _CALLERS,
        "One member: its roles, what it may do, its profile.",
        answer=relation_answers.MemberAnswer,
        missing="unknown_group",
        codes=("unknown_member",),
        ask=lambda call: MemberAsk(*_group(call), call.name("member")),
    ),
    View(
        "roles",
        f"{_GROUP}/roles",
        _CALLERS,
        "The roles of a group, the highest first, and how many hold each.",
        answer=relation_answers.RolesAnswer,
        missing="unknown_group",
        ask=lambda call: RolesAsk(*_group(call)),
    ),
    View(
        "role_members",
        f"{_GROUP}/roles/{{role}}/members",
        _CALLERS,
        "The members who hold a role.",
        params=(ORDER, PART, LIMIT, CURSOR),
        answer=relation_answers.MembersAnswer,
        missing="unknown_group",
        codes=("unknown_role", "too_many_to_sort"),
        ask=lambda call: _members(call, call.name("role")),
    ),
    View(
        "channels",
        f"{_GROUP}/channels",
        _CALLERS,
        "The channels that a user sees, by id, how far each goes, and what the user may do there.",
        "A user asks about itself. A gateway or admin names a user, or asks for all there are.",
        params=(USER, CHANNELS, CURSOR),
        answer=relation_answers.ChannelsAnswer,
        missing="unknown_group",
        ask=_channels,
    ),
    View(
        "categories",
        f"{_GROUP}/categories",
        _CALLERS,
        "The categories of a group: for a user, those that it sees, or sees a channel in.",
        answer=relation_answers.CategoriesAnswer,
        missing="unknown_group",
        ask=lambda call: CategoriesAsk(*_group(call)),
    ),
    View(
        "channel_members",
        f"{_CHANNEL}/members",
        _CALLERS,
        "The members who see a channel.",
        params=(ROLE, ORDER, PART, LIMIT, CURSOR),
        answer=relation_answers.MembersAnswer,
        missing="unknown_group",
        codes=("unknown_channel", "unknown_role", "too_many_to_sort"),
        ask=_channel_members,
    ),
    View(
        "subscribers",
        f"{_CHANNEL}/subscribers",
        _CALLERS,
        "How many sessions subscribed to a channel, by level.",
        answer=answers.SubscribersAnswer,
        missing="unknown_group",
        codes=("unknown_channel",),
        ask=lambda call: SubscribersAsk(*_group(call), call.name("channel")),
    ),
    View(
        "access",
        f"{_CHANNEL}/access",
        _CALLERS,
        "Whether a user sees a channel and what it may do there, and why.",
        "Of others than the asker it is told to holders of `manage_channels`.",
        params=(USER,),
        answer=relation_answers.AccessAnswer,
        missing="unknown_group",
        codes=("unknown_channel", "not_permitted"),
        ask=lambda call: AccessAsk(*_group(call), call.name("channel"), call.id(USER)),
    ),
    View(
        "channel_list",
        f"{_CHANNEL}/list",
        _CALLERS,
        "A white or black list of a channel: its roles and users.",
        "For holders of `manage_channels`.",
        params=(LIST, LIMIT, CURSOR),
        answer=relation_answers.ListAnswer,
        missing="unknown_group",
        codes=("unknown_channel", "not_permitted"),
        ask=_list("channel"),
    ),
    View(
        "category_list",
        f"{_CATEGORY}/list",
        _CALLERS,
        "A white or black list of a category: its roles and users.",
        "For holders of `manage_channels`.",
        params=(LIST, LIMIT, CURSOR),
        answer=relation_answers.ListAnswer,
        missing="unknown_group",
        codes=("unknown_category", "not_permitted"),
        ask=_list("category"),
    ),
    View(
        "channel_overrides",
        f"{_CHANNEL}/overrides",
        _CALLERS,
        "What roles and members are allowed and denied in a channel.",
        "For holders of `manage_channels`.",
        answer=relation_answers.OverridesAnswer,
        missing="unknown_group",
        codes=("unknown_channel", "not_permitted"),
        ask=lambda call: OverridesAsk(*_group(call), "channel", call.name("channel")),
    ),
    View(
        "category_overrides",
        f"{_CATEGORY}/overrides",
        _CALLERS,
        "What roles and members are allowed and denied in a category.",
        "For holders of `manage_channels`.",
        answer=relation_answers.OverridesAnswer,
        missing="unknown_group",
        codes=("unknown_category", "not_permitted"),
        ask=lambda call: OverridesAsk(*_group(call), "category", call.name("category")),
    ),
    View(
        "bans",
        f"{_GROUP}/bans",
        _CALLERS,
        "The users who are kept out of a group, by name.",
        "For holders of `ban`.",
        params=(LIMIT, CURSOR),
        answer=relation_answers.BansAnswer,
        missing="unknown_group",
        codes=("not_permitted",),
        ask=_bans,
    ),
    View(
        "invites",
        f"{_GROUP}/invites",
        _CALLERS,
        "Open invites, by the users' names: holders of `manage_members` see all, others those that they got or sent.",
        params=(LIMIT, CURSOR),
        answer=relation_answers.RequestsAnswer,
        missing="unknown_group",
        ask=_requests("invite"),
    ),
    View(
        "applications",
        f"{_GROUP}/applications",
        _CALLERS,
        "Open applications, by the users' names: holders of `approve` see all, others their own.",
        params=(LIMIT, CURSOR),
        answer=relation_answers.RequestsAnswer,
        missing="unknown_group",
        ask=_requests("application"),
    ),
    View(
        "codes",
        f"{_GROUP}/codes",
        _CALLERS,
        "The invite codes of a group.",
        "For holders of `manage_group`.",
        answer=relation_answers.CodesAnswer,
        missing="unknown_group",
        codes=("not_permitted",),
        ask=lambda call: CodesAsk(*_group(call)),
    ),
    View(
        "change_set",
        f"{_GROUP}/change-sets/{{change_set}}",
        _CALLERS,
        "How far a change that comes in parts has come.",
        answer=relation_answers.ChangeSetAnswer,
        missing="unknown_group",
        codes=("unknown_change_set",),
        ask=lambda call: ChangeSetAsk(*_group(call), call.name("change_set")),
    ),
    View(
        "changes",
        f"{_GROUP}/changes",
        _OPERATORS,
        "What changed in a group after a version, in order: for those who keep a copy.",
        "Where `snapshot` is true, too much did: read the group anew. Also of a group that was deleted.",
        params=(CHANGES_SINCE, LIMIT, CHANGES_PART),
        answer=relation_answers.ChangesAnswer,
        missing="unknown_group",
        codes=("not_stored_yet",),
    ),
    View(
        "link_map",
        f"{_GROUP}/link-map",
        _CALLERS,
        "On which links a group's sessions are; with `since`, what changed after that version.",
        "It shows members' sessions, whatever they hear of the group; visitors' are not in it. Without `since` or "
        "`changed_since_ms`, or when that is too long ago, `changes` is absent: read each link's sessions. Equal "
        "questions of one asker that come while one is under way share its answer.",
        params=(SINCE, CHANGED_SINCE),
        answer=answers.LinkMapAnswer,
        missing="unknown_group",
        ask=_link_map,
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
        "session",
        f"{_USER}/sessions/{{link}}/{{epoch}}/{{slot}}",
        _CALLERS,
        "What one session of a user subscribed to, by group, and whom it watches.",
        params=(LIMIT, CURSOR),
        answer=answers.SessionAnswer,
        missing="unknown_user",
        codes=("unknown_session",),
        ask=_session,
    ),
    View(
        "presence",
        f"{_USER}/presence",
        _CALLERS,
        "Whether a user is online, and its custom status.",
        "Of others than themselves users hear it by watching them.",
        answer=answers.PresenceAnswer,
        missing="unknown_user",
        ask=lambda call: PresenceAsk(call.name("app"), call.name("user")),
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
