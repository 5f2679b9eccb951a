"""All of it, for people at their browsers: services, three workers, two gateways as processes."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.services.process import Process
from jobs.stack import Stack
from streams.settings import Settings
from tests.services import forget_stored, free_ports, own_settings

_READY_S = 240.0


@dataclass
class Whole:
    """What runs.

    Attributes:
        settings: where the services are.
        gateways: where people go.
        viewer: the worker that answers the gateways' pulls; it owns no group.
        stack: all processes.
    """

    settings: Settings
    gateways: tuple[str, str]
    viewer: Process
    stack: Stack


@pytest.fixture
def whole(fresh_topics: Settings, tmp_path: Path) -> Iterator[Whole]:
    settings = own_settings(fresh_topics, tmp_path)
    stack = Stack(settings)
    groups, users, first, second = free_ports(4)
    try:
        viewer = stack.start_worker("sinks", "sinks", settings.view_port)  # where gateways pull
        stack.start_worker("groups", "groups", groups)
        stack.start_worker("users", "users", users)
        for port in (settings.view_port, groups, users):
            _await(f"http://{settings.host}:{port}/ready", stack)
        stack.start_gateway("L1", first, [second])
        stack.start_gateway("L2", second, [first])
        gateways = f"http://{settings.host}:{first}", f"http://{settings.host}:{second}"
        for address in gateways:
            _await(f"{address}/health", stack)
        yield Whole(settings, gateways, viewer, stack)
    finally:
        for process in stack.running().values():
            process.signal(signal.SIGCONT)
        stack.stop()
        forget_stored(settings)


def _await(url: str, stack: Stack) -> None:
    """Wait until this answers with 200."""
    deadline_s = time.monotonic() + _READY_S
    while not _answers(url):
        words = "\n".join(f"--- {name}\n{stack.last_words(name)}" for name in stack.running())
        assert time.monotonic() < deadline_s, f"{url} is not there\n{words}"
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (OSError, urllib.error.URLError):
        return False
