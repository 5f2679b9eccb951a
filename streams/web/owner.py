"""The owner of a partition is asked, wherever it is: this worker, or another one.

Each worker answers for the partitions it owns, and passes on what others own. Partitions that change hands are waited
for, a while; then the answer is 503 `owner_unknown`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from streams.batches.errors import NotOwnerError, UnavailableError
from streams.web.asks import REFUSALS, Ask, Kind
from streams.web.flights import Flights
from streams.web.guard import CLAIMS
from streams.web.of_changes import NewestAsk
from streams.web.of_groups import GroupAsk, LinkMapAsk, LinkSessionsAsk, RecentAnswer, RecentAsk
from streams.web.of_listening import SubscribersAsk
from streams.web.of_members import ChannelMembersAsk, MemberAsk, MembersAsk
from streams.web.of_requests import BansAsk, ChangeSetAsk, CodesAsk, RequestsAsk
from streams.web.of_structure import AccessAsk, CategoriesAsk, ChannelsAsk, ListAsk, OverridesAsk, RolesAsk
from streams.web.of_users import GroupsAsk, LinksAsk, NoticesAsk, PresenceAsk, SessionAsk, SessionsAsk
from streams.web.owners import Directory
from streams.web.pages import ChannelId, Window
from streams.web.problems import ProblemError
from streams.web.reader import Recent
from streams.web.tokens import Claims, Tokens
from streams.web.views import VIEWS
from topics.codec import encode

log = logging.getLogger(__name__)
T = TypeVar("T")

_OWNER_S: Final = 5.0  # how long an owner is looked for
_ONE_S: Final = 2.0  # how long one is waited for
_AGAIN_S: Final = 0.1

#: Every question there is.
Question = (
    GroupAsk
    | LinkMapAsk
    | LinkSessionsAsk
    | RecentAsk
    | MembersAsk
    | ChannelMembersAsk
    | SubscribersAsk
    | MemberAsk
    | ChannelsAsk
    | CategoriesAsk
    | RolesAsk
    | ListAsk
    | OverridesAsk
    | AccessAsk
    | BansAsk
    | RequestsAsk
    | CodesAsk
    | ChangeSetAsk
    | NewestAsk
    | SessionsAsk
    | SessionAsk
    | PresenceAsk
    | GroupsAsk
    | NoticesAsk
    | LinksAsk
)  # msgspec decodes a union of structs by their tags

_decode_question: Final = msgspec.json.Decoder(Question).decode
_decode_recent: Final = msgspec.json.Decoder(RecentAnswer).decode


class ReadLane(Protocol):
    """This worker's lanes: an answer from a partition's core once all that it rests on is committed."""

    def __call__(self, kind: Kind, partition: int, fn: Callable[[Any], T]) -> Awaitable[T]:
        """Raises UnavailableError or NotOwnerError where this worker does not serve the partition."""


class _Told(msgspec.Struct):
    code: str
    detail: str = ""


class Here:
    """This worker's memory, for itself and for other workers."""

    def __init__(self, partitions: int, read: ReadLane) -> None:
        self._partitions = partitions
        self._read = read

    async def ask(self, ask: Ask, asker: Claims) -> bytes:
        """The encoded answer.

        Raises:
            ProblemError: the answer's own; owner_unknown: this worker is not the owner.
        """
        try:
            answer = await self._read(ask.kind, ask.partition(self._partitions), lambda core: ask.answer(core, asker))
        except (UnavailableError, NotOwnerError):
            raise ProblemError("owner_unknown") from None
        return encode(answer)

    async def serve(self, request: web.Request) -> web.Response:
        """What another worker asks."""
        try:
            ask = _decode_question(await request.read())
        except msgspec.DecodeError:
            raise ProblemError("bad_request", "no question that this worker knows") from None
        return web.Response(body=await self.ask(ask, request[CLAIMS]), content_type="application/json")


class OwnerClient:
    """Finds a partition's owner and asks it, for a while if partitions are changing hands."""

    def __init__(
        self,
        partitions: int,
        directory: Directory,
        here: Here,
        url: Callable[[], str],
        tokens: Tokens,
        http: aiohttp.ClientSession,
    ) -> None:
        self._partitions = partitions
        self._directory = directory
        self._here = here
        self._url = url
        self._tokens = tokens
        self._http = http
        self._flights = Flights()
        self._refused_by: set[str] = set()  # said once each

    async def ask(self, ask: Ask, asker: Claims) -> bytes:
        """The owner's encoded answer.

        Raises:
            ProblemError: the answer's own; owner_unknown.
        """
        answer = self._find(ask, asker)
        return await (self._flights.share((ask, asker), answer) if ask.shared else answer)

    async def recent(self, channel: ChannelId, window: Window, asker: Claims) -> Recent:
        """See `reader.Owners`."""
        ask = RecentAsk(channel.app, channel.group, channel.channel, window)
        answer = _decode_recent(await self.ask(ask, asker))
        return Recent(answer.head, {seq: bytes(message) for seq, message in answer.messages}, answer.floor)

    async def _find(self, ask: Ask, asker: Claims) -> bytes:
        partition = ask.partition(self._partitions)
        loop = asyncio.get_running_loop()
        until = loop.time() + _OWNER_S
        while True:
            try:
                return await self._ask(self._directory.url(ask.kind, partition), ask, asker)
            except ProblemError as problem:
                if problem.code != "owner_unknown" or loop.time() > until:
                    raise
            await asyncio.sleep(_AGAIN_S)

    async def _ask(self, url: str | None, ask: Ask, asker: Claims) -> bytes:
        if url == self._url():
            return await self._here.ask(ask, asker)
        if url is None:
            raise ProblemError("owner_unknown")
        try:
            async with self._http.post(
                URL(url) / VIEWS["ask"].path.lstrip("/"),
                data=encode(ask),
                headers={"Authorization": f"Bearer {self._tokens.for_worker(asker)}"},
                timeout=aiohttp.ClientTimeout(total=_ONE_S),
                allow_redirects=False,
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError):
            raise ProblemError("owner_unknown") from None
        if response.status == web.HTTPOk.status_code:
            self._refused_by.discard(url)
            return body
        if response.status == web.HTTPUnauthorized.status_code and url not in self._refused_by:
            self._refused_by.add(url)
            log.warning("the worker at %s takes no token of this one: token_keys differ, or clocks", url)
        raise _told(body)


def _told(body: bytes) -> ProblemError:
    """The owner's refusal, if it is one."""
    try:
        told = msgspec.json.decode(body, type=_Told)
    except msgspec.DecodeError:
        return ProblemError("owner_unknown")
    return ProblemError(told.code, told.detail) if told.code in REFUSALS else ProblemError("owner_unknown")
