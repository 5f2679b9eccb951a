"""Before any view: who asks, may they, is it small enough; after it: every failure in one form.

Deny by default: a route that names no roles is open to nobody, and an unknown path is told only to holders of a token.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from streams.web.problems import ProblemError, of_http_error
from streams.web.tokens import Claims, Role, Tokens
from topics import limits

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLAIMS: Final = web.RequestKey("claims", Claims)


class Policy:
    """Which roles may call which handler."""

    def __init__(self) -> None:
        self._roles: dict[object, frozenset[Role] | None] = {}

    def add(self, app: web.Application, path: str, handler: Handler, roles: Collection[Role] | None) -> None:
        """Serve GET `path`; to these roles, or to all without a token where `roles` is None."""
        app.router.add_get(path, handler)
        self._roles[handler] = None if roles is None else frozenset(roles)

    def roles_of(self, handler: object) -> frozenset[Role] | None:
        """The roles; empty for a handler nobody added."""
        return self._roles.get(handler, frozenset())


def guard(policy: Policy, tokens: Tokens) -> list[Middleware]:
    """The middlewares, outermost first."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        roles = policy.roles_of(request.match_info.handler)
        if roles is not None:
            request[CLAIMS] = _admitted(request, tokens, roles)
        return await handler(request)

    return [_explain, admit]


def _admitted(request: web.Request, tokens: Tokens, roles: frozenset[Role]) -> Claims:
    """Who asks, if they may."""
    claims = tokens.read(request.headers.get("Authorization"))
    if request.match_info.http_exception is not None:
        raise request.match_info.http_exception
    if claims.role not in roles:
        raise ProblemError("not_allowed")
    if claims.app != request.match_info.get("app", claims.app):
        raise ProblemError("unknown_group")  # another app's things do not exist
    return claims


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure as a problem; none takes longer than VIEW_S."""
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
        log.exception("view %s failed", request.path)
        return ProblemError("failed").response()
