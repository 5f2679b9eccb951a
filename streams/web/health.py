"""`/health` and `/ready`: what a worker does, for those who run it. No token, no secret, no name of any app."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from aiohttp import web

from streams.web.owners import Directory
from topics.codec import encode

#: What a lane calls itself when it is open.
_OPEN: Final = "serving"


class LaneState(msgspec.Struct):
    """What one lane does.

    Attributes:
        kind: groups, users, links or sinks.
        partition: which.
        state: opening, serving, waiting, …
        paused_for: why it stands still; None while it does not.
        lag: offsets not yet applied, by topic.
    """

    kind: str
    partition: int
    state: str
    paused_for: str | None
    lag: dict[str, int]


class WorkerState(msgspec.Struct):
    """What a worker does.

    Attributes:
        role: its role.
        joined: its group has given it partitions at least once.
        lanes: those it has now.
        counts: what its lanes did since it started, and how things stand.
    """

    role: str
    joined: bool
    lanes: Sequence[LaneState]
    counts: Mapping[str, int]


class HealthView:
    """Tells what `state` tells, and how far history is stored."""

    def __init__(self, state: Callable[[], WorkerState], directory: Directory) -> None:
        self._state = state
        self._directory = directory

    async def health(self, request: web.Request) -> web.Response:
        """GET /health: 200 for as long as it can be asked."""
        del request
        state = self._state()
        watermarks = self._directory.watermarks().values()
        body = {
            "role": state.role,
            "joined": state.joined,
            "lanes": state.lanes,
            "counts": state.counts,
            "stored": [{"partition": one.partition, "offset": one.offset, "at": one.at} for one in watermarks],
        }
        return web.Response(body=encode(body), content_type="application/json")

    async def ready(self, request: web.Request) -> web.Response:
        """GET /ready: 200 when every lane that was assigned is open, else 503."""
        del request
        state = self._state()
        ready = state.joined and all(lane.state == _OPEN for lane in state.lanes)
        status = web.HTTPOk.status_code if ready else web.HTTPServiceUnavailable.status_code
        return web.Response(body=encode({"ready": ready}), status=status, content_type="application/json")
