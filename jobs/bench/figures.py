"""What a measurement finds: figures with their targets and baselines, and what is drawn."""

from __future__ import annotations

import enum
import math
import statistics
from dataclasses import dataclass, field


class Comparison(enum.StrEnum):
    """How a value stands to its target."""

    AT_LEAST = "≥"
    AT_MOST = "≤"
    EXACTLY = "="


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should reach.

    Attributes:
        comparison: on which side of the number it should lie.
        number: the number.
    """

    comparison: Comparison
    number: float

    def met_by(self, value: float) -> bool:
        """Whether `value` reaches it; what is no number never does."""
        match self.comparison:
            case Comparison.AT_LEAST:
                return value >= self.number
            case Comparison.AT_MOST:
                return value <= self.number
            case Comparison.EXACTLY:
                return math.isclose(value, self.number, abs_tol=1e-9)

    def __str__(self) -> str:
        return f"{self.comparison} {self.number:,g}"


def at_least(number: float) -> Target:
    """A target to reach or pass."""
    return Target(Comparison.AT_LEAST, number)


def at_most(number: float) -> Target:
    """A target to stay at or below."""
    return Target(Comparison.AT_MOST, number)


def exactly(number: float) -> Target:
    """A target to hit."""
    return Target(Comparison.EXACTLY, number)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a figure is measured against, in the same run.

    Attributes:
        text: what it is, in words.
        samples: what was measured of it, in the order of the figure's own; empty where it is a fixed number.
        unit: of the samples.
    """

    text: str
    samples: tuple[float, ...] = ()
    unit: str = ""

    @property
    def value(self) -> float | None:
        """The median of what was measured; None where nothing was."""
        return statistics.median(self.samples) if self.samples else None


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, measured several times in one run.

    Attributes:
        name: its name in the registry.
        unit: of its samples: msgs/s, ratio, ms, ...
        samples: one a repetition; a ratio's are the ratios of each repetition to its neighbour of the baseline.
        target: what it should reach; None where there is none.
        baseline: what it is measured against.
        note: how to read it, in a sentence or two.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    target: Target | None = None
    baseline: Baseline | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError(f"{self.name} has no samples")

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.samples)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return None if self.target is None else self.target.met_by(self.value)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a plot."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across a plot that says where something lies: a target, a moment.

    Attributes:
        label: what it is.
        x: where it crosses the x axis; None for a horizontal one.
        y: where it crosses the y axis; None for a vertical one.
    """

    label: str
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of the page of benchmarks.

    Attributes:
        name: its file's name, without an ending.
        title: what it shows.
        x_label: what lies along x, with its unit.
        y_label: what lies along y, with its unit.
        series: its lines.
        marks: lines across.
        log_x: whether x grows by factors.
        log_y: whether y does.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What one module measured."""

    figures: tuple[Figure, ...]
    plots: tuple[Plot, ...] = field(default=())
