"""What a lane counts for whoever watches."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field


@dataclass
class Counters:
    """What a lane did since the worker started."""

    records: int = 0
    batches: int = 0
    ticks: int = 0
    rejects: int = 0
    poisoned: int = 0
    aborts: int = 0
    openings: int = 0
    outputs: Counter[str] = field(default_factory=Counter)
    transaction_s: deque[float] = field(default_factory=lambda: deque(maxlen=1_000))
    opening_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    gauges: dict[str, int] = field(default_factory=dict)
