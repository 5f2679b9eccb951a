"""What both ways of running services have in common, from jars or with Docker."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from jobs.needs import Means
from jobs.problem import Problem
from jobs.services.service import Name, Report, Service
from jobs.services.whole import write_whole
from streams.settings import Settings

_POLL_S: Final = 0.1
_MEANS: Final[dict[str, Means]] = {"jars": "jars", "docker": "docker"}


@dataclass(frozen=True, slots=True)
class Status:
    """How one service is.

    Attributes:
        name: which service.
        port: where its clients find it.
        pid: its process (with Docker, as the engine's machine counts), or None when it is down.
        uptime_s: for how long it has run.
        healthy: whether it answers.
    """

    name: Name
    port: int
    pid: int | None
    uptime_s: float
    healthy: bool


class Way(ABC):
    """One way of running the services of a data folder.

    What services keep lies where the first start put it, so a data folder stays with the way it was begun with: `claim`
    says so before anything is started.
    """

    means: ClassVar[Means]

    def __init__(self, settings: Settings, report: Report) -> None:
        self.settings = settings
        self.report = report

    @abstractmethod
    def up(self, services: Sequence[Service]) -> None:
        """Starts what is down, all at once, and waits until all are healthy."""

    @abstractmethod
    def stop(self, services: Sequence[Service]) -> None:
        """Ends what runs, all at once and in order, and waits for it."""

    @abstractmethod
    def kill(self, services: Sequence[Service]) -> None:
        """Ends what runs as a crash does: nothing is flushed, nobody is told."""

    @abstractmethod
    def status(self, services: Sequence[Service]) -> list[Status]:
        """How each service is."""

    @abstractmethod
    def forget(self) -> None:
        """Removes all that the services, which are down, have kept."""

    def claim(self) -> None:
        """Records that the data folder is kept this way."""
        path = _record(self.settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, self.means.encode())

    def await_health(self, service: Service, ended: Callable[[], bool], last_words: Callable[[], str]) -> None:
        """Waits until a service answers; a Problem with its last words when it ends or takes too long."""
        deadline_s = time.monotonic() + service.start_timeout_s
        while not service.healthy():
            if ended():
                raise Problem(f"{service.name} ended while it started.\n{last_words()}")
            if time.monotonic() > deadline_s:
                raise Problem(
                    f"{service.name} does not answer after {service.start_timeout_s:.0f} s; it still runs, and "
                    f"`linkcast services down` ends it.\n{last_words()}"
                )
            time.sleep(_POLL_S)
        self.report(service.name, f"healthy on port {service.port}")


def claimed(settings: Settings) -> Means | None:
    """How the data folder's services are kept; None when none has been started there yet."""
    path = _record(settings)
    if not path.exists():
        return None
    kept = path.read_text().strip()
    if kept not in _MEANS:
        raise Problem(f"{path} says {kept!r}, not how its services are kept. Remove it if nothing of them is left.")
    return _MEANS[kept]


def _record(settings: Settings) -> Path:
    return settings.data / "services" / "by"
