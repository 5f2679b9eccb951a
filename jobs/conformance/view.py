"""The web view that clients pull from, played: the messages that a scene has written into its history."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from topics import limits

_PATH: Final = "/v1/apps/{app}/groups/{group}/channels/{channel}/messages"


@dataclass
class History:
    """What one app's view shows.

    Attributes:
        token: what it wants to see.
        messages: by group, in the order of seq.
        refusals: statuses and codes that the next pulls are answered with.
        pulls: the pulls so far: group and query.
        wrong: pulls that no gateway should have made, in words.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refusals: deque[tuple[int, str]] = field(default_factory=deque)
    pulls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class View:
    """Serves the histories of all scenes on one port."""

    def __init__(self) -> None:
        self.url = ""
        self._apps: dict[str, History] = {}

    def open(self, app: str) -> History:
        """An app's history, from here on."""
        history = self._apps[app] = History()
        return history

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Answers on a free port of this machine, for as long as this lasts."""
        application = web.Application()
        application.router.add_get(_PATH, self._messages)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _messages(self, request: web.Request) -> web.Response:
        history = self._apps.get(request.match_info["app"])
        if history is None:
            return _problem(404, "not_found")
        group = request.match_info["group"]
        history.pulls.append((group, dict(request.query)))
        if request.headers.get("Authorization") != f"Bearer {history.token}":
            history.wrong.append("a pull without the token that `start` gave")
            return _problem(401, "bad_token")
        if history.refusals:
            return _problem(*history.refusals.popleft())
        try:
            query = {name: int(value) for name, value in request.query.items()}
        except ValueError:
            history.wrong.append(f"a pull with the query {request.query_string!r}")
            return _problem(400, "bad_request")
        return web.json_response(_page(history.messages.get(group, []), query))


def _page(messages: list[dict[str, Any]], query: dict[str, int]) -> dict[str, Any]:
    limit = max(1, min(query.get("limit", 50), limits.PULL_MESSAGES))
    if (after := query.get("after")) is not None:
        found = [message for message in messages if message["s"] > after]
        page, more = found[:limit], len(found) > limit
    else:
        before = query.get("before", 1 << 62)
        found = [message for message in messages if message["s"] < before]
        page, more = found[-limit:], len(found) > limit
    ends = (messages[-1]["s"], messages[0]["s"]) if messages else (0, 0)
    return {"messages": page, "head": ends[0], "first": ends[1], "more": more}


def _problem(status: int, code: str) -> web.Response:
    return web.json_response(
        {"status": status, "code": code, "title": code}, status=status, content_type="application/problem+json"
    )
