"""Before any view: who asks, may they, is it small enough; after it: every failure in one form.

Deny by default: a route that names no roles is open to nobody, and an unknown path is told only to holders of a token.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Middleware

from streams.web.problems import Code, ProblemError, of_http_error
from streams.web.requests import route_of
from streams.web.tokens import Claims, Role, Tokens
from topics import limits

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLAIMS: Final = web.RequestKey("claims", Claims)


class Rule(NamedTuple):
    """Who may call a handler.

    Attributes:
        roles: these; None: anybody, without a token.
        missing: what those are told whose app is another one: its things do not exist.
    """

    roles: frozenset[Role] | None
    missing: Code


class Policy:
    """The rule of each handler."""

    def __init__(self) -> None:
        self._rules: dict[object, Rule] = {}

    def add(self, app: web.Application, method: str, path: str, handler: Handler, rule: Rule) -> None:
        """Serve `path` by this rule. A handler serves one path."""
        if handler in self._rules:
            raise ValueError(f"{path}: its handler has a rule already")
        app.router.add_route(method, path, handler)
        if method == "GET":
            app.router.add_route("HEAD", path, handler)
        self._rules[handler] = rule

    def of(self, handler: object) -> Rule:
        """The rule; one that lets nobody in for a handler nobody added."""
        return self._rules.get(handler, _NOBODY)


_NOBODY: Final = Rule(frozenset(), "not_found")


def guard(policy: Policy, tokens: Tokens) -> list[Middleware]:
    """The middlewares, outermost first."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        rule = policy.of(request.match_info.handler)
        if rule.roles is not None:
            request[CLAIMS] = _admitted(request, tokens, rule.roles, rule.missing)
        if (request.content_length or 0) > limits.VIEW_REQUEST_BYTES:
            raise ProblemError("request_too_large")
        return await handler(request)

    return [_explain, admit]


def _admitted(request: web.Request, tokens: Tokens, roles: frozenset[Role], missing: Code) -> Claims:
    """Who asks, if they may."""
    claims = tokens.read(request.headers.get("Authorization"))
    if request.match_info.http_exception is not None:
        raise request.match_info.http_exception
    if claims.role not in roles:
        raise ProblemError("not_allowed", f"This is for: {', '.join(sorted(roles))}.")
    if claims.app != request.match_info.get("app", claims.app):
        raise ProblemError(missing)
    return claims


#: On every answer: it is for who asked, and is what it says it is.
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "linkcast"}


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure as a problem; none takes longer than VIEW_S."""
    response = await _answer(request, handler)
    response.headers.update(_HEADERS)
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        async with asyncio.timeout(limits.VIEW_S):
            return await handler(request)
    except ProblemError as problem:
        return problem.response()
    except web.HTTPException as error:
        return of_http_error(error).response()
    except TimeoutError:
        return ProblemError("too_slow").response()
    except Exception:
        log.exception("view %s failed", route_of(request))
        return ProblemError("failed").response()
