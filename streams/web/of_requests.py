"""Who wants in, who is kept out, and how far a large change has come."""

from __future__ import annotations

from streams.groups.core import GroupsCore
from streams.web.asks import OfGroup
from streams.web.cursors import cursor_for
from streams.web.problems import ProblemError
from streams.web.relation_answers import (
    Banned,
    BansAnswer,
    ChangeSetAnswer,
    CodesAnswer,
    OpenRequest,
    RequestsAnswer,
)
from streams.web.seats import Seat, found, seat_of, state_of
from streams.web.tokens import Claims
from tables.requests import Named, RequestKind
from topics.entities import Permission
from topics.wire import Id

#: Who sees all of a kind; others see their own.
_SEES_ALL: dict[RequestKind, Permission] = {"invite": "manage_members", "application": "approve"}


class BansAsk(OfGroup, frozen=True, tag="bans"):
    """Who is kept out, after this user?"""

    limit: int
    after: Id | None = None

    @property
    def name(self) -> str:
        """Names the list."""
        return f"bans {self.app} {self.group}"

    def answer(self, core: GroupsCore, asker: Claims) -> BansAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        seat.need("ban")
        bans = seat.group.bans.page(self.limit + 1, seat.now_ms, self.after or "")
        shown = [Banned(user, until) for user, until in bans[: self.limit]]
        next_ = cursor_for(self.name, shown[-1].user) if len(bans) > self.limit else None
        return BansAnswer(seat.group.version, seat.state, shown, next_)


class RequestsAsk(OfGroup, frozen=True, tag="requests"):
    """Which invites or applications are open, after the one of this user?

    Holders of a permission see all, others what they asked for or are asked; also who is no member yet.
    """

    request_kind: RequestKind
    limit: int
    after: Id | None = None

    @property
    def name(self) -> str:
        """Names the list."""
        return f"{self.request_kind}s {self.app} {self.group}"

    def answer(self, core: GroupsCore, asker: Claims) -> RequestsAnswer:
        """See `Ask`."""
        group = found(core, self, asker)
        own = group.requests.of_user(self.request_kind, asker.sub) if group.alive else None
        now_ms = core.desk.now_ms
        if asker.caller == "user" and own is not None and own.request.open(now_ms):
            seat = Seat(group, group.members.ordinal_of(asker.sub), state_of(core, group), now_ms)
        else:
            seat, own = seat_of(core, self, asker), None
        if asker.caller == "user" and (seat.ordinal is None or not seat.may(_SEES_ALL[self.request_kind])):
            return RequestsAnswer(group.version, seat.state, self._of(seat, asker.sub, own))
        page = group.requests.page(self.request_kind, self.limit + 1, now_ms, self.after or "")
        shown = [_open(one) for one in page[: self.limit]]
        next_ = cursor_for(self.name, shown[-1].user) if len(page) > self.limit else None
        return RequestsAnswer(group.version, seat.state, shown, next_)

    def _of(self, seat: Seat, user: str, own: Named | None) -> list[OpenRequest]:
        """Those of this user: that it may answer, or that it sent."""
        page = seat.group.requests.page(self.request_kind, self.limit, seat.now_ms) if seat.ordinal is not None else []
        sent = [one for one in page if one.request.by == user and one != own]
        return [_open(one) for one in ([own] if own is not None else []) + sent]


class CodesAsk(OfGroup, frozen=True, tag="codes"):
    """Which invite codes are there?"""

    def answer(self, core: GroupsCore, asker: Claims) -> CodesAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        seat.need("manage_group")
        codes = [code for code in seat.group.codes.all() if code.expires_at > seat.now_ms]
        return CodesAnswer(seat.group.version, seat.state, codes)


class ChangeSetAsk(OfGroup, frozen=True, tag="change_set"):
    """How far has a change come?"""

    change_set: Id

    def answer(self, core: GroupsCore, asker: Claims) -> ChangeSetAnswer:
        """See `Ask`."""
        seat = seat_of(core, self, asker)
        if (progress := seat.group.change_sets.progress(self.change_set)) is None:
            raise ProblemError("unknown_change_set")
        return ChangeSetAnswer(
            seat.group.version,
            seat.state,
            self.change_set,
            progress.parts,
            progress.came,
            progress.changed,
            progress.finished,
            progress.before,
            progress.version,
            progress.begun_at,
            progress.last_at,
        )


def _open(one: Named) -> OpenRequest:
    request = one.request
    return OpenRequest(one.id, request.user, request.at, request.expires_at, request.by, request.text)
