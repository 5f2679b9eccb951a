"""Fixtures for all tests."""

from __future__ import annotations

import pytest

from tests.services import fresh_topics, services

__all__ = ["fresh_topics", "services"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs services, so that `pytest -m "not services"` is quick and needs nothing."""
    for item in items:
        if "services" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.services)
