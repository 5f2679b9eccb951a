from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
from dataclasses import asdict, replace
from json import dumps
from pathlib import Path
from typing import Any

import pytest

from jobs.services.process import Process, recorded, spawn
from jobs.services.whole import write_whole


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


@pytest.mark.parametrize("torn", [b"", b'{"pid": 1, "start', b"[]", b'{"pid": 1}', b'{"pid": "1"}', b"\xff"])
def test_a_pid_file_that_tells_no_process_is_of_none(torn: bytes, tmp_path: Path) -> None:
    (tmp_path / "pid.json").write_bytes(torn)
    assert recorded(tmp_path / "pid.json") is None


def test_a_process_that_cannot_be_recorded_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spawned: list[int] = []
    real = os.posix_spawn

    def posix_spawn(*args: Any, **kwargs: Any) -> int:
        spawned.append(real(*args, **kwargs))
        return spawned[-1]

    monkeypatch.setattr(os, "posix_spawn", posix_spawn)
    with pytest.raises(FileNotFoundError):
        spawn([shutil.which("sleep") or "", "3"], tmp_path / "log", tmp_path / "nowhere" / "pid.json", os.environ)
    (pid,) = spawned
    with contextlib.suppress(ChildProcessError):  # whoever ended it may have seen its end
        _, how = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(how)
    assert not Path(f"/proc/{pid}").exists()


def test_what_cannot_be_written_whole_leaves_what_was_there(tmp_path: Path) -> None:
    write_whole(tmp_path / "by", b"jars")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, limits[1]))  # as a disk that is full after three bytes
    try:
        with pytest.raises(OSError, match="large"):
            write_whole(tmp_path / "by", b"docker")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "by").read_bytes() == b"jars"
