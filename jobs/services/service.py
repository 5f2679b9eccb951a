"""What the three services have in common: a home, ports, a command line, a sign of health."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final, Literal

from jobs.problem import Problem
from streams.settings import Settings

Name = Literal["kafka", "redis", "cassandra"]

#: Tells a person what a service is doing now: (service, what).
Report = Callable[[Name, str], None]

JAVA_VERSIONS: Final = (11, 17)  # what both servers run on
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

    def refuse_taken_ports(self) -> None:
        """Raises a Problem when somebody else listens where this service wants to."""
        for setting in self.port_settings:
            port = self.port_of(setting)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an ended connection does not count
                try:
                    probe.bind((self.settings.host, port))
                except OSError as error:
                    raise Problem(
                        f"{self.name} cannot listen on {self.settings.host}:{port}: {error.strerror}.\n"
                        f"Stop what uses it, or choose another port: {setting} = … in linkcast.toml, "
                        f"or LINKCAST_{setting.upper()}=… in the environment."
                    ) from None

    def exchange(self, request: bytes, answer_bytes: int) -> bytes:
        """Sends a few bytes to its clients' port and gives the first of the answer; empty when it is not there."""
        try:
            with socket.create_connection((self.settings.host, self.port), _HEALTH_TIMEOUT_S) as connection:
                connection.sendall(request)
                return connection.recv(answer_bytes, socket.MSG_WAITALL)
        except OSError:
            return b""


def find_program(name: str, advice: str) -> str:
    """The full path of a program, or a Problem that says how to get it."""
    if (path := shutil.which(name)) is None:
        raise Problem(f"{name} is needed and not on the path.\n{advice}")
    return path


def find_java() -> str:
    """The Java to run the servers with: that of JAVA_HOME, else the one on the path; 11 or 17."""
    advice = (
        "Install a JDK, version 17 (Debian: apt-get install openjdk-17-jdk-headless; macOS: brew install openjdk@17), "
        "or set JAVA_HOME to one."
    )
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else find_program("java", advice)
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        raise Problem(f"{java} does not run.\n{advice}") from None
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) not in JAVA_VERSIONS:
        raise Problem(f"{java} is not Java 11 or 17, on which both Kafka and Cassandra run.\n{advice}")
    return java
