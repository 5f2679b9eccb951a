"""Services as containers, by docker-compose.yml: what they keep lies in volumes of one compose project a data folder.

The project's name follows from the cluster and the data folder, so two data folders never share a container or a
volume. Ports, heaps and addresses reach docker-compose.yml as variables; its own defaults are those of the settings.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from jobs.needs import DOCKER_ADVICE, find_program
from jobs.problem import Problem
from jobs.services.service import Name, Service
from jobs.services.way import Status, Way
from streams.settings import PREFIX, Settings

COMPOSE: Final = Path(__file__).parents[2] / "docker-compose.yml"

#: The settings that docker-compose.yml takes as variables; a test compares.
VARIABLES: Final = (
    *("host", "kafka_port", "kafka_controller_port", "kafka_heap_mb", "redis_port", "redis_memory_mb"),
    *("cassandra_port", "cassandra_storage_port", "cassandra_heap_mb"),
)
#: What a container may use beside the memory that a setting gives it: (that setting, megabytes).
BESIDE: Final[dict[Name, tuple[str, int]]] = {
    "kafka": ("kafka_heap_mb", 512),
    "redis": ("redis_memory_mb", 128),
    "cassandra": ("cassandra_heap_mb", 1_280),
}
_LOG_LINES: Final = 20


class Containers(Way):
    """The services of one data folder, with Docker."""

    means = "docker"

    @property
    def project(self) -> str:
        """The compose project of the data folder."""
        folder = hashlib.sha256(os.fsencode(self.settings.data)).hexdigest()[:8]
        return f"{self.settings.cluster.lower()}-{folder}"

    def up(self, services: Sequence[Service]) -> None:
        """Fetches images, then starts: when something is missing nothing runs yet."""
        running = self._running()
        for service in services:
            if service.name not in running:
                service.refuse_taken_ports(service.port_settings[:1])  # the others stay inside the container
        names = [service.name for service in services]
        self._told("fetching images", "pull", "--policy", "missing", *names)
        self.claim()
        self._told("starting", "up", "--detach", "--wait", *names)
        for service in services:
            self._await_health(service)

    def stop(self, services: Sequence[Service]) -> None:
        """TERM, and KILL for what does not follow it.

        The containers stay, stopped. Removing them would leave behind, each time, the unnamed volumes that their
        images ask for.
        """
        timeout_s = max((service.stop_timeout_s for service in services), default=0)
        self._end(services, "stop", "--timeout", f"{timeout_s:.0f}")

    def kill(self, services: Sequence[Service]) -> None:
        """KILL."""
        self._end(services, "kill")

    def status(self, services: Sequence[Service]) -> list[Status]:
        """How each container is, and whether it answers through its published port."""
        running = self._running()
        return [self._status(service, running.get(service.name)) for service in services]

    def forget(self) -> None:
        """Removes containers, network and volumes of the project, and the services' folder."""
        self._told("removing", "down", "--volumes")
        shutil.rmtree(self.settings.data / "services", ignore_errors=True)

    def _status(self, service: Service, state: dict[str, Any] | None) -> Status:
        if state is None:
            return Status(service.name, service.port, None, 0, healthy=False)
        uptime = datetime.now(UTC) - datetime.fromisoformat(state["StartedAt"])
        return Status(service.name, service.port, state["Pid"], uptime.total_seconds(), service.healthy())

    def _end(self, services: Sequence[Service], *how: str) -> None:
        running = self._running()
        ending = [service.name for service in services if service.name in running]
        if not ending:
            return
        for name in ending:
            self.report(name, "stopping")
        self._compose(*how, *ending)
        for name in ending:
            self.report(name, "stopped")

    def _running(self) -> dict[str, dict[str, Any]]:
        """Docker's own account of each container that runs, by service."""
        listed = _rows(self._compose("ps", "--all", "--format", "json"))
        ids = {row["ID"]: row["Service"] for row in listed}
        if not ids:
            return {}
        states = [
            json.loads(line) for line in self._docker("inspect", "--format", "{{json .State}}", *ids).splitlines()
        ]
        return {name: state for name, state in zip(ids.values(), states, strict=True) if state["Running"]}

    def _await_health(self, service: Service) -> None:
        self.await_health(
            service,
            ended=lambda: service.name not in self._running(),
            last_words=lambda: self._compose("logs", "--tail", str(_LOG_LINES), service.name).rstrip(),
        )

    def _told(self, what: str, *command: str) -> None:
        """Runs a compose command that takes long, telling each step of it."""
        names = [name for name in BESIDE if name in command] or list(BESIDE)
        for name in names:
            self.report(name, what)
        lines: list[str] = []
        with self._popen("--ansi", "never", "--progress", "plain", *command) as run:
            try:
                for line in run.stdout or ():
                    lines.append(line)
                    self._tell(line.replace(self.project, ""))
            except BaseException:
                run.terminate()
                raise
        if run.returncode:
            logs = self._compose("logs", "--tail", str(_LOG_LINES)) if command[0] == "up" else ""
            raise Problem(_failed(command, "".join(lines[-_LOG_LINES:]), logs))

    def _tell(self, line: str) -> None:
        """Tells a step of compose, `Container …-kafka-1  Started`, in the words of its end."""
        subject, _, step = line.strip().rpartition(" ")
        for name in BESIDE:
            if name in subject and step.isalpha():
                self.report(name, step.lower())

    def _compose(self, *command: str) -> str:
        """What a compose command prints."""
        return self._docker(*self._project_options, *command)

    def _docker(self, *command: str) -> str:
        done = subprocess.run(
            [self._program, *command], capture_output=True, text=True, check=False, env=self._environment
        )
        if done.returncode:
            raise Problem(_failed(command, done.stderr))
        return done.stdout

    def _popen(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._program, *self._project_options, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for our own process, which ends in order what was started
        )

    @cached_property
    def _program(self) -> str:
        return find_program("docker", DOCKER_ADVICE)

    @property
    def _project_options(self) -> tuple[str, ...]:
        return ("compose", "--file", str(COMPOSE), "--project-name", self.project)

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | variables(self.settings)


def variables(settings: Settings) -> dict[str, str]:
    """What docker-compose.yml is told: settings by the names they have in the environment, and memory limits."""
    told = {f"{PREFIX}{name.upper()}": str(getattr(settings, name)) for name in VARIABLES}
    for name, (setting, beside_mb) in BESIDE.items():
        told[f"{PREFIX}{name.upper()}_LIMIT_MB"] = str(getattr(settings, setting) + beside_mb)
    return told


def _rows(text: str) -> list[dict[str, Any]]:
    """The rows of `docker compose ps --format json`: a row a line, or in some versions all of them in one list."""
    rows: list[dict[str, Any]] = []
    for line in text.splitlines():
        if line.strip():
            found = json.loads(line)
            rows += found if isinstance(found, list) else [found]
    return rows


def _failed(command: Sequence[str], *told: str) -> str:
    ends = "\n".join(text.rstrip() for text in told if text.strip())
    return f"`docker {' '.join(command)}` failed:\n{ends}"
