"""A background process that outlives the command that started it, and is known again by more than its pid.

A pid alone may name somebody else's process later; so its start time and the machine's boot are recorded too, and a
process that does not match all three is not ours and is never signalled. Linux only: it reads /proc.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from jobs.services.whole import write_whole

_POLL_S: Final = 0.05
_KILLED_S: Final = 5.0
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One process, known by pid, start and boot.

    Attributes:
        pid: its number.
        start_ticks: when it started, in clock ticks since boot.
        boot: which boot of the machine that was.
    """

    pid: int
    start_ticks: int
    boot: str

    @property
    def alive(self) -> bool:
        """Whether it still runs. A child of ours that has ended is reaped on the way."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return self.boot == _boot() and _start_ticks(self.pid) == self.start_ticks

    @property
    def uptime_s(self) -> float:
        """For how long it has run."""
        return float(Path("/proc/uptime").read_text().split()[0]) - self.start_ticks / _TICKS_PER_S

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal if it still runs."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ends_within(self, timeout_s: float) -> bool:
        """Waits for its end; False when it still runs after `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        while self.alive:
            if time.monotonic() > deadline_s:
                return False
            time.sleep(_POLL_S)
        return True


def spawn(command: list[str], log: Path, pid_file: Path, environment: Mapping[str, str]) -> Process:
    """Starts `command` in a session of its own, its output in `log`, and records it in `pid_file`.

    The log of the start before is kept beside it as `<log>.1`. What cannot be recorded is ended: nobody would find it.
    """
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    pid = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    process = Process(pid, _start_ticks(pid) or 0, _boot())
    try:
        write_whole(pid_file, msgspec.json.encode(process))
    except BaseException:
        process.signal(signal.SIGKILL)
        process.ends_within(_KILLED_S)
        raise
    return process


def recorded(pid_file: Path) -> Process | None:
    """The process recorded in `pid_file` if it still runs, else None; so is what tells no process at all."""
    try:
        process = msgspec.json.decode(pid_file.read_bytes(), type=Process)
    except (FileNotFoundError, ValueError):
        return None
    return process if process.alive else None


def _boot() -> str:
    return _BOOT_ID.read_text().strip()


def _start_ticks(pid: int) -> int | None:
    """When the process started, or None when there is none or only its remains wait to be reaped.

    A killed process is a zombie as soon as its first thread is, while others still hold its ports: it has ended when
    that one is the last.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if state in "ZX" and threads <= 1 else int(rest[18])
