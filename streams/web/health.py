"""`/health` and `/ready`: what a worker does, for those who run it. No token, no secret, no name of any app.

A lane's status is one of STATUSES, and says for how long and, where something is to be done, what. The worker's own is
the worst of its lanes'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from aiohttp import web

from streams.web.owners import Directory
from topics import limits
from topics.codec import encode

#: What a lane calls itself when it is open.
_OPEN: Final = "serving"

Status = Literal["serving", "waiting", "recovering", "paused", "stuck", "fenced"]

#: Each status, from best to worst, and what to do about it.
STATUSES: Final[dict[Status, str]] = {
    "serving": "Nothing: it does its work, or has none.",
    "waiting": "Nothing, if it passes soon: it has no partition yet, or begins anew; see `paused_for`.",
    "recovering": "Wait while `progress` moves: it reads its state. A worker that keeps its folder reads less.",
    "paused": "Bring back what is away, named in `status`. Nothing is lost: it goes on where it stood.",
    "stuck": "See `paused_for` and its log, and restart it: nothing is lost by that. If it comes back, report it.",
    "fenced": "Nothing, if it passes: another worker owns the partition. Else two clusters share a name.",
}

_SERVICES: Final = {"cassandra": "Cassandra", "redis": "Redis"}


class Progress(msgspec.Struct, frozen=True):
    """How far a lane has read its state, in offsets of the changelog.

    Attributes:
        read: so many.
        of: of so many.
    """

    read: int
    of: int


class Facts(NamedTuple):
    """What is known of a lane, before it is judged. Times are seconds up to now.

    Attributes:
        kind: groups, users, links or sinks.
        partition: which.
        state: what the lane calls it: closed, opening, serving, waiting, fenced.
        reason: what it waits for or began anew after, in its own words.
        lag: offsets not yet applied, by topic.
        oldest_s: age of its oldest record that is not committed; None if it has none.
        closed_s: since when it does not serve.
        idle_s: since when nothing was committed although there was something to do.
        failures: how often it began anew since its last commit.
        heartbeat_s: since when the group has not answered.
        stores: since when it waits for which store.
        progress: how far it has read its state, while it does.
    """

    kind: str
    partition: int
    state: str
    reason: str | None = None
    lag: Mapping[str, int] = {}
    oldest_s: float | None = None
    closed_s: float = 0.0
    idle_s: float = 0.0
    failures: int = 0
    heartbeat_s: float = 0.0
    stores: Mapping[str, float] = {}
    progress: Progress | None = None


class LaneState(msgspec.Struct):
    """What one lane does.

    Attributes:
        kind: groups, users, links or sinks.
        partition: which.
        state: closed, opening, serving, waiting, fenced.
        status: one of STATUSES; a paused one says what is away.
        for_s: for how long; None for one that serves.
        paused_for: why it stands still, in its own words; None while it does not.
        lag: offsets not yet applied, by topic.
        oldest_s: age of its oldest record that is not committed.
        progress: how far it has read its state, while it does.
    """

    kind: str
    partition: int
    state: str
    status: str
    for_s: float | None
    paused_for: str | None
    lag: Mapping[str, int]
    oldest_s: float | None
    progress: Progress | None

    @property
    def rank(self) -> int:
        """The higher the worse."""
        return list(STATUSES).index(base(self.status))


def base(status: str) -> Status:
    """The one of STATUSES that a told status is: `paused: Redis away` is `paused`."""
    return next(name for name in STATUSES if name == status.partition(":")[0])


def judge(facts: Facts, session_s: float) -> LaneState:
    """What a lane is to be called.

    Args:
        facts: what is known of it.
        session_s: how long a group goes without heartbeats.
    """
    status, for_s = _status(facts, session_s)
    return LaneState(
        facts.kind,
        facts.partition,
        facts.state,
        status,
        None if for_s is None else round(for_s, 1),
        facts.reason,
        facts.lag,
        None if facts.oldest_s is None else round(facts.oldest_s, 3),
        facts.progress,
    )


def _status(facts: Facts, session_s: float) -> tuple[str, float | None]:
    """The first that is so, and for how long."""
    has_work = facts.oldest_s is not None or any(facts.lag.values()) or facts.failures > 0
    away = " and ".join(_SERVICES[store] for store in sorted(facts.stores))
    cases: tuple[tuple[bool, str, float | None], ...] = (
        (facts.state == "fenced", "fenced", facts.closed_s),
        (bool(away), f"paused: {away} away", max(facts.stores.values(), default=0.0)),
        (facts.heartbeat_s > session_s / 2, "paused: Kafka away", facts.heartbeat_s),
        (has_work and facts.idle_s * 1000 > limits.STUCK_MS, "stuck", facts.idle_s),
        (facts.state == _OPEN, "serving", None),
        (facts.state == "opening", "recovering", facts.closed_s),
    )
    return next(((status, for_s) for so, status, for_s in cases if so), ("waiting", facts.closed_s))


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

    @property
    def worst(self) -> LaneState | None:
        """The lane in the worst state, and of these the one that is so for longest; None without lanes."""
        return max(self.lanes, key=lambda lane: (lane.rank, lane.for_s or 0.0), default=None)


class StoredUpTo(msgspec.Struct, frozen=True):
    """How far a partition of history is stored.

    Attributes:
        partition: which.
        offset: the first that is not stored yet.
        at: append time of the last stored record.
    """

    partition: int
    offset: int
    at: int


class StateUpTo(msgspec.Struct, frozen=True):
    """How far a partition of a topic is in the final state.

    Attributes:
        topic: `relation-events` or `channel-members`.
        partition: which.
        offset: the first that is not stored yet.
        at: append time of the last stored record.
    """

    topic: str
    partition: int
    offset: int
    at: int


class Following(msgspec.Struct, frozen=True):
    """How well the worker knows the others: its views ask owners, and read what is not stored, by what it follows.

    Attributes:
        complete: it has seen all that was there when it began.
        behind: offsets that it had not seen when it looked last.
        looked_s: how long ago that was; None: not yet. It looks every few seconds while Kafka answers.
        begun_anew: how often it began from the beginning because it found nothing any more; its log tells why.
    """

    complete: bool
    behind: int
    looked_s: float | None
    begun_anew: int


class HealthAnswer(msgspec.Struct, frozen=True):
    """What a worker does, and how far history is stored.

    Attributes:
        status: the worst of its lanes'.
        for_s: since when.
        next: what to do about it.
        role: its role.
        joined: its group has given it partitions at least once.
        lanes: those it has now.
        counts: what its lanes did since it started, and how things stand.
        stored: how far history is stored, as it knows.
        final: how far the final state is stored, as it knows.
        following: how well it knows that, and where the others are.
    """

    status: str
    for_s: float | None
    next: str
    role: str
    joined: bool
    lanes: Sequence[LaneState]
    counts: Mapping[str, int]
    stored: list[StoredUpTo]
    final: list[StateUpTo]
    following: Following


class ReadyAnswer(msgspec.Struct, frozen=True):
    """Whether every lane that was assigned to the worker is open.

    Attributes:
        ready: it is so.
    """

    ready: bool


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
        worst = state.worst
        status = "waiting" if worst is None else worst.status
        body = HealthAnswer(
            status=status,
            for_s=None if worst is None else worst.for_s,
            next=STATUSES[base(status)],
            role=state.role,
            joined=state.joined,
            lanes=state.lanes,
            counts=state.counts,
            stored=[StoredUpTo(one.partition, one.offset, one.at) for one in watermarks],
            final=[
                StateUpTo(one.topic, one.partition, one.offset, one.at)
                for one in self._directory.state_watermarks().values()
            ],
            following=self._following(),
        )
        return web.Response(body=encode(body), content_type="application/json")

    def _following(self) -> Following:
        directory = self._directory
        looked_s = None if directory.looked_at is None else round(time.monotonic() - directory.looked_at, 1)
        return Following(directory.complete, directory.behind, looked_s, directory.begun_anew)

    async def ready(self, request: web.Request) -> web.Response:
        """GET /ready: 200 when every lane that was assigned is open, else 503."""
        del request
        state = self._state()
        ready = state.joined and all(lane.state == _OPEN for lane in state.lanes)
        status = web.HTTPOk.status_code if ready else web.HTTPServiceUnavailable.status_code
        return web.Response(body=encode(ReadyAnswer(ready)), status=status, content_type="application/json")
