"""Fixtures for all tests, who runs which, and how hypothesis looks for examples: the same each time, for everyone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.services import fresh_topics, services

__all__ = ["fresh_topics", "services"]

_QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50, suppress_health_check=_QUIET)
settings.register_profile("search", deadline=None, max_examples=2_000, suppress_health_check=_QUIET)
settings.load_profile("ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs services, so that `pytest -m "not services"` is quick and needs nothing."""
    for item in items:
        if "services" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.services)


#: Where tests use the real services: one runner plays all of these, one after the other, so that they are started once.
_ON_SERVICES: Final = (
    *("tests/faults/", "tests/pipeline/", "tests/upgrade/"),
    *("tests/browser/test_servers.py", "tests/browser/test_whole.py"),
)


class OneForTheServices(LoadScopeScheduling):  # type: ignore[misc] # published without types
    """With several runners: one has the tests on real services, the others those that need none, file by file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "services" if file.startswith(_ON_SERVICES) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneForTheServices:
    """See `OneForTheServices`."""
    return OneForTheServices(config, log)


_MEASURED: Final = "measured"


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says what was measured, at the end of it all, to whoever runs the tests."""
    return lambda what: request.node.user_properties.append((_MEASURED, what))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests had to tell."""
    for report in terminalreporter.getreports("passed"):
        for name, what in report.user_properties:
            if name == _MEASURED:
                terminalreporter.write_line(what)
