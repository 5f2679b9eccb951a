"""What is kept of benchmarks: one file, in which a run replaces the figures that it measured and leaves the others."""

from __future__ import annotations

import dataclasses
import math
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from jobs.bench.figures import Baseline, Figure, Plot, Result, Series

_DIGITS: Final = 4
_FILE: Final = "results.json"


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured."""

    cores: int
    processor: str
    memory_gb: int
    system: str
    python: str


class KeptBaseline(msgspec.Struct, frozen=True):
    """What a figure was measured against."""

    text: str
    value: float | None
    unit: str
    samples: tuple[float, ...]


class KeptFigure(msgspec.Struct, frozen=True):
    """One figure as it was last measured.

    Attributes:
        name: its name.
        module: what measured it.
        value: the median of the samples.
        unit: of the samples.
        min: the smallest sample.
        max: the largest.
        samples: one a repetition.
        target: what it should reach, for people; None without one.
        met: whether it does; None without a target.
        baseline: what it was measured against.
        note: how to read it.
        at: when, UTC.
        machine: where.
    """

    name: str
    module: str
    value: float
    unit: str
    min: float
    max: float
    samples: tuple[float, ...]
    target: str | None
    met: bool | None
    baseline: KeptBaseline | None
    note: str
    at: str
    machine: Machine


class KeptPlot(msgspec.Struct, frozen=True):
    """One plot as it was last measured."""

    module: str
    plot: Plot


class Results(msgspec.Struct, frozen=True):
    """All that is known."""

    figures: tuple[KeptFigure, ...] = ()
    plots: tuple[KeptPlot, ...] = ()

    def with_result(self, module: str, result: Result, machine: Machine, at: datetime) -> Results:
        """These, with what a module measured in place of what it measured before."""
        figures = {figure.name: figure for figure in self.figures}
        figures |= {figure.name: _kept(module, figure, machine, at) for figure in result.figures}
        plots = {kept.plot.name: kept for kept in self.plots}
        plots |= {plot.name: KeptPlot(module, _rounded_plot(plot)) for plot in result.plots}
        return Results(tuple(figures.values()), tuple(plots.values()))

    def in_order(self, names: Iterable[str]) -> Results:
        """These in the order of the registry; what it knows no more is left out."""
        places = {name: place for place, name in enumerate(names)}
        figures = sorted((one for one in self.figures if one.name in places), key=lambda one: places[one.name])
        modules = {figure.module for figure in figures}
        return Results(tuple(figures), tuple(kept for kept in self.plots if kept.module in modules))


def load(folder: Path) -> Results:
    """The results of a folder; none where nothing is."""
    file = folder / _FILE
    return msgspec.json.decode(file.read_bytes(), type=Results) if file.exists() else Results()


def save(folder: Path, results: Results) -> None:
    """Write them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _FILE).write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def this_machine() -> Machine:
    """Where we are."""
    cpu = _fields(Path("/proc/cpuinfo"))
    memory_kib = int(_fields(Path("/proc/meminfo"))["MemTotal"].split()[0])
    return Machine(
        cores=sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines()),
        processor=cpu.get("model name", platform.machine()),
        memory_gb=round(memory_kib / (1 << 20)),
        system=f"{platform.system()} {platform.release().split('-')[0]}",
        python=platform.python_version(),
    )


def now() -> datetime:
    """The time a result is kept under."""
    return datetime.now(UTC)


def rounded(value: float) -> float:
    """A number to four digits: more of them say nothing."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, max(0, _DIGITS - 1 - math.floor(math.log10(abs(value)))))


def plain(value: float) -> str:
    """A number for the last lines of a run: no commas, no exponent."""
    text = f"{rounded(value):.10f}".rstrip("0").rstrip(".") if math.isfinite(value) else str(value)
    return text or "0"


def _fields(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _kept(module: str, figure: Figure, machine: Machine, at: datetime) -> KeptFigure:
    return KeptFigure(
        name=figure.name,
        module=module,
        value=rounded(figure.value),
        unit=figure.unit,
        min=rounded(min(figure.samples)),
        max=rounded(max(figure.samples)),
        samples=tuple(map(rounded, figure.samples)),
        target=None if figure.target is None else str(figure.target),
        met=figure.met,
        baseline=None if figure.baseline is None else _kept_baseline(figure.baseline),
        note=figure.note,
        at=at.isoformat(timespec="seconds"),
        machine=machine,
    )


def _kept_baseline(baseline: Baseline) -> KeptBaseline:
    value = None if baseline.value is None else rounded(baseline.value)
    return KeptBaseline(baseline.text, value, baseline.unit, tuple(map(rounded, baseline.samples)))


def _rounded_plot(plot: Plot) -> Plot:
    series = tuple(Series(one.label, tuple(map(rounded, one.x)), tuple(map(rounded, one.y))) for one in plot.series)
    return dataclasses.replace(plot, series=series)
