"""The page of benchmarks and its plots, made from the kept results alone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from jobs.bench import sizing
from jobs.bench.figures import Plot
from jobs.bench.results import KeptFigure, Machine, Results

_INTRO: Final = """\
# Benchmarks

What Linkcast does a second, and what it costs, beside what people would use instead. Each figure and its baseline are
measured in turns within one run, so that both saw the same machine; a ratio is that of two neighbours in time. A value
is the median of its samples. All of it runs on one machine: broker, workers, load and readers share its cores.

```console
$ make bench                        # everything; about 20 minutes on two cores
$ make bench ONLY=ingest_msgs_per_s # one figure
$ linkcast bench --quick            # does everything work? small numbers, kept elsewhere
$ linkcast bench --profile          # flame graphs of the workers beside the data
```

This page and `results.json` are written by it. What profiles showed, and what was changed for it:
[what was tried](tried.md).
"""
_MET: Final = {True: "met", False: "**missed**", None: ""}
_COLOURS: Final = ("#2563eb", "#d97706", "#059669", "#7c3aed", "#dc2626", "#475569")


def write(folder: Path, results: Results) -> None:
    """The page, the one for sizing, and a picture for each plot."""
    (folder / "README.md").write_text(page(results))
    (folder / "sizing.md").write_text(sizing.page(results))
    for kept in results.plots:
        draw(kept.plot, folder / f"{kept.plot.name}.svg")


def page(results: Results) -> str:
    """The page."""
    return "\n".join([_INTRO, *_machines(results), *_overview(results.figures), *_sections(results)]) + "\n"


def _machines(results: Results) -> Iterator[str]:
    if not results.figures:
        yield "Nothing has been measured yet.\n"
        return
    yield "## Where\n"
    for machine in dict.fromkeys(figure.machine for figure in results.figures):
        names = [f"`{figure.name}`" for figure in results.figures if figure.machine == machine]
        what = "All figures" if len(names) == len(results.figures) else ", ".join(names)
        yield f"{what}: {_described(machine)}.\n"


def _described(machine: Machine) -> str:
    on = f"{machine.system}, Python {machine.python}"
    return f"{machine.cores} cores ({machine.processor}), {machine.memory_gb} GB, {on}"


def _overview(figures: Sequence[KeptFigure]) -> Iterator[str]:
    if not figures:
        return
    yield "## All figures\n"
    yield "| figure | value | smallest … largest | target | |"
    yield "|---|---:|---:|---:|---|"
    for figure in figures:
        value = f"{shown(figure.value)} {figure.unit}"
        spread = f"{shown(figure.min)} … {shown(figure.max)}"
        yield f"| `{figure.name}` | {value} | {spread} | {figure.target or ''} | {_MET[figure.met]} |"
    yield ""


def _sections(results: Results) -> Iterator[str]:
    for module in dict.fromkeys(figure.module for figure in results.figures):
        title, _, how = (inspect.getdoc(import_module(module)) or module).partition("\n")
        yield f"## {title.rstrip('.')}\n"
        yield f"{how.strip()}\n"
        for figure in results.figures:
            if figure.module == module:
                yield from _figure(figure)
        for kept in results.plots:
            if kept.module == module:
                yield f"![{kept.plot.title}]({kept.plot.name}.svg)\n"


def _figure(figure: KeptFigure) -> Iterator[str]:
    yield f"### `{figure.name}`\n"
    target = f"; target {figure.target}: {_MET[figure.met]}" if figure.target else ""
    samples = ", ".join(map(shown, figure.samples))
    yield f"**{shown(figure.value)} {figure.unit}**{target}. Samples: {samples}. Measured {figure.at[:10]}.\n"
    if (baseline := figure.baseline) is not None:
        measured = "" if baseline.value is None else f" {shown(baseline.value)} {baseline.unit}"
        several = f" ({', '.join(map(shown, baseline.samples))})" if len(baseline.samples) > 1 else ""
        yield f"Beside it: {baseline.text}{':' if measured else ''}{measured}{several}.\n"
    if figure.note:
        yield f"{figure.note}\n"


def shown(value: float) -> str:
    """A kept number for people."""
    return f"{value:,.10f}".rstrip("0").rstrip(".")


def draw(plot: Plot, file: Path) -> None:
    """A picture of a plot; the same bytes for the same numbers."""
    import matplotlib as mpl  # noqa: PLC0415 -- slow to import, and only here needed

    mpl.use("svg")
    with mpl.rc_context({"svg.hashsalt": plot.name, "svg.fonttype": "none", "font.size": 10}):
        from matplotlib.figure import Figure  # noqa: PLC0415 -- as above

        figure = Figure(figsize=(8, 4.2), layout="constrained")
        axes = figure.add_subplot()
        _lines(plot, axes)
        figure.savefig(file, metadata={"Date": None})


def _lines(plot: Plot, axes: Any) -> None:
    for number, series in enumerate(plot.series):
        colour = _COLOURS[number % len(_COLOURS)]
        marker = "o" if len(series.x) <= _FEW else ""
        axes.plot(series.x, series.y, label=series.label, color=colour, linewidth=1.8, marker=marker, markersize=4)
    for mark in plot.marks:
        line = axes.axvline if mark.x is not None else axes.axhline
        line(mark.x if mark.x is not None else mark.y, color="#94a3b8", linestyle="--", linewidth=1, label=mark.label)
    axes.set_title(plot.title, loc="left", fontweight="bold")
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    if plot.log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,g}")
    if plot.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:,g}")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(color="#e2e8f0")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


_FEW: Final = 12  # points that are shown one by one
