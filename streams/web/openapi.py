"""The OpenAPI 3.1 document of the views, made from their table and from the structs that they answer."""

from __future__ import annotations

import inspect
import json
import re
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import msgspec
from aiohttp import web

from streams.web.call import Choice, Name, Number, Param
from streams.web.problems import CODES, Code, Problem
from streams.web.views import VIEWS, View
from topics import limits
from topics.wire import Id

_REF: Final = "#/components/schemas/{name}"
_NAME: Final = re.compile(r"{(\w+)}")

_TOKEN: Final[tuple[Code, ...]] = ("no_token", "bad_token", "not_allowed")
_OWNER: Final[tuple[Code, ...]] = ("owner_unknown", "too_slow", "failed")


@cache
def document() -> dict[str, Any]:
    """The document, as it is encoded."""
    paths: dict[str, Any] = {}
    for view in VIEWS.values():
        if view.public:
            paths.setdefault(view.path, {})[view.method.lower()] = _operation(view)
    answers = [view.answer for view in VIEWS.values() if view.answer is not None]
    (_, *_), schemas = msgspec.json.schema_components([Problem, *answers], ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Linkcast views",
            "version": version("linkcast"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": (
                "What the pipeline knows, for who may see it. Any worker answers for all: it asks the owner. Answers "
                "rest on committed changes only. Lists come in pages: give `next` back as `cursor` until it is absent. "
                "Failures are `application/problem+json` with a `code`."
            ),
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": portable(schemas),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A JSON Web Token of the cluster, for one app and one role: user, gateway or admin.",
                }
            },
        },
    }


@cache
def text() -> str:
    """The document as a file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


async def serve(request: web.Request) -> web.Response:
    """The view `openapi`."""
    del request
    return web.Response(text=text(), content_type="application/json")


def problems_of(view: View) -> list[Code]:
    """The problems that a view may answer."""
    if view.roles is None:
        return ["failed"]
    found: list[Code] = [*_TOKEN, "bad_request"]
    if view.paged:
        found.append("bad_cursor")
    if view.missing != "not_found":
        found.append(view.missing)
    return [*found, *view.codes, "request_too_large", *_OWNER]


def portable(node: Any) -> Any:
    """A schema without what is Python's alone: its end of a string, the indentation of docstrings."""
    match node:
        case dict():
            return {key: portable(value) for key, value in node.items()} | _clean(node)
        case list():
            return [portable(value) for value in node]
        case _:
            return node


def _clean(node: dict[str, Any]) -> dict[str, str]:
    cleaned = {}
    if isinstance(pattern := node.get("pattern"), str):
        cleaned["pattern"] = pattern.replace(r"\Z", "$")
    if isinstance(description := node.get("description"), str):
        cleaned["description"] = inspect.cleandoc(description)
    return cleaned


def _operation(view: View) -> dict[str, Any]:
    (id_schema,), _ = msgspec.json.schema_components([Id])
    names = [
        {"name": name, "in": "path", "required": True, "schema": portable(id_schema)}
        for name in _NAME.findall(view.path)
    ]
    found: dict[str, Any] = {
        "operationId": view.name,
        "summary": view.says,
        "tags": [view.path.split("/")[4] if view.path.startswith("/v1/apps/") else "cluster"],
    }
    if view.roles is not None:
        roles = ", ".join(sorted(view.roles))
        found["description"] = f"{view.more} Roles: {roles}.".strip()
        found["security"] = [{"token": []}]
    found["parameters"] = names + [_parameter(param) for param in view.params]
    answers = {"200": _answer(view)} | ({str(view.also): _answer(view)} if view.also else {})
    found["responses"] = answers | _problems(view)
    return found


def _parameter(param: Param) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "maxLength": limits.CURSOR_CHARS}
    if isinstance(param, Number):
        schema = {"type": "integer", "minimum": param.least, "maximum": param.most}
        if param.usual is not None:
            schema["default"] = param.usual
    if isinstance(param, Choice):
        schema = {"type": "string", "enum": list(param.words), "default": param.usual}
    if isinstance(param, Name):
        (id_schema,), _ = msgspec.json.schema_components([Id])
        schema = portable(id_schema)
    return {"name": param.name, "in": "query", "description": param.meaning, "schema": schema}


def _answer(view: View) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object" if view.media == "application/json" else "string"}
    if view.answer is not None:
        schema = {"$ref": _REF.format(name=view.answer.__name__)}
    return {"description": view.says, "content": {view.media: {"schema": schema}}}


def _problems(view: View) -> dict[str, Any]:
    by_status: dict[int, list[Code]] = {}
    for code in problems_of(view):
        by_status.setdefault(CODES[code].status, []).append(code)
    found = {}
    for status, codes in sorted(by_status.items()):
        found[str(status)] = {
            "description": " ".join(f"`{code}`: {CODES[code].title}" for code in codes),
            "content": {"application/problem+json": {"schema": {"$ref": _REF.format(name=Problem.__name__)}}},
        }
        if status == web.HTTPServiceUnavailable.status_code:
            found[str(status)]["headers"] = {
                "Retry-After": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 1}}
            }
    return found
