"""What a worker tells those who run it: each lane's status on its cause, and the worst of them for the whole."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from aiohttp import web

from streams.web.health import STATUSES, Facts, HealthView, LaneState, Progress, WorkerState, judge
from streams.web.owners import Directory
from topics import limits
from topics.owners import StateStored, Stored

REQUEST = cast("web.Request", None)  # these views read nothing of it
SESSION_S = 6.0
LONG_S = limits.STUCK_MS / 1000 + 1


def lane(state: str, **known: Any) -> LaneState:
    return judge(Facts("sinks", 1, state, **{"lag": {"history": 7}} | known), SESSION_S)


def view(*lanes: LaneState, joined: bool = True) -> HealthView:
    directory = Directory()
    directory.stored(Stored(1, 40, 5_000))
    directory.stored(StateStored("relation-events", 1, 7, 6_000))
    return HealthView(lambda: WorkerState("sinks", joined=joined, lanes=lanes, counts={"stored": 3}), directory)


async def told(of: HealthView) -> dict[str, Any]:
    body = (await of.health(REQUEST)).body
    assert isinstance(body, bytes)
    found: dict[str, Any] = json.loads(body)
    return found


async def test_health_tells_lanes_pauses_lag_and_watermarks() -> None:
    away = lane("serving", reason="cassandra away: refused", stores={"cassandra": 4.2}, oldest_s=5.0)
    assert await told(view(away)) == {
        "status": "paused: Cassandra away",
        "for_s": 4.2,
        "next": STATUSES["paused"],
        "role": "sinks",
        "joined": True,
        "lanes": [
            {
                "kind": "sinks",
                "partition": 1,
                "state": "serving",
                "status": "paused: Cassandra away",
                "for_s": 4.2,
                "paused_for": "cassandra away: refused",
                "lag": {"history": 7},
                "oldest_s": 5.0,
                "progress": None,
            }
        ],
        "counts": {"stored": 3},
        "stored": [{"partition": 1, "offset": 40, "at": 5_000}],
        "final": [{"topic": "relation-events", "partition": 1, "offset": 7, "at": 6_000}],
        "following": {"complete": False, "behind": 0, "looked_s": None, "begun_anew": 0},
    }


@pytest.mark.parametrize(
    ("state", "known", "status"),
    [
        ("serving", {}, "serving"),
        ("serving", {"reason": "store effects"}, "serving"),
        ("serving", {"idle_s": LONG_S, "lag": {}}, "serving"),  # nothing to do is no standstill
        ("serving", {"idle_s": LONG_S}, "stuck"),
        ("serving", {"idle_s": LONG_S, "lag": {}, "oldest_s": LONG_S}, "stuck"),
        ("waiting", {"idle_s": LONG_S, "lag": {}, "failures": 4}, "stuck"),  # each try fails
        ("waiting", {"idle_s": 1.0, "lag": {}, "failures": 4}, "waiting"),
        ("opening", {}, "recovering"),
        ("opening", {"progress": Progress(1, 9), "lag": {}, "idle_s": LONG_S}, "recovering"),  # state may be large
        ("opening", {"reason": "brings rows of version 1 up to 2"}, "recovering"),
        ("waiting", {"reason": "KafkaConnectionError: refused"}, "waiting"),
        ("closed", {}, "waiting"),
        ("fenced", {"heartbeat_s": 99.0}, "fenced"),
        ("serving", {"stores": {"redis": 1.0}, "idle_s": LONG_S}, "paused: Redis away"),
        ("serving", {"stores": {"redis": 1.0, "cassandra": 2.0}}, "paused: Cassandra and Redis away"),
        ("serving", {"heartbeat_s": SESSION_S, "idle_s": LONG_S}, "paused: Kafka away"),
        ("waiting", {"heartbeat_s": SESSION_S, "failures": 9}, "paused: Kafka away"),
    ],
)
def test_a_lanes_status_follows_from_its_cause(state: str, known: dict[str, Any], status: str) -> None:
    assert lane(state, **known).status == status


async def test_a_recovering_lane_tells_how_far_it_is() -> None:
    reading = lane("opening", progress=Progress(3, 12), closed_s=2.0)
    (seen,) = (await told(view(reading)))["lanes"]
    assert (seen["status"], seen["for_s"], seen["progress"]) == ("recovering", 2.0, {"read": 3, "of": 12})


async def test_a_worker_is_as_well_as_its_worst_lane_and_says_what_to_do() -> None:
    recovering, stuck = lane("opening", closed_s=90.0), lane("serving", idle_s=LONG_S)
    seen = await told(view(lane("serving"), stuck, recovering))
    assert (seen["status"], seen["next"]) == ("stuck", STATUSES["stuck"])
    assert (await told(view()))["status"] == "waiting"


@pytest.mark.parametrize(
    ("lanes", "joined", "status"),
    [
        ((), False, 503),
        ((), True, 200),  # more workers than partitions: nothing to do is ready too
        ((lane("serving"),), True, 200),
        ((lane("serving", stores={"cassandra": 1.0}),), True, 200),
        ((lane("serving"), lane("opening")), True, 503),
        ((lane("fenced"),), True, 503),
    ],
)
async def test_a_worker_is_ready_when_every_lane_is_open(
    lanes: tuple[LaneState, ...], joined: bool, status: int
) -> None:
    assert (await view(*lanes, joined=joined).ready(REQUEST)).status == status
