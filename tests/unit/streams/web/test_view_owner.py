"""How a partition's owner is found, and what memory knows of a channel."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streams.groups.core import GroupsCore
from streams.web import owner
from streams.web.of_groups import RecentAsk
from streams.web.pages import Window
from streams.web.problems import ProblemError
from streams.web.tokens import Claims, Tokens
from streams.web.views import VIEWS
from tests.cores import Partition, create, groups, send
from tests.views import TOKENS, Cores, Views, path_of
from topics.codec import decode
from topics.owners import Owner

ANN = Claims("app", "user", "ann")
GROUP = path_of(VIEWS["group"])
NOBODY = "http://127.0.0.1:9"


def recent(partition: Partition, window: Window, asker: Claims = ANN, channel: str = "main") -> dict[int, bytes]:
    answer = RecentAsk("app", "g", channel, window).answer(cast("GroupsCore", partition.core), asker)
    return {seq: bytes(message) for seq, message in answer.messages}


def talked(count: int) -> Partition:
    partition = groups()
    partition.apply(create("ann"))
    partition.apply(*(send("ann", f"c{n}", partition.now_ms) for n in range(count)))
    return partition


def test_only_the_window_is_answered() -> None:
    assert sorted(recent(talked(9), Window(2, before=6))) == [4, 5]


def test_another_channel_is_unknown() -> None:
    with pytest.raises(ProblemError, match="unknown_group"):
        recent(talked(1), Window(2), channel="side")


def test_after_a_take_over_the_head_is_known_and_memory_is_empty() -> None:
    partition = talked(3)
    partition.crash()
    answer = RecentAsk("app", "g", "main", Window(50)).answer(cast("GroupsCore", partition.core), ANN)
    assert (answer.head, answer.messages) == (3, [])


def test_messages_are_those_that_travelled() -> None:
    partition = groups()
    partition.apply(create("ann"))
    seen = partition.apply(send("ann", "c", partition.now_ms, body=b'{ "odd":  1 }'))
    (lot,) = seen.out.records["history", 0]
    assert recent(partition, Window(50))[1] in lot[1]
    assert decode("history", lot[1]).entries[0].seq == 1


async def test_an_owner_that_opens_late_is_waited_for() -> None:
    async with Views(TOKENS, Cores()) as views, Views(TOKENS) as other:
        assert views.cores is not None
        other.directory.owner(Owner("groups", 0, NOBODY))  # the one before: nobody listens there
        asked = asyncio.ensure_future(other.get(GROUP))
        await asyncio.sleep(0.2)
        views.cores.closed = True
        views.owns(other.directory)
        await asyncio.sleep(0.2)
        assert not asked.done()
        views.cores.closed = False
        assert (await asked)[0] == 200


@pytest.mark.parametrize("told", [None, NOBODY, "itself"])
async def test_without_an_owner_the_answer_is_ask_again(told: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_OWNER_S", 0.2)
    async with Views(TOKENS) as other:
        if told is not None:
            other.directory.owner(Owner("groups", 0, other.url if told == "itself" else told))
        status, problem = await other.get(GROUP)
        assert (status, problem["code"]) == (503, "owner_unknown")


async def test_a_worker_whose_token_an_owner_refuses_says_so_once_and_names_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(owner, "_OWNER_S", 0.3)
    async with Views(Tokens({"its": "i" * 40}, "linkcast"), Cores()) as views, Views(TOKENS) as other:
        views.owns(other.directory)
        status, problem = await other.get(GROUP)
    assert (status, problem["code"]) == (503, "owner_unknown")
    said = f"the worker at {views.url} takes no token of this one: token_keys differ, or clocks"
    assert caplog.messages.count(said) == 1


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=404, body=b'{"code":"not_found"}'),  # a worker that doesn't know the question yet
        web.Response(status=404, body=b"nonsense"),
        web.Response(status=401, body=b'{"code":"bad_token"}'),
        web.Response(status=302, headers={"Location": "/elsewhere"}),
        web.Response(status=500, body=b'{"code":"failed"}'),
    ],
    ids=lambda response: str(response.status),
)
async def test_what_is_no_answer_of_an_owner_is_none(answer: web.Response, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_OWNER_S", 0.0)

    async def strange(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    app = web.Application()
    app.router.add_post(VIEWS["ask"].path, strange)
    async with TestServer(app) as server, Views(TOKENS) as other:
        other.directory.owner(Owner("groups", 0, str(server.make_url("")).rstrip("/")))
        status, problem = await other.get(GROUP)
        assert (status, problem["code"]) == (503, "owner_unknown")
