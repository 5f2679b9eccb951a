from __future__ import annotations

import os
import shutil
import signal
from dataclasses import asdict, replace
from json import dumps
from pathlib import Path
from typing import Any

import pytest

from jobs.services.process import Process, recorded, spawn


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return spawn([shutil.which("sleep") or "", "60"], tmp_path / "log", tmp_path / "pid.json", os.environ)


def test_a_process_is_known_until_it_ends(process: Process, tmp_path: Path) -> None:
    assert recorded(tmp_path / "pid.json") == process
    assert 0 <= process.uptime_s < 30
    process.signal(signal.SIGTERM)
    assert process.ends_within(5)
    assert recorded(tmp_path / "pid.json") is None


@pytest.mark.parametrize("changed", [{"start_ticks": 1}, {"boot": "another"}])
def test_another_process_with_the_same_pid_is_not_ours(process: Process, changed: Any, tmp_path: Path) -> None:
    other = replace(process, **changed)
    (tmp_path / "pid.json").write_text(dumps(asdict(other)))
    assert recorded(tmp_path / "pid.json") is None
    other.signal(signal.SIGKILL)
    assert process.alive
    process.signal(signal.SIGKILL)
    assert process.ends_within(5)


def test_the_log_of_the_start_before_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second", "third"):
        spawn(["/bin/echo", word], tmp_path / "log", tmp_path / "pid.json", os.environ).ends_within(5)
    assert ((tmp_path / "log").read_text(), (tmp_path / "log.1").read_text()) == ("third\n", "second\n")
