"""Starts, stops, kills and watches the services of one data folder.

Every verb may be repeated: what runs is left running, what is down stays down. Two commands on one data folder take
turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from jobs.problem import Problem
from jobs.services.cassandra import Cassandra
from jobs.services.kafka import Kafka
from jobs.services.process import Process, recorded, spawn
from jobs.services.redis import Redis
from jobs.services.service import Name, Report, Service
from streams.settings import Settings

_KINDS: Final = (Kafka, Redis, Cassandra)
ALL: Final[tuple[Name, ...]] = tuple(kind.name for kind in _KINDS)

_POLL_S: Final = 0.1
_LOG_BYTES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Status:
    """How one service is.

    Attributes:
        name: which service.
        port: where its clients find it.
        pid: its process, or None when it is down.
        uptime_s: for how long it has run.
        healthy: whether it answers.
    """

    name: Name
    port: int
    pid: int | None
    uptime_s: float
    healthy: bool


def _silent(service: Name, what: str) -> None:
    """Tells nobody."""


class Services:
    """The services of one data folder.

    Args:
        settings: where they are and how large.
        report: is told what each of them is doing.
    """

    def __init__(self, settings: Settings, report: Report = _silent) -> None:
        self.settings = settings
        self._report = report
        self._services: dict[Name, Service] = {kind.name: kind(settings) for kind in _KINDS}

    def up(self, names: Sequence[Name] = ALL) -> None:
        """Starts what is down, all at once, and waits until everything named is healthy."""
        with self._turn():
            chosen = [self._services[name] for name in names]
            for service in chosen:
                if recorded(service.pid_file) is None:
                    service.refuse_taken_ports()
            starting = [self._begin(service) for service in chosen]
            for service, process in starting:
                self._await_health(service, process)

    def down(self, names: Sequence[Name] = ALL) -> None:
        """Ends what runs, all at once and in order (TERM), and waits for it."""
        with self._turn():
            self._end(names, signal.SIGTERM)

    def start(self, name: Name) -> None:
        """Starts one service and waits until it is healthy."""
        self.up([name])

    def stop(self, name: Name) -> None:
        """Ends one service in order and waits for it."""
        self.down([name])

    def kill(self, name: Name) -> None:
        """Ends one service as a crash does (KILL): nothing is flushed, nobody is told."""
        with self._turn():
            self._end([name], signal.SIGKILL)

    def status(self) -> list[Status]:
        """How each service is."""
        return [self._status(service) for service in self._services.values()]

    def _status(self, service: Service) -> Status:
        process = recorded(service.pid_file)
        if process is None:
            return Status(service.name, service.port, None, 0, healthy=False)
        return Status(service.name, service.port, process.pid, process.uptime_s, service.healthy())

    def _begin(self, service: Service) -> tuple[Service, Process]:
        """Starts a service unless it runs."""
        if running := recorded(service.pid_file):
            return service, running
        service.home.mkdir(parents=True, exist_ok=True)
        self._report(service.name, "preparing")
        command = service.prepare(self._report)
        self._report(service.name, "starting")
        return service, spawn(command, service.log, service.pid_file, os.environ)

    def _await_health(self, service: Service, process: Process) -> None:
        deadline_s = time.monotonic() + service.start_timeout_s
        while not service.healthy():
            if not process.alive:
                raise Problem(f"{service.name} ended while it started.\n{_end_of_log(service)}")
            if time.monotonic() > deadline_s:
                raise Problem(
                    f"{service.name} does not answer after {service.start_timeout_s:.0f} s; it still runs, and "
                    f"`linkcast services down` ends it.\n{_end_of_log(service)}"
                )
            time.sleep(_POLL_S)
        self._report(service.name, f"healthy on port {service.port}")

    def _end(self, names: Sequence[Name], how: signal.Signals) -> None:
        ending = []
        for service in (self._services[name] for name in names):
            if process := recorded(service.pid_file):
                self._report(service.name, "stopping")
                process.signal(how)
                ending.append((service, process))
        for service, process in ending:
            if not process.ends_within(service.stop_timeout_s):
                self._report(service.name, "does not stop: killing it")
                process.signal(signal.SIGKILL)
                process.ends_within(service.stop_timeout_s)
            service.pid_file.unlink(missing_ok=True)
            self._report(service.name, "stopped")

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One command on a data folder at a time."""
        self.settings.data.mkdir(parents=True, exist_ok=True)
        with (self.settings.data / "services.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _end_of_log(service: Service) -> str:
    """The last lines of its log, and where the rest is."""
    text = service.log.read_bytes()[-_LOG_BYTES:].decode(errors="replace") if service.log.exists() else ""
    return f"The end of {service.log}:\n{text.rstrip()}"
