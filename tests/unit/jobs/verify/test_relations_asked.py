"""`linkcast verify relations` asks the views: what may be answered later is asked again, all else is told at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from jobs.final.asked import ViewReader
from jobs.final.state import GroupId, GroupState
from jobs.problem import Problem
from streams.settings import load

GROUP = GroupId("app", "team")
TOLD: dict[str, Any] = {"version": 3, "kind": "team", "owner": "ann"} | {
    of: [] for of in ("members", "roles", "bans", "requests", "codes")
}


class Views:
    """Views that refuse each question a few times before they answer it."""

    def __init__(self, status: int = 503, refusals: int = 0) -> None:
        self.asked: Counter[str] = Counter()
        self._status = status
        self._refusals = refusals
        self.application = web.Application()
        self.application.router.add_get("/{path:.*}", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked[request.path] += 1
        if self.asked[request.path] <= self._refusals:
            return web.json_response({"detail": "not now"}, status=self._status, headers={"Retry-After": "1"})
        return web.json_response(TOLD)


async def read(data: Path, url: str, wait_s: float) -> GroupState | None:
    async with asyncio.timeout(60), aiohttp.ClientSession() as http:
        return await ViewReader(load(data=data), http, wait_s, url).read(GROUP)


async def test_what_nobody_can_answer_yet_is_asked_again(tmp_path: Path) -> None:
    views = Views(refusals=1)
    async with TestServer(views.application) as server:
        state = await read(tmp_path, str(server.make_url("")), 30.0)
    assert state is not None
    assert state.version == TOLD["version"]


async def test_a_worker_that_begins_is_waited_for(tmp_path: Path) -> None:
    port = unused_port()
    reading = asyncio.create_task(read(tmp_path, f"http://127.0.0.1:{port}", 30.0))
    await asyncio.sleep(0.2)  # it was refused by now
    async with TestServer(Views().application, port=port):
        assert await reading is not None


@pytest.mark.parametrize(("status", "wait_s"), [(403, 30.0), (500, 30.0), (503, 0.0)])
async def test_a_refusal_that_stays_is_told_at_once(tmp_path: Path, status: int, wait_s: float) -> None:
    views = Views(status, refusals=9)
    async with TestServer(views.application) as server:
        with pytest.raises(Problem, match=f"answers {status}: not now"):
            await read(tmp_path, str(server.make_url("")), wait_s)
    assert views.asked.total() == 1
