"""Pulls: what a client lacks, from the pipeline's web views. The token stays here; clients never see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout

from linkcast_gateway.answers import Access, Changes, Channels, ChannelSeen, MemberOf, Members, Notices, RoleHeld, Roles
from linkcast_gateway.errors import PullError
from linkcast_gateway.timeline import Timeline
from linkcast_gateway.wire import Message

#: Messages in one answer, at most.
PULL_MESSAGES: Final = 200

_TIMEOUT: Final = ClientTimeout(total=10)
_AGAIN_S: Final = 0.3
_TRIES: Final = 20
#: What passes by itself: asked again.
_SOON: Final = frozenset({"not_stored_yet", "owner_unknown", "too_slow", "away"})

Answer = TypeVar("Answer")


class Page(msgspec.Struct, frozen=True):
    """What a view answers about a channel.

    Attributes:
        messages: in the order of seq, without a hole.
        head: the channel's newest seq.
        first: the oldest that can be pulled.
        more: there are further ones in the direction asked.
    """

    messages: list[Message]
    head: int = 0
    first: int = 0
    more: bool = False


class Views:
    """The views of the pipeline; any of them answers for every channel.

    Args:
        url: where one is.
        token: what it wants to see; of role `gateway`, for the app of the clients.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._http: ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of connections."""
        if self._http is not None:
            await self._http.close()

    async def get(self, path: str, type_: type[Answer], **params: str | int) -> Answer:
        """What a view answers, as this type; for views that have no call of their own here.

        Args:
            path: of the view, from `/v1` on.
            type_: what the answer is understood as.
            params: of the query.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        if self._http is None:
            self._http = ClientSession(headers=self._headers, timeout=_TIMEOUT)
        try:
            query = {name: str(value) for name, value in params.items()}
            async with self._http.get(f"{self._url}{path}", params=query) as answer:
                body = await answer.read()
                if not answer.ok:
                    raise PullError(_code(body) or f"http_{answer.status}")
        except (ClientError, TimeoutError):
            raise PullError("away") from None
        try:
            return msgspec.json.decode(body, type=type_)
        except msgspec.DecodeError:
            raise PullError("not_understood") from None

    async def page(
        self, app: str, group: str, channel: str, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> Page:
        """One page of a channel: the first messages after a seq, the last ones before one, or the newest.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        params = {"limit": max(1, min(limit, PULL_MESSAGES))}
        if after is not None:
            params["after"] = after
        if before is not None:
            params["before"] = before
        path = f"/v1/apps/{app}/groups/{group}/channels/{channel}/messages"
        return await self.get(path, Page, **params)

    async def messages(
        self, app: str, group: str, channel: str, after: int | None, before: int | None, limit: int
    ) -> list[Message]:
        """The messages of `page`.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        return (await self.page(app, group, channel, after, before, limit)).messages

    # What groups are. A gateway's token sees its whole app: serve a client only what its user may see.

    async def channels(self, app: str, group: str, user: str) -> list[ChannelSeen]:
        """The channels that a user sees, by id, how far each goes, and what the user may do there.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        found: list[ChannelSeen] = []
        params: dict[str, str | int] = {"user": user}
        while True:
            page = await self.get(f"/v1/apps/{app}/groups/{group}/channels", Channels, **params)
            found += page.channels
            if page.next is None:
                return found
            params["cursor"] = page.next

    async def access(self, app: str, group: str, channel: str, user: str) -> Access:
        """Whether a user sees a channel and what it may do there, and why.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        return await self.get(f"/v1/apps/{app}/groups/{group}/channels/{channel}/access", Access, user=user)

    async def members(
        self,
        app: str,
        group: str,
        channel: str | None = None,
        role: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Members:
        """One page of the members of a group, of a channel's listeners, or of who holds a role; or of both of these.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        path = f"/v1/apps/{app}/groups/{group}" + (f"/channels/{channel}" if channel is not None else "")
        given = {"role": role, "cursor": cursor}
        known = {name: value for name, value in given.items() if value is not None}
        return await self.get(f"{path}/members", Members, limit=limit, **known)

    async def member(self, app: str, group: str, user: str) -> MemberOf:
        """One member: its roles and what it may do.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        return await self.get(f"/v1/apps/{app}/groups/{group}/members/{user}", MemberOf)

    async def roles(self, app: str, group: str) -> list[RoleHeld]:
        """The roles of a group, the highest first.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        return (await self.get(f"/v1/apps/{app}/groups/{group}/roles", Roles)).roles

    async def changes(self, app: str, group: str, since: int, limit: int = 100) -> Changes:
        """What changed in a group after a version: one page.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        return await self.get(f"/v1/apps/{app}/groups/{group}/changes", Changes, since=since, limit=limit)

    async def notices(self, app: str, user: str, since: int = 0, limit: int = 100) -> Notices:
        """What a user was told in person after a number: one page, the oldest first.

        Raises:
            PullError: there is no answer, or it is an error.
        """
        return await self.get(f"/v1/apps/{app}/users/{user}/notices", Notices, since=since, limit=limit)

    async def missing(self, timeline: Timeline, app: str, group: str, channel: str = "main") -> AsyncIterator[Message]:
        """All that a timeline lacks, in order, page by page, until it is not behind; what passes is waited for.

        Raises:
            PullError: an error that does not pass, or one that did not.
        """
        left = _TRIES
        while timeline.behind:
            before, code = timeline.last, "not_stored_yet"
            try:
                page = await self.page(app, group, channel, after=before, limit=PULL_MESSAGES)
                for message in timeline.pulled(page.messages):
                    yield message
            except PullError as error:
                if error.code not in _SOON:
                    raise
                code = error.code
            if timeline.last > before:
                left = _TRIES
                continue
            left -= 1
            if not left:
                raise PullError(code)
            await asyncio.sleep(_AGAIN_S)


def _code(body: bytes) -> str | None:
    """The code in an error's JSON, if there is one."""
    try:
        found: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    code = found.get("code") or found.get("error") if isinstance(found, dict) else None
    return code if isinstance(code, str) else None
