"""A worker's log: one JSON object a line, or lines for people on a terminal. No message, no token, no secret.

Every line knows its worker; a lane's also its kind, partition and generation. Two rules keep it harmless:

- the text of an error that Python or a codec raised is left out, it may quote what was handled; its kind and its place
  tell enough. What our own code and the clients of Kafka, Cassandra and Redis say stays in;
- of one kind of line LOG_LINES are written in LOG_WINDOW_MS; the next one after that says how many were left out.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from time import monotonic
from traceback import FrameSummary, TracebackException
from types import TracebackType
from typing import Any, Final, TextIO

import structlog
from structlog.typing import Processor

from streams.batches.errors import said
from topics import limits

_QUIET: Final = ("aiokafka", "cassandra", "faust", "mode", "aiohttp")
_ROOT: Final = Path(__file__).parent.parent
_FRAMES: Final = 12

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class RateLimit(logging.Filter):
    """Lets LOG_LINES lines of each place in the code pass in LOG_WINDOW_MS, and counts the others."""

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[tuple[str, int], tuple[float, int]] = {}
        self._left_out: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is written."""
        place, now = (record.pathname, record.lineno), monotonic()
        began, lines = self._windows.get(place, (now, 0))
        if (now - began) * 1000 >= limits.LOG_WINDOW_MS:
            began, lines = now, 0
        self._windows[place] = began, lines + 1
        if lines >= limits.LOG_LINES:
            self._left_out[place] = self._left_out.get(place, 0) + 1
            return False
        if left_out := self._left_out.pop(place, 0):
            record.left_out = left_out
        return True


def configure(level: str, form: str, *, stream: TextIO = sys.stderr, **fields: str) -> None:
    """Send everything that is logged to `stream`.

    Args:
        level: the least that is written: DEBUG, INFO, WARNING or ERROR.
        form: json, pretty, or auto: pretty on a terminal.
        stream: where to.
        **fields: on every line: the worker's cluster, role and name.
    """
    pretty = form == "pretty" or (form == "auto" and stream.isatty())
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=("left_out", "route", "status", "ms")),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    after = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _errors]
    shown: list[Processor] = (
        [*after, structlog.dev.ConsoleRenderer(colors=stream.isatty())]
        if pretty
        else [*after, _named(fields), structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(stream)
    handler.addFilter(RateLimit())
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=shown))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    # It warns of each send that has to wait for the transaction before; of what fails for good the lane tells.
    logging.getLogger("aiokafka.producer.sender").setLevel(logging.ERROR)


def _named(fields: Mapping[str, str]) -> Processor:
    """Puts what comes first, first: when, how bad, what, where; levels in capitals, as people look for them."""

    def named(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        first = {
            "at": event.pop("timestamp", None),
            "level": str(event.pop("level", "")).upper(),
            "event": event.pop("event", ""),
        }
        return {**first, **fields, **event}

    return named


def _errors(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An error as text: each of its chain with its kind, and where it was raised."""
    info = event.pop("exc_info", None)
    error = info if isinstance(info, BaseException) else info[1] if isinstance(info, tuple) else None
    if error is not None:
        event["exception"] = told(error)
    return event


def told(error: BaseException) -> str:
    """An error and what led to it, the first cause last; without texts that may quote what was handled."""
    parts: list[str] = []
    at: BaseException | None = error
    while at is not None and len(parts) < _FRAMES:
        frames = TracebackException.from_exception(at, capture_locals=False).stack[-_FRAMES:]
        parts.append("\n".join([said(at), *(f"  {_place(frame)}" for frame in reversed(frames))]))
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return "\ncaused by ".join(parts)


def _place(frame: FrameSummary) -> str:
    path = Path(frame.filename)
    shown = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else Path(*path.parts[-3:])
    return f"{shown}:{frame.lineno} in {frame.name}"
