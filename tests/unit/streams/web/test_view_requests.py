"""What views were asked is counted and logged by route: never who asked, nor with what."""

from __future__ import annotations

import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streams.web.requests import Requests

SECRET = "ey.a-token.of-somebody"


async def test_a_request_is_told_by_its_pattern_without_query_and_headers(caplog: pytest.LogCaptureFixture) -> None:
    requests = Requests()
    app = web.Application(middlewares=[requests.watch])

    async def group(request: web.Request) -> web.Response:
        del request
        return web.Response(status=503)

    app.router.add_get("/v1/apps/{app}/groups/{group}", group)
    caplog.set_level(logging.INFO)
    async with TestClient(TestServer(app)) as client:
        for name in ("secret-society", "another"):
            await client.get(
                f"/v1/apps/acme/groups/{name}?access_token={SECRET}", headers={"Authorization": f"Bearer {SECRET}"}
            )
    assert dict(requests.answered) == {("/v1/apps/{app}/groups/{group}", 503): 2}
    assert requests.seconds["/v1/apps/{app}/groups/{group}"].cumulative()[-1] == ("+Inf", 2)
    told = [record.__dict__ for record in caplog.records if record.name == "streams.web.requests"]
    assert [(one["route"], one["status"]) for one in told] == [("/v1/apps/{app}/groups/{group}", 503)] * 2
    assert SECRET not in str(told)
    assert "secret-society" not in str(told)


async def test_what_machines_ask_every_second_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    requests = Requests()
    app = web.Application(middlewares=[requests.watch])

    async def health(request: web.Request) -> web.Response:
        del request
        return web.Response()

    app.router.add_get("/health", health)
    caplog.set_level(logging.INFO)
    async with TestClient(TestServer(app)) as client:
        await client.get("/health")
    assert requests.answered["/health", 200] == 1
    assert [record for record in caplog.records if record.name == "streams.web.requests"] == []
