"""Asks every worker how it is: those that `owners` names, and those that answer on this machine's view ports."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp
import msgspec

from jobs.top.samples import Samples
from streams.settings import Settings
from streams.web.answers import LinksAnswer, LinkState
from streams.web.follower import Follower
from streams.web.owners import Directory
from streams.web.tokens import Claims, Tokens

_ASK_S: Final = 2.0
_FOLLOW_S: Final = 3.0
_PORTS: Final = 12  # from `view_port` on: workers take the next free one
_TOKEN_S: Final = 60.0
_ROLES: Final = {"links": "users", "final": "sinks"}  # kinds that are not a role of their own

Health = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorkerSight:
    """What one worker told.

    Attributes:
        url: where it was asked.
        owns: what `owners` says that it serves, as (kind, partition).
        health: its `/health`; None if it did not answer.
        samples: its `/metrics`; None if it did not answer.
    """

    url: str
    owns: Sequence[tuple[str, int]] = ()
    health: Health | None = None
    samples: Samples | None = None

    @property
    def role(self) -> str:
        """Its role, by what it told or owned."""
        if self.health is not None:
            return str(self.health["role"])
        kinds = {_ROLES.get(kind, kind) for kind, _ in self.owns}
        return "/".join(sorted(kinds)) or "?"


@dataclass(frozen=True, slots=True)
class Sight:
    """A cluster at one moment.

    Attributes:
        at_s: when, by the monotonic clock.
        wall_ms: when, by the machine's.
        workers: each that is known of.
        links: living links, some of them where there are many; None if no worker could tell.
        stored_ms: append time of the newest stored record of history; None if nothing is stored, or it is not known.
        kafka: whether `owners` could be read.
    """

    at_s: float
    wall_ms: int
    workers: Sequence[WorkerSight]
    links: Sequence[LinkState] | None
    stored_ms: int | None
    kafka: bool


class Watcher:
    """Looks at a cluster again and again. Enter it first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = Directory()
        kafka = {"bootstrap_servers": settings.kafka_bootstrap}
        self._follower = Follower(kafka, settings.partitions, self._directory)
        self._tokens = Tokens.of(settings)
        self._exit = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begins to follow `owners`, and waits a moment for it."""
        async with contextlib.AsyncExitStack() as stack:
            timeout = aiohttp.ClientTimeout(total=_ASK_S)
            self._http = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
            await stack.enter_async_context(self._follower)
            self._exit = stack.pop_all()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FOLLOW_S):
                while not self._directory.complete:  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.05)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends."""
        await self._exit.aclose()

    async def look(self) -> Sight:
        """Ask everyone now."""
        owned: dict[str, list[tuple[str, int]]] = {}
        for (kind, partition), url in sorted(self._directory.owners().items()):
            owned.setdefault(url, []).append((kind, partition))
        first = self._settings.view_port
        here = [f"http://{self._settings.host}:{port}" for port in range(first, first + _PORTS)]
        asked = await asyncio.gather(
            *(self._worker(url, owned.get(url, ())) for url in {**owned, **dict.fromkeys(here)})
        )
        workers = [worker for worker in asked if worker.owns or worker.health is not None]
        alive = [worker.url for worker in workers if worker.health is not None]
        stored = [one.at for one in self._directory.watermarks().values()]
        return Sight(
            time.monotonic(),
            time.time_ns() // 1_000_000,
            sorted(workers, key=lambda worker: (worker.role, worker.url)),
            await self._links(alive),
            max(stored, default=None),
            self._directory.complete,
        )

    async def _worker(self, url: str, owns: Sequence[tuple[str, int]]) -> WorkerSight:
        try:
            health, metrics = await asyncio.gather(self._get(f"{url}/health"), self._get(f"{url}/metrics"))
            told = msgspec.json.decode(health)
            if not isinstance(told, dict) or not {"role", "status", "lanes"} <= told.keys():
                return WorkerSight(url, owns)  # something else listens there
            return WorkerSight(url, owns, told, Samples.parse(metrics.decode()))
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return WorkerSight(url, owns)

    async def _links(self, alive: Sequence[str]) -> Sequence[LinkState] | None:
        for url in alive:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
                token = self._tokens.mint(Claims("top", "admin", "top"), _TOKEN_S)
                headers = {"Authorization": f"Bearer {token}"}
                return msgspec.json.decode(await self._get(f"{url}/v1/links", headers), type=LinksAnswer).links
        return None

    async def _get(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        async with self._http.get(url, headers=headers, raise_for_status=True) as response:
            return await response.read()
