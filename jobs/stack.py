"""The processes of a pipeline on this machine, apart from the services: workers and example gateways.

Each is known by its pid file, so that a later command finds and ends what an earlier one left. A worker's local state
is named after it and is there again at the next start.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from jobs.alone import alone
from jobs.problem import Problem
from jobs.services.process import Process, recorded, spawn
from jobs.services.service import refuse_taken_port
from streams.app import ROLES, Role
from streams.settings import PREFIX, Settings
from streams.web.tokens import Claims, Tokens

#: The app that the example gateways serve.
APP: Final = "demo"
_TOKEN_S: Final = 30 * 24 * 3600.0
_STOP_S: Final = 25.0
_ASK_S: Final = 2.0
_LOG_BYTES: Final = 2_000


class Stack:
    """Workers and gateways of one data folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._home = settings.data / "run"

    @property
    def view_ports(self) -> dict[Role, int]:
        """Where the first worker of each role serves its views."""
        return {role: self.settings.view_port + i for i, role in enumerate(ROLES)}

    def log(self, name: str) -> Path:
        """What a process prints."""
        return self._home / f"{name}.log"

    def start_worker(self, role: Role, name: str, view_port: int) -> Process:
        """Start a worker; its views listen on `view_port`."""
        command = [sys.executable, "-m", "jobs", "worker", "--role", role, "--name", name]
        return self._start(name, command, {f"{PREFIX}VIEW_PORT": str(view_port)})

    def start_gateway(self, link: str, port: int, peers: Sequence[int]) -> Process:
        """Start an example gateway on a link of its own."""
        host = self.settings.host
        token = Tokens.of(self.settings).mint(Claims(APP, "gateway", link), _TOKEN_S)
        command = [sys.executable, "-m", "examples.gateway", "--link", link, "--host", host, "--port", str(port)]
        command += ["--kafka", self.settings.kafka_bootstrap, "--app", APP]
        command += ["--views", f"http://{host}:{self.view_ports['groups']}"]
        for peer in peers:
            command += ["--peer", f"http://{host}:{peer}"]
        return self._start(f"gateway-{link}", command, {"LINKCAST_GATEWAY_TOKEN": token})

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other run or demo starts processes of the data folder until this is left. When it begins none runs.

        Raises:
            Problem: another one does, or one that is gone left something running.
        """
        data = self.settings.data
        taken = (
            f"linkcast run, or demo, already uses {data}.\nEnd it with Ctrl-C where it was started, or name another "
            f"data folder: {PREFIX}DATA; of a demo: --data"
        )
        with alone(data / "run.lock", taken):
            if running := self.running():
                raise Problem(f"{', '.join(running)} still runs on {data}.\nEnd it with: make down")
            yield

    def running(self) -> dict[str, Process]:
        """Every process that still runs, by name."""
        found = {path.stem: recorded(path) for path in sorted(self._home.glob("*.pid"))}
        return {name: process for name, process in found.items() if process is not None}

    def stop(self) -> None:
        """End all in order: gateways leave first, then workers finish their batches."""
        running = self.running()
        gateways = {name: process for name, process in running.items() if name.startswith("gateway-")}
        workers = {name: process for name, process in running.items() if name not in gateways}
        for group in (gateways, workers):
            for process in group.values():
                process.signal(signal.SIGTERM)
            for process in group.values():
                if not process.ends_within(_STOP_S):
                    process.signal(signal.SIGKILL)
                    process.ends_within(_STOP_S)

    def refuse_taken_ports(self) -> None:
        """Raises a Problem when something listens where views or gateways are to."""
        for role, port in self.view_ports.items():
            refuse_taken_port(f"the {role} worker's view", self.settings.host, port, "view_port")
        for port in self.settings.gateway_ports:
            refuse_taken_port("a gateway", self.settings.host, port, "gateway_ports")

    def last_words(self, name: str) -> str:
        """The end of what a process printed."""
        log = self.log(name)
        return log.read_bytes()[-_LOG_BYTES:].decode(errors="replace") if log.exists() else ""

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> Process:
        self._home.mkdir(parents=True, exist_ok=True)
        pid_file = self._home / f"{name}.pid"
        if recorded(pid_file) is not None:
            raise Problem(f"{name} runs already on the data folder {self.settings.data}.\nEnd it with: make down")
        return spawn(command, self.log(name), pid_file, {**os.environ, **as_environment(self.settings), **environment})


def ask(url: str) -> dict[str, Any] | None:
    """The JSON that a view answers with 200; None for any other answer or none."""
    try:
        with urllib.request.urlopen(url, timeout=_ASK_S) as answer:  # noqa: S310 - our own views
            told: dict[str, Any] = json.load(answer)
            return told
    except (OSError, urllib.error.URLError, ValueError):
        return None


def as_environment(settings: Settings) -> dict[str, str]:
    """The settings that were not left to their defaults, as a child process takes them."""
    return {
        f"{PREFIX}{name.upper()}": _text(getattr(settings, name))
        for name in type(settings).model_fields
        if settings.origin(name) not in {"default", "derived"} and name != "token_keys"
    }


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
