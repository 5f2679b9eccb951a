"""Every route against every kind of wrong token."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Final

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streams.web import messages, recent
from streams.web.health import HealthView, WorkerState
from streams.web.messages import MessagesView
from streams.web.owners import Directory
from streams.web.pages import ChannelId, Window
from streams.web.problems import ProblemError
from streams.web.reader import MessageReader, Pulled, Recent
from streams.web.recent import RecentView
from streams.web.server import application
from streams.web.tokens import Claims, Tokens

SECRET: Final = "s" * 40
NAMES: Final = {"app": "acme", "group": "g", "channel": "main"}
PULL, INTERNAL = (path.format(**NAMES) for path in (messages.PATH, recent.PATH))
OPEN: Final = ("/health", "/ready")

Client = TestClient[web.Request, web.Application]


class Reader(MessageReader):
    """Has one page for all."""

    def __init__(self) -> None:
        self.asked: list[tuple[ChannelId, Window, Claims]] = []
        self.problem: Exception | None = None

    async def page(self, channel: ChannelId, window: Window, asker: Claims) -> Pulled:
        self.asked.append((channel, window, asker))
        if self.problem is not None:
            raise self.problem
        return Pulled([b'{"s":1}', b'{"s":2}'], 5, 1, more=True)


class Memory(RecentView):
    """Has one answer for all."""

    def __init__(self) -> None:
        super().__init__(1, None)

    async def recent(self, channel: ChannelId, window: Window, asker: Claims) -> Recent:
        del channel, window, asker
        return Recent(5, {})


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
async def client(reader: Reader) -> AsyncIterator[Client]:
    health = HealthView(lambda: WorkerState("groups", joined=False, lanes=[], counts={}), Directory())
    app = application(Tokens(SECRET), health, MessagesView(reader), Memory())
    async with TestClient(TestServer(app)) as client:
        yield client


def signed(secret: str = SECRET, algorithm: str = "HS256", without: str = "", **claims: Any) -> str:
    payload = {"app": "acme", "role": "user", "sub": "ann", "exp": time.time() + 86_400} | claims
    payload.pop(without, None)
    return jwt.encode(payload, secret if algorithm != "none" else None, algorithm)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def problem(client: Client, path: str, headers: dict[str, str]) -> tuple[int, str]:
    async with client.get(path, headers=headers) as response:
        assert response.content_type == "application/problem+json"
        told = await response.json()
        assert told["status"] == response.status
        if response.status == 401:
            assert response.headers["WWW-Authenticate"] == "Bearer"
        if response.status == 503:
            assert int(response.headers["Retry-After"]) > 0
        return response.status, told["code"]


NO_TOKEN: Final[dict[str, dict[str, str]]] = {
    "none": {},
    "empty": {"Authorization": ""},
    "another scheme": {"Authorization": f"Basic {signed()}"},
}
BAD_TOKENS: Final[dict[str, str]] = {
    "nothing after bearer": "",
    "garbage": "garbage",
    "another secret": signed("t" * 40),
    "expired": signed(exp=time.time() - 1),
    "no signature": signed(algorithm="none"),
    "another algorithm": signed("s" * 64, algorithm="HS512"),
    "cut": signed()[:-3],
    "without exp": signed(without="exp"),
    "without app": signed(without="app"),
    "without sub": signed(without="sub"),
    "without role": signed(without="role"),
    "unknown role": signed(role="root"),
    "app is no id": signed(app="a:b"),
    "app is a list": signed(app=["acme"]),
    "sub is a number": signed(sub=5),
    "worker on nobody's behalf": signed(role="worker"),
    "worker on a worker's behalf": signed(role="worker", behalf="worker"),
    "user on an admin's behalf": signed(behalf="admin"),
}


@pytest.mark.parametrize("path", [PULL, INTERNAL, "/nowhere", "/metrics", "/v1/apps/acme"])
@pytest.mark.parametrize("kind", NO_TOKEN)
async def test_nothing_is_told_without_a_token(client: Client, path: str, kind: str) -> None:
    assert await problem(client, path, NO_TOKEN[kind]) == (401, "no_token")


@pytest.mark.parametrize("path", [PULL, INTERNAL, "/nowhere"])
@pytest.mark.parametrize("kind", BAD_TOKENS)
async def test_nothing_is_told_to_a_bad_token(client: Client, path: str, kind: str) -> None:
    assert await problem(client, path, bearer(BAD_TOKENS[kind])) == (401, "bad_token")


@pytest.mark.parametrize(
    ("path", "token", "told"),
    [
        (PULL, signed(role="worker", behalf="user"), (403, "not_allowed")),
        (INTERNAL, signed(), (403, "not_allowed")),
        (INTERNAL, signed(role="gateway"), (403, "not_allowed")),
        (INTERNAL, signed(role="admin"), (403, "not_allowed")),
        (PULL, signed(app="other"), (404, "unknown_group")),
        (PULL, signed(app="other", role="gateway"), (404, "unknown_group")),
        (PULL, signed(app="other", role="admin"), (404, "unknown_group")),
        (INTERNAL, signed(app="other", role="worker", behalf="admin"), (404, "unknown_group")),
        ("/nowhere", signed(), (404, "not_found")),
    ],
)
async def test_a_good_token_opens_only_what_is_its_own(
    client: Client, reader: Reader, path: str, token: str, told: tuple[int, str]
) -> None:
    assert await problem(client, path, bearer(token)) == told
    assert reader.asked == []


async def test_another_apps_group_looks_like_one_that_does_not_exist(client: Client, reader: Reader) -> None:
    async with client.get(PULL, headers=bearer(signed(app="other"))) as foreign:
        seen = foreign.status, await foreign.read()
    reader.problem = ProblemError("unknown_group")
    async with client.get(PULL, headers=bearer(signed())) as unknown:
        assert (unknown.status, await unknown.read()) == seen


@pytest.mark.parametrize("role", ["user", "gateway", "admin"])
async def test_callers_get_the_page_as_it_travelled(client: Client, reader: Reader, role: str) -> None:
    async with client.get(PULL, params={"after": "0"}, headers=bearer(signed(role=role))) as response:
        assert response.status == 200
        assert await response.read() == b'{"messages":[{"s":1},{"s":2}],"head":5,"first":1,"more":true}'
    ((channel, window, asker),) = reader.asked
    assert (channel, window) == (ChannelId("acme", "g", "main"), Window(50, after=0))
    assert (asker.app, asker.role, asker.sub) == ("acme", role, "ann")


async def test_a_worker_asks_on_behalf_of_its_caller(client: Client) -> None:
    token = Tokens(SECRET).for_worker(Claims("acme", "user", "ann"))
    assert Tokens(SECRET).read(f"Bearer {token}") == Claims("acme", "worker", "ann", "user")
    async with client.get(INTERNAL, headers=bearer(token)) as response:
        assert response.status == 200


async def test_only_health_needs_no_token_and_tells_no_secret(client: Client) -> None:
    assert client.server.app is not None  # type: ignore[attr-defined] # aiohttp's type leaves it out
    routes = {route.resource.canonical for route in client.server.app.router.routes()}  # type: ignore[attr-defined]
    assert routes == {*OPEN, messages.PATH, recent.PATH}  # a new route belongs into this table
    for path in OPEN:
        async with client.get(path) as response:
            assert response.status in {200, 503}
            assert SECRET not in await response.text()


@pytest.mark.parametrize(
    "query",
    [
        *("before=1&after=1", "limit=0", "limit=201", "limit=1e2", "before=-1", "before=%D9%A1"),
        *("after=x", "after=", "after=1&after=2", "after=" + "9" * 19, "after=" + "9" * 5_000),
    ],
)
async def test_a_window_that_means_nothing_is_refused(client: Client, reader: Reader, query: str) -> None:
    assert await problem(client, f"{PULL}?{query}", bearer(signed())) == (400, "bad_request")
    assert reader.asked == []


@pytest.mark.parametrize("name", ["a%2Fb", "a%3Ab", "%20", "x" * 65])
async def test_a_name_that_is_no_id_is_an_unknown_group(client: Client, reader: Reader, name: str) -> None:
    path = messages.PATH.format(app="acme", group=name, channel="main")
    assert await problem(client, path, bearer(signed())) == (404, "unknown_group")
    assert reader.asked == []


async def test_views_are_only_read(client: Client) -> None:
    async with client.post(PULL, data=b"x", headers=bearer(signed())) as response:
        assert response.status == 405
        assert (await response.json())["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ProblemError("not_stored_yet"), (503, "not_stored_yet")),
        (ProblemError("owner_unknown"), (503, "owner_unknown")),
        (TimeoutError(), (503, "too_slow")),
        (ValueError("the secret"), (500, "failed")),
    ],
)
async def test_every_failure_is_a_problem_without_its_inside(
    client: Client, reader: Reader, error: Exception, told: tuple[int, str]
) -> None:
    reader.problem = error
    assert await problem(client, PULL, bearer(signed())) == told
    async with client.get(PULL, headers=bearer(signed())) as response:
        assert "the secret" not in await response.text()
