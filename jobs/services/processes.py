"""Services as processes of this machine, from jars: what they keep lies under `<data>/services/<name>`.

Only processes that were started from the same data folder are ever signalled.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from typing import Final

from jobs.services.process import Process, recorded, spawn
from jobs.services.service import Service
from jobs.services.way import Status, Way

_LOG_BYTES: Final = 2_000


class Processes(Way):
    """The services of one data folder, from jars."""

    means = "jars"

    def up(self, services: Sequence[Service]) -> None:
        """Fetches, then starts: when something is missing nothing runs yet."""
        down = [service for service in services if recorded(service.pid_file) is None]
        for service in down:
            service.refuse_taken_ports(service.port_settings)
        commands = [(service, self._prepare(service)) for service in down]
        self.claim()
        for service, command in commands:
            self.report(service.name, "starting")
            spawn(command, service.log, service.pid_file, os.environ)
        for service in services:
            self._await_health(service)

    def stop(self, services: Sequence[Service]) -> None:
        """TERM, and KILL for what does not follow it."""
        self._end(services, signal.SIGTERM)

    def kill(self, services: Sequence[Service]) -> None:
        """KILL."""
        self._end(services, signal.SIGKILL)

    def status(self, services: Sequence[Service]) -> list[Status]:
        """How each process is, and whether it answers."""
        return [self._status(service) for service in services]

    def forget(self) -> None:
        """Removes the services' folder."""
        shutil.rmtree(self.settings.data / "services", ignore_errors=True)

    def _prepare(self, service: Service) -> list[str]:
        service.home.mkdir(parents=True, exist_ok=True)
        self.report(service.name, "preparing")
        return service.prepare(self.report)

    def _await_health(self, service: Service) -> None:
        self.await_health(
            service, ended=lambda: recorded(service.pid_file) is None, last_words=lambda: _end_of_log(service)
        )

    def _status(self, service: Service) -> Status:
        process = recorded(service.pid_file)
        if process is None:
            return Status(service.name, service.port, None, 0, healthy=False)
        return Status(service.name, service.port, process.pid, process.uptime_s, service.healthy())

    def _end(self, services: Sequence[Service], how: signal.Signals) -> None:
        ending: list[tuple[Service, Process]] = []
        for service in services:
            if process := recorded(service.pid_file):
                self.report(service.name, "stopping")
                process.signal(how)
                ending.append((service, process))
        for service, process in ending:
            if not process.ends_within(service.stop_timeout_s):
                self.report(service.name, "does not stop: killing it")
                process.signal(signal.SIGKILL)
                process.ends_within(service.stop_timeout_s)
            service.pid_file.unlink(missing_ok=True)
            self.report(service.name, "stopped")


def _end_of_log(service: Service) -> str:
    """The last lines of its log, and where the rest is."""
    text = service.log.read_bytes()[-_LOG_BYTES:].decode(errors="replace") if service.log.exists() else ""
    return f"The end of {service.log}:\n{text.rstrip()}"
