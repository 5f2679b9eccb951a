"""The view of messages: pages as they travelled, windows that mean something; and no failure tells its inside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.json import decode

from streams.sinks.patience import AwayError
from streams.web.views import VIEWS
from tests.cores import send
from tests.views import TOKENS, Cores, Nothing, Views, path_of
from topics import catalog
from topics.codec import encode

PULL = path_of(VIEWS["messages"])
GROUP = path_of(VIEWS["group"])


@pytest_asyncio.fixture
async def views() -> AsyncIterator[Views]:
    async with Views(TOKENS, Cores()) as views:
        yield views


@pytest.mark.parametrize("role", ["user", "gateway", "admin"])
async def test_callers_get_messages_as_they_travelled(views: Views, role: str) -> None:
    assert views.cores is not None
    partition = views.cores.groups
    seen = partition.apply(send("ann", "c2", partition.now_ms, body=b'{ "odd":  "\\u00fc" }'))
    ((_, lot),) = seen.out.records[catalog.HISTORY.name, 0]
    travelled = lot[lot.index(b'"entries":[') + len(b'"entries":[') : -2]
    async with views.client.get(f"{PULL}?after=1&limit=1", headers=views.bearer(role)) as response:
        assert await response.read() == b'{"messages":[' + travelled + b'],"head":2,"first":1,"more":false}'
    assert decode(travelled)["b"] == {"odd": "ü"}


@pytest.mark.parametrize(
    "query",
    [
        *("before=1&after=1", "limit=0", "limit=201", "limit=1e2", "before=-1", "before=%D9%A1", "cursor=x"),
        *("after=x", "after=", "after=1&after=2", "after=" + "9" * 19, "after=" + "9" * 5_000),
    ],
)
async def test_a_window_that_means_nothing_is_refused(views: Views, query: str) -> None:
    assert views.cores is not None
    views.cores.asked.clear()
    status, problem = await views.get(PULL, query)
    assert (status, problem["code"]) == (400, "bad_request")
    assert views.cores.asked == []


async def test_what_no_store_has_yet_is_refused(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    assert views.cores is not None
    views.cores.groups.crash()  # so that memory has no message
    status, problem = await views.get(PULL)
    assert (status, problem["code"], problem["detail"]) == (503, "not_stored_yet", "from 1 to 1")

    async def away(*where: object) -> dict[int, bytes]:
        del where
        raise AwayError("it", "the secret")

    monkeypatch.setattr(Nothing, "read", away)
    status, problem = await views.get(PULL)
    assert (status, problem["code"]) == (503, "not_stored_yet")
    assert "the secret" not in encode(problem).decode()


@pytest.mark.parametrize(
    ("error", "told"), [(TimeoutError(), (503, "too_slow")), (ValueError("the secret"), (500, "failed"))]
)
async def test_no_failure_tells_its_inside(
    views: Views, monkeypatch: pytest.MonkeyPatch, error: Exception, told: tuple[int, str]
) -> None:
    async def fail(*asked: Any) -> Any:
        del asked
        raise error

    monkeypatch.setattr(Cores, "read", fail)
    for path in (PULL, GROUP):
        async with views.client.get(path, headers=views.bearer()) as response:
            assert response.content_type == "application/problem+json"
            text = await response.text()
            assert (response.status, decode(text)["code"]) == told
            assert "the secret" not in text
