"""Every view against every kind of wrong token. The views are those of the table: a new one is covered at once."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final, get_args

import jwt
import pytest
import pytest_asyncio

from streams.web.asks import Ask, OfLinks
from streams.web.of_changes import NewestAsk
from streams.web.owner import Question
from streams.web.problems import CODES
from streams.web.tokens import Claims, Role, Tokens
from streams.web.views import VIEWS, View
from tests.views import APP, SECRET, TOKENS, Cores, Views, path_of
from topics import limits
from topics.codec import encode

NOW: Final = int(time.time())
GUARDED: Final = [view for view in VIEWS.values() if view.roles is not None]
OPEN: Final = [view for view in VIEWS.values() if view.roles is None]
PUBLIC: Final = [view for view in GUARDED if view.public]
#: What one worker may ask another; links are of no app.
QUESTIONS: Final = [ask for ask in get_args(Question) if not issubclass(ask, OfLinks)]
PAYLOAD: Final[dict[str, Any]] = {
    "app": APP,
    "role": "user",
    "sub": "ann",
    "aud": "linkcast",
    "iat": NOW,
    "exp": NOW + 86_400,
}
QUESTION: Final = encode({"t": "group", "app": APP, "group": "g"})


def signed(
    secret: str = SECRET,
    algorithm: str = "HS256",
    without: str = "",
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    payload = PAYLOAD | claims
    payload.pop(without, None)
    key = "" if algorithm == "none" else secret
    return jwt.encode(payload, key, algorithm, {"kid": "new"} if header is None else header)


def unsigned(header: dict[str, Any], payload: Any, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


NO_TOKEN: Final[dict[str, dict[str, str]]] = {
    "none": {},
    "empty": {"Authorization": ""},
    "another scheme": {"Authorization": f"Basic {signed()}"},
    "the token alone": {"Authorization": signed()},
}
BAD_TOKENS: Final[dict[str, str]] = {
    "nothing after bearer": "",
    "garbage": "garbage",
    "dots": "..",
    "no object": unsigned({"alg": "HS256", "kid": "new"}, ["app"], b"x"),
    "cut": signed()[:-3],
    "two tokens": f"{signed()} {signed()}",
    "another secret": signed("t" * 40),
    "the secret of another key": signed("o" * 40),
    "no signature": signed(algorithm="none"),
    "no signature, says it is one": unsigned({"alg": "HS256", "kid": "new"}, {"app": APP}),
    "another strength": signed("s" * 64, algorithm="HS512"),
    **{
        f"says {name}": unsigned({"alg": name, "kid": "new"}, PAYLOAD, b"x" * 256)
        for name in ("RS256", "ES256", "PS256", "EdDSA", "hs256", "", "HS256 ", "dir")
    },
    "brings a key of its own": jwt.encode(
        PAYLOAD, "t" * 40, "HS256", {"kid": "new", "jwk": {"kty": "oct", "k": "dHR0"}, "jku": "http://127.0.0.1:9/keys"}
    ),
    "no key named": signed(header={}),
    "an unknown key": signed(header={"kid": "made-up"}),
    "a removed key": Tokens({"gone": "g" * 40}, "linkcast").mint(Claims(APP, "admin", "root"), 60),
    "a key that is a number": unsigned({"alg": "HS256", "kid": 1}, {"app": APP}, b"x"),
    "a key that is a list": unsigned({"alg": "HS256", "kid": ["new"]}, {"app": APP}, b"x"),
    "expired": signed(exp=NOW - limits.TOKEN_LEEWAY_S - 1),
    "made in the future": signed(iat=NOW + 3_600, exp=NOW + 7_200),
    "not valid yet": signed(nbf=NOW + 3_600),
    "good for ever": signed(exp=NOW + limits.TOKEN_S + 60),
    "expires at infinity": signed(exp=float("inf")),
    "expires at no number": signed(exp="tomorrow"),
    "another cluster's": signed(aud="other"),
    "everybody's": signed(aud=["linkcast", "other"]),
    **{f"without {claim}": signed(without=claim) for claim in ("app", "role", "sub", "aud", "iat", "exp")},
    "unknown role": signed(role="root"),
    "roles": signed(role=["user", "admin"]),
    "app is no id": signed(app="a:b"),
    "app is a list": signed(app=[APP]),
    "app is nothing": signed(app=""),
    "sub is a number": signed(sub=5),
    "worker on nobody's behalf": signed(role="worker"),
    "worker on a worker's behalf": signed(role="worker", behalf="worker"),
    "user on an admin's behalf": signed(behalf="admin"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def views() -> AsyncIterator[Views]:
    async with Views(TOKENS, Cores()) as views:
        yield views


async def told(views: Views, view: View | str, headers: dict[str, str], **names: str) -> tuple[int, str]:
    """Status and code of a problem, whose form is checked."""
    path = view if isinstance(view, str) else path_of(view, **names)
    method = "GET" if isinstance(view, str) else view.method
    async with views.client.request(
        method, path, headers=headers, data=QUESTION if method == "POST" else None
    ) as response:
        assert response.content_type == "application/problem+json", await response.text()
        problem = await response.json()
        code = problem["code"]
        assert set(problem) == {"type", "title", "status", "detail", "code"}
        assert all(problem.values())
        assert (problem["status"], problem["title"]) == (response.status, CODES[code].title)
        assert problem["type"] == f"urn:linkcast:problem:{code}"
        assert ("WWW-Authenticate" in response.headers) == (response.status == 401)
        assert ("Retry-After" in response.headers) == (response.status == 503)
        assert SECRET not in json.dumps(problem)
        return response.status, code


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


everywhere = pytest.mark.parametrize("view", [*GUARDED, "/nowhere"], ids=lambda view: getattr(view, "name", view))
pytestmark = pytest.mark.asyncio(loop_scope="module")


@everywhere
@pytest.mark.parametrize("kind", NO_TOKEN)
async def test_nothing_is_told_without_a_token(views: Views, view: View | str, kind: str) -> None:
    assert await told(views, view, NO_TOKEN[kind]) == (401, "no_token")


@everywhere
@pytest.mark.parametrize("kind", BAD_TOKENS)
async def test_nothing_is_told_to_a_bad_token(views: Views, view: View | str, kind: str) -> None:
    assert await told(views, view, bearer(BAD_TOKENS[kind])) == (401, "bad_token")


@pytest.mark.parametrize("view", GUARDED, ids=lambda view: view.name)
@pytest.mark.parametrize("role", get_args(Role))
async def test_a_view_is_for_its_roles(views: Views, view: View, role: Role) -> None:
    behalf: dict[str, Any] = {"behalf": "admin"} if role == "worker" else {}
    headers = bearer(signed(role=role, **behalf))
    assert view.roles is not None
    if role not in view.roles:
        assert await told(views, view, headers) == (403, "not_allowed")
        return
    body = QUESTION if view.method == "POST" else None
    async with views.client.request(view.method, path_of(view), headers=headers, data=body) as response:
        assert response.status == 200


@pytest.mark.parametrize("view", [view for view in PUBLIC if "{app}" in view.path], ids=lambda view: view.name)
@pytest.mark.parametrize("role", ["user", "gateway", "admin"])
async def test_another_apps_things_do_not_exist(views: Views, view: View, role: Role) -> None:
    assert views.cores is not None
    views.cores.asked.clear()
    may_ask = view.roles is not None and role in view.roles
    expected = (404, view.missing) if may_ask else (403, "not_allowed")
    assert await told(views, view, bearer(signed(app="other", role=role))) == expected
    assert views.cores.asked == []


@pytest.mark.parametrize("view", [view for view in PUBLIC if "{user}" in view.path], ids=lambda view: view.name)
async def test_another_user_does_not_exist(views: Views, view: View) -> None:
    assert await told(views, view, bearer(signed(sub="bob"))) == (404, view.missing)


OF_GROUPS: Final = [view for view in PUBLIC if "{group}" in view.path and view.roles and "user" in view.roles]


@pytest.mark.parametrize("view", OF_GROUPS, ids=lambda view: view.name)
async def test_a_group_does_not_exist_for_who_is_no_member(views: Views, view: View) -> None:
    assert await told(views, view, bearer(signed(sub="eve"))) == (404, view.missing)


@pytest.mark.parametrize("view", PUBLIC, ids=lambda view: view.name)
@pytest.mark.parametrize("name", ["a%2Fb", "a%3Ab", "%20", "%00", "x" * 65, "%C3%A9", "a%0A"])
async def test_a_name_that_is_no_id_is_nobodys(views: Views, view: View, name: str) -> None:
    for part in ("group", "user", "channel", "link"):
        if f"{{{part}}}" in view.path:
            given = bearer(signed(role="admin"))
            assert await told(views, view, given, **{part: name}) == (404, view.missing)


async def test_links_are_not_told_to_a_user_who_asks_through_a_worker(views: Views) -> None:
    headers, question = bearer(signed(role="worker", behalf="user")), encode({"t": "links", "limit": 5})
    async with views.client.post(path_of(VIEWS["ask"]), headers=headers, data=question) as response:
        assert (response.status, (await response.json())["code"]) == (403, "not_allowed")


@pytest.mark.parametrize("claims", [{"app": "other", "behalf": "admin"}, {"sub": "eve", "behalf": "user"}])
@pytest.mark.parametrize("ask", QUESTIONS, ids=lambda ask: ask.__name__)
async def test_an_owner_tells_another_worker_only_what_its_asker_may_see(
    views: Views, ask: type[Ask], claims: dict[str, Any]
) -> None:
    question: dict[str, Any] = {"app": APP, "group": "s", "user": "ann", "link": "l", "channel": "main"}
    question |= {"t": ask.__struct_config__.tag, "limit": 5, "start": 0, "window": {"limit": 5}, "since": 0}
    question |= {"place_kind": "channel", "place": "main", "which": "white", "request_kind": "invite"}
    question |= {"member": "ann", "change_set": "lots", "epoch": 1, "slot": 7}
    headers = bearer(signed(role="worker", **claims))
    async with views.client.post(path_of(VIEWS["ask"]), headers=headers, data=encode(question)) as response:
        assert (response.status, (await response.json())["code"]) == (404, ask.missing)
    own = bearer(signed(role="worker", behalf="gateway" if ask is NewestAsk else "user"))
    async with views.client.post(path_of(VIEWS["ask"]), headers=own, data=encode(question)) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "question", [b"", b"{}", b'{"t":"made-up"}', b'{"t":"group","app":"a:b","group":"g"}', b"\xff"]
)
async def test_what_is_no_question_is_refused(views: Views, question: bytes) -> None:
    headers = bearer(signed(role="worker", behalf="admin"))
    async with views.client.post(path_of(VIEWS["ask"]), headers=headers, data=question) as response:
        assert (response.status, (await response.json())["code"]) == (400, "bad_request")


@pytest.mark.parametrize("view", PUBLIC, ids=lambda view: view.name)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_views_are_only_read(views: Views, view: View, method: str) -> None:
    headers = bearer(signed(role="admin"))
    async with views.client.request(method, path_of(view), headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize("view", GUARDED, ids=lambda view: view.name)
async def test_a_large_request_is_refused(views: Views, view: View) -> None:
    headers = bearer(signed(role="admin") if view.public else signed(role="worker", behalf="admin"))
    body = b"x" * (limits.VIEW_REQUEST_BYTES + 1)
    async with views.client.request(view.method, path_of(view), headers=headers, data=body) as response:
        assert (response.status, (await response.json())["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("view", OPEN, ids=lambda view: view.name)
async def test_what_needs_no_token_tells_no_secret(views: Views, view: View) -> None:
    assert view.name in {"health", "ready", "metrics", "openapi"}  # what else is open to all is to be thought over
    async with views.client.get(path_of(view)) as response:
        assert response.status == 200
        assert SECRET not in await response.text()


async def test_answers_are_kept_by_nobody_on_the_way(views: Views) -> None:
    for headers in ({}, bearer(signed())):
        async with views.client.get(path_of(VIEWS["group"]), headers=headers) as response:
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Server"] == "linkcast"
