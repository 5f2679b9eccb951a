"""What the views were asked: counted and timed by route, and one log line each that names no one.

A route is told as its pattern. Neither headers nor the query are looked at: they may hold tokens.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from streams.batches.counters import STEP_BOUNDS_S, Spread

log = logging.getLogger(__name__)

_UNKNOWN: Final = "unknown"
#: Asked every few seconds by machines.
_QUIET: Final = frozenset({"/health", "/ready", "/metrics"})


class Requests:
    """Requests of one view server since it started.

    Attributes:
        answered: how many, by route and status.
        seconds: how long they took, by route.
        pages: pages of messages by tier, and whether they were whole after it.
    """

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, int]] = Counter()
        self.seconds: dict[str, Spread] = {}
        self.pages: Counter[tuple[str, bool]] = Counter()

    @property
    def watch(self) -> Middleware:
        """The outermost middleware."""

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = time.perf_counter()
            response = await handler(request)
            self._note(route_of(request), response.status, time.perf_counter() - began)
            return response

        return watch

    def _note(self, route: str, status: int, seconds: float) -> None:
        self.answered[route, status] += 1
        self.seconds.setdefault(route, Spread(STEP_BOUNDS_S)).add(seconds)
        level = logging.DEBUG if route in _QUIET else logging.INFO
        told = {"route": route, "status": status, "ms": round(seconds * 1000, 1)}
        log.log(level, "a view answered", extra=told)


def route_of(request: web.Request) -> str:
    """The pattern of the path that was asked, with no name in it."""
    resource = request.match_info.route.resource
    return _UNKNOWN if resource is None else resource.canonical
