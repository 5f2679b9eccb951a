"""What a worker's `/metrics` told at one moment, and what happened between two."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families


class Samples:
    """Samples by name."""

    def __init__(self, found: Mapping[str, list[tuple[Mapping[str, str], float]]]) -> None:
        self._found = found

    @classmethod
    def parse(cls, text: str) -> Samples:
        """Read them from the text format."""
        found: defaultdict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name].append((sample.labels, sample.value))
        return cls(found)

    def total(self, name: str, **labels: str) -> float:
        """All samples of a name with these labels, added up."""
        return sum(
            value
            for found, value in self._found.get(name, ())
            if all(found.get(label) == wanted for label, wanted in labels.items())
        )

    def by(self, name: str, label: str) -> dict[str, float]:
        """The samples of a name added up for each value of a label."""
        added: defaultdict[str, float] = defaultdict(float)
        for found, value in self._found.get(name, ()):
            added[found.get(label, "")] += value
        return dict(added)


class Passed:
    """What happened between two looks at one worker."""

    def __init__(self, now: Samples, before: Samples | None, seconds: float) -> None:
        """Compare.

        Args:
            now: the later look.
            before: the earlier one; None when there was none.
            seconds: the time between them.
        """
        self._now = now
        self._before = before
        self._seconds = max(seconds, 0.001)

    def more(self, name: str, **labels: str) -> float:
        """By how much a counter rose; all of it where the worker was started anew in between."""
        now = self._now.total(name, **labels)
        before = 0.0 if self._before is None else self._before.total(name, **labels)
        return now - before if now >= before else now

    def per_s(self, name: str, **labels: str) -> float:
        """How much it rose a second; 0 when there was no earlier look."""
        return 0.0 if self._before is None else self.more(name, **labels) / self._seconds

    def mean(self, histogram: str, **labels: str) -> float | None:
        """The mean of what a histogram took in meanwhile; None if that is nothing."""
        count = self.more(f"{histogram}_count", **labels)
        return self.more(f"{histogram}_sum", **labels) / count if count else None
