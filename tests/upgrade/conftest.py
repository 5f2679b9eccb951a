"""A stage of its own for each test: what one leaves may be too new for another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobs.services import Services
from tests.faults.conftest import Theatre
from tests.faults.stage import Stage

__all__ = ["stage"]


@pytest.fixture
def stage(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    theatre = Theatre(services, tmp_path_factory)
    yield theatre.stage()
    theatre.close()
