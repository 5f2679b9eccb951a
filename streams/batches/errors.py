"""What can go wrong with a lane, and what of it stops the worker."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from streams.batches.changelog import PartitionCountError
from streams.batches.rejects import RejectShareError
from streams.batches.store import StoreInUseError
from tables.versions import NewerStateError


class CoreBugError(Exception):
    """The core raised where it must not: in a tick, or for a record that was already set aside."""


class FencedError(Exception):
    """Another producer took the partition over, and no rebalance said so."""


class ConsumerGoneError(Exception):
    """The consumer's thread ended under a lane that still serves."""


class LaneDiedError(Exception):
    """A lane's task ended and nobody had asked it to."""


class NotOwnerError(Exception):
    """The group moved on while this lane was opening."""


class UnavailableError(Exception):
    """A view cannot be answered by this worker now."""


#: Where errors come from whose text is known to quote nothing but names and numbers.
_TELLING: Final = ("streams.", "tables.", "topics.", "jobs.", "aiokafka.", "kafka.", "cassandra.", "redis.", "aiohttp.")


def said(error: BaseException) -> str:
    """An error's kind, and its text where that can't quote what was being handled."""
    kind = type(error)
    telling = f"{kind.__module__}.".startswith(_TELLING) or isinstance(error, OSError)
    return f"{kind.__name__}: {error}" if telling else kind.__name__


def where_raised(error: BaseException, frames: int = 4) -> str:
    """An error's kind and where it was raised, without its text: that may quote a message."""
    places = traceback.extract_tb(error.__traceback__)[-frames:]
    return " < ".join([type(error).__name__, *(f"{Path(p.filename).name}:{p.lineno} {p.name}" for p in places[::-1])])


#: What no retry mends: the worker stops.
FATAL: Final = (
    *(CoreBugError, RejectShareError, FencedError, LaneDiedError, ConsumerGoneError),
    *(PartitionCountError, StoreInUseError, NewerStateError),
)
