"""A channel's head and newest messages from its owner's memory: read here, or asked of the worker that owns it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from streams.batches.errors import NotOwnerError, UnavailableError
from streams.groups.core import GroupsCore
from streams.web.guard import CLAIMS
from streams.web.owners import Directory
from streams.web.pages import ChannelId, Window
from streams.web.problems import Code, ProblemError
from streams.web.query import channel_of, window_of
from streams.web.reader import Recent
from streams.web.tokens import Claims, Tokens
from tables import keys
from topics.codec import encode
from topics.keys import key_of, partition_of

T = TypeVar("T")

PATH: Final = "/internal/v1/apps/{app}/groups/{group}/channels/{channel}/recent"
_OWNER_S: Final = 3.0  # how long an owner is looked for
_ONE_S: Final = 1.0  # how long one is waited for
_AGAIN_S: Final = 0.1
_OURS: Final[frozenset[Code]] = frozenset({"unknown_group", "not_a_member"})


class ReadGroups(Protocol):
    """This worker's groups lanes: an answer from a partition's core once all that it rests on is committed."""

    def __call__(self, partition: int, fn: Callable[[GroupsCore], T]) -> Awaitable[T]:
        """Raises UnavailableError or NotOwnerError where this worker does not serve the partition."""


class _Answer(msgspec.Struct):
    head: int
    messages: list[tuple[int, msgspec.Raw]]
    floor: int = 0


class _Problem(msgspec.Struct):
    code: str


def recent_of(core: GroupsCore, channel: ChannelId, window: Window, asker: Claims) -> Recent:
    """The head and what of the window is in memory. Whoever may not see the channel stops here: no page without it.

    Raises:
        ProblemError: unknown_group, not_a_member.
    """
    desk = core.desk
    if desk.rows.get(keys.GROUP + key_of(channel.app, channel.group)) is None:
        raise ProblemError("unknown_group")  # and nothing is loaded for a name that somebody made up
    group = desk.groups.touch(channel.app, channel.group)
    if not group.alive or channel.channel != group.channel.name:
        raise ProblemError("unknown_group")
    if asker.caller == "user" and group.members.ordinal_of(asker.sub) is None:
        raise ProblemError("not_a_member")
    head, floor = group.channel.seq, group.channel.floor
    span = window.span(head, floor)
    return Recent(head, {seq: encoded for seq, encoded in group.channel.recent if seq in span}, floor)


class RecentView:
    """Answers from this worker's memory, for itself and for other workers."""

    def __init__(self, partitions: int, read: ReadGroups | None) -> None:
        self._partitions = partitions
        self._read = read

    async def recent(self, channel: ChannelId, window: Window, asker: Claims) -> Recent:
        """What memory has.

        Raises:
            ProblemError: unknown_group, not_a_member; owner_unknown: this worker is not the owner.
        """
        if self._read is None:
            raise ProblemError("owner_unknown")
        partition = partition_of(key_of(channel.app, channel.group), self._partitions)
        try:
            return await self._read(partition, lambda core: recent_of(core, channel, window, asker))
        except (UnavailableError, NotOwnerError):
            raise ProblemError("owner_unknown") from None

    async def serve(self, request: web.Request) -> web.Response:
        """GET PATH, for workers."""
        recent = await self.recent(channel_of(request), window_of(request), request[CLAIMS])
        messages = [(seq, msgspec.Raw(encoded)) for seq, encoded in recent.entries.items()]
        answer = _Answer(recent.head, messages, recent.floor)
        return web.Response(body=encode(answer), content_type="application/json")


class OwnerClient:
    """Finds a group's owner and asks it, for a while if partitions are changing hands."""

    def __init__(
        self,
        directory: Directory,
        here: RecentView,
        url: Callable[[], str],
        tokens: Tokens,
        http: aiohttp.ClientSession,
    ) -> None:
        self._directory = directory
        self._here = here
        self._url = url
        self._tokens = tokens
        self._http = http

    async def recent(self, partition: int, channel: ChannelId, window: Window, asker: Claims) -> Recent:
        """See `reader.Owners`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _OWNER_S
        while True:
            try:
                return await self._ask(self._directory.url("groups", partition), channel, window, asker)
            except ProblemError as problem:
                if problem.code != "owner_unknown" or loop.time() > until:
                    raise
            await asyncio.sleep(_AGAIN_S)

    async def _ask(self, url: str | None, channel: ChannelId, window: Window, asker: Claims) -> Recent:
        if url == self._url():
            return await self._here.recent(channel, window, asker)
        if url is None:
            raise ProblemError("owner_unknown")
        query = {"limit": window.limit, "before": window.before, "after": window.after}
        try:
            async with self._http.get(
                URL(url) / PATH.format(**channel._asdict()).lstrip("/"),
                params={name: value for name, value in query.items() if value is not None},
                headers={"Authorization": f"Bearer {self._tokens.for_worker(asker)}"},
                timeout=aiohttp.ClientTimeout(total=_ONE_S),
                allow_redirects=False,
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError):
            raise ProblemError("owner_unknown") from None
        return _understood(response.status, body)


def _understood(status: int, body: bytes) -> Recent:
    try:
        if status == web.HTTPOk.status_code:
            answer = msgspec.json.decode(body, type=_Answer)
            return Recent(answer.head, {seq: bytes(message) for seq, message in answer.messages}, answer.floor)
        told = msgspec.json.decode(body, type=_Problem).code
    except msgspec.DecodeError:
        told = ""
    for code in _OURS:
        if told == code:
            raise ProblemError(code)
    raise ProblemError("owner_unknown")
