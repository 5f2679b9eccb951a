"""Fixtures for all tests, and how hypothesis looks for examples: the same ones each time, for everyone."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

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
