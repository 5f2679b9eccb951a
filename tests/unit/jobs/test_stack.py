from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.problem import Problem
from jobs.services.process import spawn
from jobs.stack import Stack, as_environment
from streams.settings import PREFIX, load


def test_what_a_child_process_is_given_it_reads_as_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = load(None, cassandra_contact_points=("127.0.0.1",), partitions=8)
    for name, value in as_environment(given).items():
        monkeypatch.setenv(name, value)
    read = load(None)
    assert (read.partitions, read.cassandra_contact_points) == (8, ("127.0.0.1",))


@pytest.mark.parametrize("command", ["run", "demo --seconds 10 --data"])
def test_a_data_folder_is_of_one_run_or_demo_at_a_time(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without Java and Docker nothing would start
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv(f"{PREFIX}DATA", str(tmp_path))
    words = [*command.split(), *([str(tmp_path)] if command.endswith("--data") else [])]
    with Stack(load(None, data=tmp_path)).alone():
        ended = CliRunner().invoke(app, words)
    assert f"already uses {tmp_path}" in str(ended.exception)


def test_a_data_folder_is_free_when_the_run_before_ended_and_left_nothing(tmp_path: Path) -> None:
    stack = Stack(load(None, data=tmp_path))
    with pytest.raises(ZeroDivisionError), stack.alone():
        raise ZeroDivisionError
    with stack.alone():
        pass
    (tmp_path / "run").mkdir()
    left = spawn([shutil.which("sleep") or "", "60"], tmp_path / "log", tmp_path / "run" / "groups.pid", os.environ)
    try:
        with pytest.raises(Problem, match="groups still runs"), stack.alone():
            pass
    finally:
        stack.stop()
    assert not left.alive
