"""What a worker tells those who run it."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from aiohttp import web

from streams.web.health import HealthView, LaneState, WorkerState
from streams.web.owners import Directory
from topics.owners import Stored

REQUEST = cast("web.Request", None)  # these views read nothing of it


def lane(state: str, paused_for: str | None = None) -> LaneState:
    return LaneState("sinks", 1, state, paused_for, {"history": 7})


def view(*lanes: LaneState, joined: bool = True) -> HealthView:
    directory = Directory()
    directory.stored(Stored(1, 40, 5_000))
    return HealthView(lambda: WorkerState("sinks", joined=joined, lanes=lanes, counts={"stored": 3}), directory)


async def told(of: HealthView) -> dict[str, Any]:
    body = (await of.health(REQUEST)).body
    assert isinstance(body, bytes)
    found: dict[str, Any] = json.loads(body)
    return found


async def test_health_tells_lanes_pauses_lag_and_watermarks() -> None:
    assert await told(view(lane("serving", "cassandra away: refused"))) == {
        "role": "sinks",
        "joined": True,
        "lanes": [
            {
                "kind": "sinks",
                "partition": 1,
                "state": "serving",
                "paused_for": "cassandra away: refused",
                "lag": {"history": 7},
            }
        ],
        "counts": {"stored": 3},
        "stored": [{"partition": 1, "offset": 40, "at": 5_000}],
    }


@pytest.mark.parametrize(
    ("lanes", "joined", "status"),
    [
        ((), False, 503),
        ((), True, 200),  # more workers than partitions: nothing to do is ready too
        ((lane("serving"),), True, 200),
        ((lane("serving", "cassandra away: refused"),), True, 200),
        ((lane("serving"), lane("opening")), True, 503),
        ((lane("fenced"),), True, 503),
    ],
)
async def test_a_worker_is_ready_when_every_lane_is_open(
    lanes: tuple[LaneState, ...], joined: bool, status: int
) -> None:
    assert (await view(*lanes, joined=joined).ready(REQUEST)).status == status
