"""Starts, stops, kills and watches the services of one data folder, from jars or with Docker.

Every verb may be repeated: what runs is left running, what is down stays down. Two commands on one data folder take
turns. A data folder stays with the way that its services were first started: what they keep lies there.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from typing import Final

from jobs.needs import Means, choose
from jobs.problem import Problem
from jobs.services.cassandra import Cassandra
from jobs.services.containers import Containers
from jobs.services.kafka import Kafka
from jobs.services.processes import Processes
from jobs.services.redis import Redis
from jobs.services.service import Name, Report, Service
from jobs.services.way import Status, Way, claimed
from streams.settings import Settings

_KINDS: Final = (Kafka, Redis, Cassandra)
ALL: Final[tuple[Name, ...]] = tuple(kind.name for kind in _KINDS)
_WAYS: Final[dict[Means, type[Way]]] = {way.means: way for way in (Processes, Containers)}


def _silent(service: Name, what: str) -> None:
    """Tells nobody."""


class Services:
    """The services of one data folder.

    Args:
        settings: where they are, how large, and what starts them (`services_by`).
        report: is told what each of them is doing.
    """

    def __init__(self, settings: Settings, report: Report = _silent) -> None:
        self.settings = settings
        self._report = report
        self._services: dict[Name, Service] = {kind.name: kind(settings) for kind in _KINDS}

    def up(self, names: Sequence[Name] = ALL) -> None:
        """Starts what is down, all at once, and waits until everything named is healthy."""
        way = self._way(self._means_to_start())
        with self._turn():
            way.up(self._chosen(names))

    def down(self, names: Sequence[Name] = ALL) -> None:
        """Ends what runs, all at once and in order, and waits for it."""
        with self._turn():
            self._started_way().stop(self._chosen(names))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Everything up and healthy; on leaving, whatever happens, what was down before is ended again."""
        way, services = self._way(self._means_to_start()), self._chosen(ALL)
        started: list[Name] = []
        try:
            with self._turn():
                started = [one.name for one in way.status(services) if one.pid is None]
                way.up(services)
            yield
        finally:
            if started:
                self.down(started)

    def start(self, name: Name) -> None:
        """Starts one service and waits until it is healthy."""
        self.up([name])

    def stop(self, name: Name) -> None:
        """Ends one service in order and waits for it."""
        self.down([name])

    def kill(self, name: Name) -> None:
        """Ends one service as a crash does (KILL): nothing is flushed, nobody is told."""
        with self._turn():
            self._started_way().kill(self._chosen([name]))

    def forget(self) -> None:
        """Ends what runs and removes all that the services have kept."""
        with self._turn():
            way = self._started_way()
            way.stop(self._chosen(ALL))
            way.forget()

    def status(self) -> list[Status]:
        """How each service is."""
        return self._started_way().status(self._chosen(ALL))

    def _chosen(self, names: Sequence[Name]) -> list[Service]:
        return [self._services[name] for name in names]

    def _way(self, means: Means) -> Way:
        return _WAYS[means](self.settings, self._report)

    def _started_way(self) -> Way:
        """What may run now; where nothing was ever started, that of pid files, which finds nothing."""
        return self._way(claimed(self.settings) or "jars")

    def _means_to_start(self) -> Means:
        kept, wanted = claimed(self.settings), self.settings.services_by
        if kept is not None and wanted not in {"auto", kept}:
            raise Problem(
                f"services_by is {wanted}, but what the services of {self.settings.data} keep was begun with {kept}.\n"
                f"Choose another data folder, or forget what they keep: linkcast services forget"
            )
        return choose(kept or wanted, self.settings.cache)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One command on a data folder at a time."""
        self.settings.data.mkdir(parents=True, exist_ok=True)
        with (self.settings.data / "services.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
