"""What a lane counts for whoever watches: once a batch, never once a record."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiokafka.errors import KafkaError

from streams.batches.errors import NotOwnerError
from streams.batches.inputs import HoleError
from streams.batches.producer import FENCED
from streams.batches.store import StoreError

#: Upper bounds in seconds: a step of a batch takes from tens of microseconds to the transaction's time-out.
STEP_BOUNDS_S: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: An opening reads a changelog: up to minutes.
OPENING_BOUNDS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
#: Records of a batch.
BATCH_BOUNDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)
#: The steps of a batch, in their order.
STEPS: Final = ("apply", "effects", "send", "commit", "keep")


class Spread:
    """How values spread over fixed bounds; one costs a bisection."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Start empty.

        Args:
            bounds: the upper bounds, rising; a last one without bound is implied.
        """
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0  #: of all values

    def add(self, value: float) -> None:
        """One more value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @classmethod
    def sum(cls, spreads: Iterable[Spread]) -> Spread:
        """All values of several, at least one, with the same bounds."""
        first, *others = spreads
        added = cls(first.bounds)
        for one in (first, *others):
            added.counts = [a + b for a, b in zip(added.counts, one.counts, strict=True)]
            added.total += one.total
        return added

    def cumulative(self) -> list[tuple[str, int]]:
        """For each bound, as Prometheus writes it, how many values reach no higher."""
        found, below = [], 0
        for bound, count in zip((*map(str, map(float, self.bounds)), "+Inf"), self.counts, strict=True):
            below += count
            found.append((bound, below))
        return found


def _steps() -> dict[str, Spread]:
    return {step: Spread(STEP_BOUNDS_S) for step in STEPS}


@dataclass
class Counters:
    """What a lane did since the worker started.

    Attributes:
        aborts: times it forgot everything and began anew.
        abort_reasons: the same by reason, and how often it was fenced.
        bytes: keys' and values' bytes written, by topic.
        steps: seconds of each step of a batch; see STEPS.
        transactions: seconds from the begin of a transaction to its commit.
        recoveries: seconds it took to read the changelog.
        openings_s: seconds from an assignment, or from beginning anew, until it served.
        batch_sizes: records of a batch.
        progressed_at: when it last committed, was assigned, or had nothing to do; by the monotonic clock.
    """

    records: int = 0
    batches: int = 0
    ticks: int = 0
    rejects: int = 0
    poisoned: int = 0
    aborts: int = 0
    openings: int = 0
    abort_reasons: Counter[str] = field(default_factory=Counter)
    outputs: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    opening_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    gauges: dict[str, int] = field(default_factory=dict)
    steps: dict[str, Spread] = field(default_factory=_steps)
    transactions: Spread = field(default_factory=lambda: Spread(STEP_BOUNDS_S))
    recoveries: Spread = field(default_factory=lambda: Spread(OPENING_BOUNDS_S))
    openings_s: Spread = field(default_factory=lambda: Spread(OPENING_BOUNDS_S))
    batch_sizes: Spread = field(default_factory=lambda: Spread(BATCH_BOUNDS))
    progressed_at: float = 0.0


#: Why lanes begin anew, for counting: few names, so that they can be labels.
ABORT_REASONS: Final = ("timeout", "hole", "not_owner", "store", "fenced", "kafka", "other")


def abort_reason(error: BaseException) -> str:
    """The one of ABORT_REASONS that an error belongs to."""
    kinds: tuple[tuple[str, type[BaseException] | tuple[type[BaseException], ...]], ...] = (
        ("timeout", TimeoutError),
        ("hole", HoleError),
        ("not_owner", NotOwnerError),
        ("store", StoreError),
        ("fenced", FENCED),
        ("kafka", (KafkaError, OSError)),
    )
    return next((reason for reason, kind in kinds if isinstance(error, kind)), "other")
