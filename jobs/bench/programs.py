"""Baselines are programs of their own: started, waited for, ended; Quix Streams in an environment made on demand."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from jobs.bench.lab import Lab
from jobs.problem import Problem
from jobs.services.process import Process, spawn

BASELINES: Final = Path(__file__).parent / "baselines"
_LOCK: Final = BASELINES / "quix.lock"
_STOP_S: Final = 20.0
_WORDS: Final = 2_000


async def answer_of(*command: str | Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON that a program prints on its last line.

    Raises:
        Problem: it failed.
    """
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        told, complained = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise Problem(f"{' '.join(map(str, command[:4]))} failed:\n{complained.decode(errors='replace')[-_WORDS:]}")
    answer: dict[str, Any] = json.loads(told.splitlines()[-1])
    return answer


class Program:
    """A baseline that runs until it is stopped."""

    def __init__(self, process: Process, log: Path) -> None:
        self.process = process
        self._log = log

    def last_words(self) -> str:
        """The end of what it printed."""
        return self._log.read_bytes()[-_WORDS:].decode(errors="replace") if self._log.exists() else ""


@contextlib.asynccontextmanager
async def running(
    folder: Path, name: str, *command: str | Path, environment: Mapping[str, str]
) -> AsyncIterator[Program]:
    """A program that runs meanwhile; its log and pid file lie in `folder`."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    process = spawn([*map(str, command)], log, folder / f"{name}.pid", {**os.environ, **environment})
    try:
        yield Program(process, log)
    finally:
        process.signal(signal.SIGTERM)
        if not await asyncio.to_thread(process.ends_within, _STOP_S):
            process.signal(signal.SIGKILL)
            await asyncio.to_thread(process.ends_within, _STOP_S)


async def quix_python(lab: Lab) -> Path:
    """The interpreter of an environment with Quix Streams, as quix.lock names it; made once a lock, then kept.

    Raises:
        Problem: it could not be made.
    """
    digest = hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]
    home = lab.kept / f"quix-{digest}"
    python = home / "bin" / "python"
    if (home / "made").exists():
        return python
    lab.tell("making an environment for Quix Streams (once)")
    shutil.rmtree(home, ignore_errors=True)
    for command in _making(home, python):
        await _done(*command)
    (home / "made").touch()
    return python


def _making(home: Path, python: Path) -> list[list[str | Path]]:
    if uv := shutil.which("uv"):
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, home],
            [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", _LOCK],
        ]
    install = ["install", "--disable-pip-version-check", "--quiet", "--require-hashes", "-r"]
    return [[sys.executable, "-m", "venv", home], [python, "-m", "pip", *install, _LOCK]]


async def _done(*command: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, complained = await process.communicate()
    if process.returncode:
        raise Problem(f"{' '.join(map(str, command))} failed:\n{complained.decode(errors='replace')[-_WORDS:]}")
