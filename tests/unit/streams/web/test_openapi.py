"""The OpenAPI document is one, names every view, and what views answer is what it says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # published without types
import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator

from streams.web import openapi
from streams.web.problems import CODES
from streams.web.views import VIEWS, View
from tests.cores import add, bind
from tests.views import TOKENS, Cores, Views, path_of

DOCUMENT = openapi.document()
PUBLIC = [view for view in VIEWS.values() if view.public]
ANSWERING = [view for view in PUBLIC if view.answer is not None]


@pytest_asyncio.fixture
async def views() -> AsyncIterator[Views]:
    cores = Cores()
    cores.groups.apply(add(*(f"u{n}" for n in range(20))))
    cores.groups.apply(*(bind(f"u{n}", n + 2, n) for n in range(20)))
    async with Views(TOKENS, cores) as views:
        yield views


def operation(view: View) -> Any:
    return DOCUMENT["paths"][view.path][view.method.lower()]


def check(schema: Any, value: Any) -> None:
    """Raises where the value is none of the schema's, or has what the schema does not know."""
    resolved = {"components": DOCUMENT["components"], **_closed(schema)}
    jsonschema.Draft202012Validator(_closed(resolved)).validate(value)


def _closed(node: Any) -> Any:
    """A schema that takes no further fields, so that a field nobody described is found."""
    match node:
        case {"properties": _}:
            return {"additionalProperties": False} | {key: _closed(value) for key, value in node.items()}
        case dict():
            return {key: _closed(value) for key, value in node.items()}
        case list():
            return [_closed(value) for value in node]
        case _:
            return node


def test_the_document_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_view_for_others_than_workers_is_in_it_and_no_other() -> None:
    assert set(DOCUMENT["paths"]) == {view.path for view in PUBLIC}
    assert {operation(view)["operationId"] for view in PUBLIC} == {view.name for view in PUBLIC}
    assert "internal" not in json.dumps(DOCUMENT)


async def test_a_worker_serves_it(views: Views) -> None:
    async with views.client.get("/openapi.json") as response:
        assert response.status == 200
        assert await response.text() == openapi.text()


@pytest.mark.parametrize("view", ANSWERING, ids=lambda view: view.name)
async def test_what_a_view_answers_is_what_the_document_says(views: Views, view: View) -> None:
    schema = operation(view)["responses"]["200"]["content"]["application/json"]["schema"]
    for query in ("", "limit=1", "since=1") if view.params else ("",):
        known = {param["name"] for param in operation(view)["parameters"] if param["in"] == "query"}
        if query.partition("=")[0] in {"", *known}:
            status, told = await views.get(path_of(view), query, role="admin")
            assert status == 200
            check(schema, told)


@pytest.mark.parametrize("view", [view for view in PUBLIC if view.roles is not None], ids=lambda view: view.name)
async def test_its_problems_are_told_with_their_statuses(views: Views, view: View) -> None:
    responses = operation(view)["responses"]
    for code in openapi.problems_of(view):
        assert f"`{code}`" in responses[str(CODES[code].status)]["description"]
    asked = [
        await views.get(path_of(view, group="made-up", user="made-up"), sub="ann"),
        await views.get(path_of(view, link="made-up"), role="admin"),
        await views.get(path_of(view), "strange=1", role="admin"),
        await views.get(path_of(view), app="other"),
    ]
    for status, told in asked:
        if status != 200:
            assert told["code"] in openapi.problems_of(view)
            check(responses[str(status)]["content"]["application/problem+json"]["schema"], told)


def test_limits_and_defaults_of_parameters_are_told() -> None:
    parameters = {param["name"]: param["schema"] for param in operation(VIEWS["members"])["parameters"]}
    assert parameters["limit"] == {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}
    assert parameters["group"]["maxLength"] == 64
    assert parameters["group"]["pattern"].endswith("$")
