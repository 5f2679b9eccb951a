"""The demo's own services and workers, on ports and in a folder of their own."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from jobs import topics
from jobs.problem import Problem
from jobs.services import Services
from jobs.stack import Stack, ask
from streams.app import ROLES, Role
from streams.settings import Settings, load

_READY_S: Final = 90.0
_POLL_S: Final = 0.2
_KILLED_S: Final = 5.0
_PORTS: Final = (
    *("kafka_port", "kafka_controller_port", "redis_port"),
    *("cassandra_port", "cassandra_storage_port", "cassandra_jmx_port"),
)


def own_settings(file: Path | None, data: Path) -> Settings:
    """Settings of a cluster in `data`, on free ports."""
    *ports, view = free_ports(len(_PORTS) + 1)
    given: dict[str, Any] = dict(zip(_PORTS, ports, strict=True))
    host = load(file).host
    return load(
        file,
        **given,
        data=data,
        view_port=view,
        kafka_bootstrap=f"{host}:{given['kafka_port']}",
        redis_url=f"redis://{host}:{given['redis_port']}/0",
        cassandra_contact_points=(host,),
    )


def free_ports(count: int) -> list[int]:
    """Free ports, each with free ones behind it, below those of outgoing connections."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000, 10), k=1_000):
        if all(_is_free(port + i) for i in range(len(ROLES))):
            found.append(port)
        if len(found) == count:
            return found
    raise Problem("No free ports are left between 20,000 and 32,000.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class Cluster:
    """Services and one worker of each role."""

    def __init__(self, settings: Settings, tell: Callable[[str], None]) -> None:
        self.settings = settings
        self.stack = Stack(settings)
        self._services = Services(settings, lambda name, what: tell(f"{name}: {what}"))
        self._tell = tell

    @contextmanager
    def running(self) -> Iterator[Cluster]:
        """Everything up and ready; stopped on leaving, whatever happens."""
        with self.stack.alone():
            if any(status.pid for status in self._services.status()):
                raise Problem(
                    f"Services run on {self.settings.data}.\nEnd them with: make down, or name another folder"
                )
            with self._services.running():
                try:
                    asyncio.run(topics.create(self.settings))
                    for role, port in self.stack.view_ports.items():
                        self._tell(f"{role} worker: starting")
                        self.stack.start_worker(role, role, port)
                    self._await_ready()
                    yield self
                finally:
                    self._tell("stopping workers and services")
                    self.stack.stop()

    def kill_worker(self, role: Role) -> None:
        """End the worker of a role as a crash does, and start it again.

        Raises:
            Problem: it does not run.
        """
        if (process := self.stack.running().get(role)) is None:
            raise Problem(f"The {role} worker ended by itself.\n{self.stack.last_words(role)}")
        process.signal(signal.SIGKILL)
        process.ends_within(_KILLED_S)
        self.stack.start_worker(role, role, self.stack.view_ports[role])

    def check(self) -> None:
        """Raises a Problem when a worker ended by itself."""
        running = self.stack.running()
        for role in ROLES:
            if role not in running:
                raise Problem(
                    f"The {role} worker ended by itself. The last it said ({self.stack.log(role)}):\n\n"
                    f"{self.stack.last_words(role)}"
                )

    def lag(self) -> dict[Role, int] | None:
        """Records not yet applied, by role; None while a worker is not ready. `links`, which never rests, left out."""
        lag: dict[Role, int] = {}
        for role in ROLES:
            url = self._url(role)
            health = ask(f"{url}/health") if ask(f"{url}/ready") else None
            if health is None:
                return None
            lag[role] = sum(sum(lane["lag"].values()) for lane in health["lanes"] if lane["kind"] != "links")
        return lag

    def _url(self, role: Role) -> str:
        return f"http://{self.settings.host}:{self.stack.view_ports[role]}"

    def _await_ready(self) -> None:
        until_s = time.monotonic() + _READY_S
        waiting: set[Role] = set(ROLES)
        while waiting:
            self.check()
            waiting = {role for role in waiting if not ask(f"{self._url(role)}/ready")}
            if time.monotonic() > until_s:
                raise Problem(f"{', '.join(sorted(waiting))}: not ready after {_READY_S:.0f} s.")
            time.sleep(_POLL_S)
