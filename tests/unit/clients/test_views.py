"""Pulls of the client library, from a view that answers as it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from linkcast_gateway import PullError, Timeline, Views, views

PATH = "/v1/apps/demo/groups/g/channels/main/messages"


class Store:
    """A view of a channel of some messages; refuses as often as it is told to."""

    def __init__(self, head: int) -> None:
        self.head = head
        self.refusals: list[tuple[int, str]] = []
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        self.asked.append(request.query_string)
        if self.refusals:
            status, code = self.refusals.pop()
            return web.json_response({"code": code}, status=status, content_type="application/problem+json")
        after, limit = int(request.query.get("after", 0)), int(request.query["limit"])
        found = range(after + 1, min(after + limit, self.head) + 1)
        messages = [
            {"t": "m", "a": "demo", "g": "g", "c": "main", "s": seq, "p": seq - 1}
            | {"f": "ann", "d": "d", "i": "i", "at": 1, "b": {"n": seq}, "later": True}
            for seq in found
        ]
        more = bool(messages) and messages[-1]["s"] != self.head
        return web.json_response({"messages": messages, "head": self.head, "first": 1, "more": more})


@pytest.fixture
def store() -> Store:
    return Store(head=450)


@pytest.fixture
async def pulls(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Views]:
    monkeypatch.setattr(views, "_AGAIN_S", 0.0)
    app = web.Application()
    app.router.add_get(PATH, store.answer)
    async with TestServer(app) as server, Views(str(server.make_url("/")), "secret") as opened:
        yield opened


async def test_a_page_is_the_messages_and_how_far_the_channel_is(pulls: Views, store: Store) -> None:
    page = await pulls.page("demo", "g", "main", after=3, limit=2)
    assert [message.seq for message in page.messages] == [4, 5]
    assert (page.head, page.first, page.more, bytes(page.messages[0].body)) == (450, 1, True, b'{"n": 4}')
    assert store.asked == ["limit=2&after=3"]


async def test_what_a_timeline_lacks_comes_page_by_page_and_in_order(pulls: Views, store: Store) -> None:
    timeline = Timeline(last=10)
    timeline.heard(450)
    assert [message.seq async for message in pulls.missing(timeline, "demo", "g")] == list(range(11, 451))
    assert len(store.asked) == 3


async def test_what_is_not_stored_yet_is_asked_for_again(pulls: Views, store: Store) -> None:
    store.refusals = [(503, "not_stored_yet"), (503, "owner_unknown")]
    timeline = Timeline(last=448)
    timeline.heard(450)
    assert [message.seq async for message in pulls.missing(timeline, "demo", "g")] == [449, 450]


async def test_an_error_that_does_not_pass_is_raised_with_its_code(pulls: Views, store: Store) -> None:
    store.refusals = [(404, "unknown_group")]
    timeline = Timeline()
    timeline.heard(1)
    with pytest.raises(PullError) as error:
        [message async for message in pulls.missing(timeline, "demo", "g")]
    assert error.value.code == "unknown_group"


async def test_what_does_not_come_in_the_end_is_an_error(pulls: Views) -> None:
    timeline = Timeline(last=450)
    timeline.heard(451)
    with pytest.raises(PullError) as error:
        [message async for message in pulls.missing(timeline, "demo", "g")]
    assert error.value.code == "not_stored_yet"


async def test_without_a_view_a_pull_is_away() -> None:
    async with Views("http://127.0.0.1:9", "secret") as opened:
        with pytest.raises(PullError) as error:
            await opened.page("demo", "g", "main")
    assert error.value.code == "away"


async def test_the_channels_that_a_user_sees_come_from_all_pages() -> None:
    pages = [(["general", "ops"], "more"), (["press"], None)]
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query_string)
        names, next_ = pages.pop(0)
        channels = [{"channel": {"channel": name}, "head": 3, "first": 1, "permissions": ["send"]} for name in names]
        return web.json_response({"version": 7, "state": "final", "channels": channels, "next": next_})

    app = web.Application()
    app.router.add_get("/v1/apps/demo/groups/g/channels", answer)
    async with TestServer(app) as server, Views(str(server.make_url("/")), "secret") as opened:
        seen = await opened.channels("demo", "g", "bob")
    assert [one.channel.channel for one in seen] == ["general", "ops", "press"]
    assert asked == ["user=bob", "user=bob&cursor=more"]


async def test_access_says_what_a_user_may_and_why() -> None:
    decided = [
        {"permission": "send", "may": True, "by": "roles"},
        {"permission": "kick", "may": False, "by": "nothing"},
    ]
    told = {"version": 7, "state": "final", "user": "bob", "member": True, "sees": True, "words": ["white_role"]}

    async def answer(request: web.Request) -> web.Response:
        assert request.query["user"] == "bob"
        return web.json_response(told | {"roles": ["crew"], "view_mode": "private", "permissions": decided})

    app = web.Application()
    app.router.add_get("/v1/apps/demo/groups/g/channels/ops/access", answer)
    async with TestServer(app) as server, Views(str(server.make_url("/")), "secret") as opened:
        access = await opened.access("demo", "g", "ops", "bob")
    assert (access.sees, access.words, access.may("send"), access.may("kick"), access.may("ban")) == (
        *(True, ["white_role"]),
        *(True, False, False),
    )
