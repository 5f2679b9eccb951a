"""What the three services have in common: a home, ports, a command line, a sign of health."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Literal

from jobs.problem import Problem
from streams.settings import Settings

Name = Literal["kafka", "redis", "cassandra"]

#: Tells a person what a service is doing now: (service, what).
Report = Callable[[Name, str], None]

_HEALTH_TIMEOUT_S: Final = 2.0


class Service(ABC):
    """One service on this machine."""

    name: ClassVar[Name]
    #: How long a start and an orderly end may take; both are far above what is seen on a small machine.
    start_timeout_s: ClassVar[float] = 60
    stop_timeout_s: ClassVar[float] = 30

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = settings.data / "services" / self.name
        self.log = self.home / f"{self.name}.log"
        self.pid_file = self.home / "pid.json"

    @property
    @abstractmethod
    def port_settings(self) -> tuple[str, ...]:
        """The settings that name its ports, the clients' port first."""

    @abstractmethod
    def prepare(self, report: Report) -> list[str]:
        """Fetches and writes what it needs; gives its command line."""

    @abstractmethod
    def healthy(self) -> bool:
        """Whether it answers its clients."""

    @property
    def port(self) -> int:
        """Where its clients find it."""
        return self.port_of(self.port_settings[0])

    def port_of(self, setting: str) -> int:
        """The port that `setting` names."""
        return int(getattr(self.settings, setting))

    def refuse_taken_ports(self, settings: Sequence[str]) -> None:
        """Raises a Problem when somebody else listens on a port that one of `settings` names."""
        for setting in settings:
            refuse_taken_port(self.name, self.settings.host, self.port_of(setting), setting)

    def exchange(self, request: bytes, answer_bytes: int) -> bytes:
        """Sends a few bytes to its clients' port and gives the first of the answer; empty when it is not there."""
        try:
            with socket.create_connection((self.settings.host, self.port), _HEALTH_TIMEOUT_S) as connection:
                connection.sendall(request)
                return connection.recv(answer_bytes, socket.MSG_WAITALL)
        except OSError:
            return b""


def refuse_taken_port(who: str, host: str, port: int, setting: str) -> None:
    """Raises a Problem when somebody else listens on `port`, which `setting` names."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an ended connection does not count
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Problem(
                f"{who} cannot listen on {host}:{port}: {error.strerror}.\n"
                f"Stop what uses it, or choose another port: {setting} = … in linkcast.toml, "
                f"or LINKCAST_{setting.upper()}=… in the environment."
            ) from None
