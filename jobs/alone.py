"""What one command does at a time, on a folder: a lock that ends with whoever holds it, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from jobs.problem import Problem


@contextlib.contextmanager
def alone(lock: Path, otherwise: str) -> Iterator[None]:
    """Nobody else holds `lock` until this is left.

    Raises:
        Problem: somebody holds it; says `otherwise`.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem(otherwise) from None
        yield
