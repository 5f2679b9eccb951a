"""A stage for each test: the one of the test before, unless something went wrong on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.services import Services
from tests.faults.stage import Stage
from tests.services import forget_stored, in_thread, own_settings, recreate_topics


class Theatre:
    """At most one stage at a time."""

    def __init__(self, services: Services, folders: pytest.TempPathFactory) -> None:
        self._services = services
        self._folders = folders
        self._stage: Stage | None = None

    def stage(self) -> Stage:
        """A stage on which everything was right so far."""
        if self._stage is None or not self._stage.judged_good:
            self.close()
            self._services.up()
            in_thread(recreate_topics(self._services.settings))
            self._stage = Stage(own_settings(self._services.settings, Path(self._folders.mktemp("stage"))))
        return self._stage

    def close(self) -> None:
        """End its workers and forget what they stored."""
        stage, self._stage = self._stage, None
        if stage is None:
            return
        stage.tear_down()
        self._services.up()
        forget_stored(stage.settings)


@pytest.fixture(scope="module")
def theatre(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    opened = Theatre(services, tmp_path_factory)
    yield opened
    opened.close()


@pytest.fixture
def stage(theatre: Theatre) -> Stage:
    return theatre.stage()
