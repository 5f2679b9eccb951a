"""`linkcast bench`: measures the figures, each beside its baseline, and writes the page of benchmarks."""

from __future__ import annotations

import asyncio
import signal
import time
import traceback
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console
from rich.status import Status
from rich.table import Table

from jobs.bench import page, results
from jobs.bench.figures import Figure, Result
from jobs.bench.lab import Lab, Pace
from jobs.bench.registry import FIGURES, measure_of, modules
from jobs.problem import Problem
from streams.settings import Settings

_INTERRUPTED: Final = 130  # as a shell says it
_DOCS: Final = Path(__file__).parents[2] / "docs" / "benchmarks"
_MET_WIDTH: Final = len("missed")
_MET: Final = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}

app = typer.Typer(add_completion=False)


@app.command()
def bench(
    context: typer.Context,
    only: Annotated[list[str] | None, typer.Option(help="One figure; may be given several times.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="How often each figure and its baseline are measured.")] = 3,
    quick: Annotated[
        bool, typer.Option(help="Small numbers: shows that everything works, not how fast. Docs are left alone.")
    ] = False,
    profile: Annotated[bool, typer.Option(help="Flame graphs of the workers, in the data folder.")] = False,
    into: Annotated[Path | None, typer.Option(help="Folder for results and page. Default: docs/benchmarks.")] = None,
) -> None:
    """Measure, each figure several times in turns with its baseline; the last lines are the figures.

    Services and workers run on free ports in a folder of their own, which is gone afterwards. Nothing else should run
    on the machine meanwhile.
    """
    settings: Settings = context.obj
    wanted = _known(only)
    home = settings.data / "bench"
    folder = into or (home / "quick" if quick else _DOCS)
    run = _Run(Console(highlight=False), folder)
    lab = Lab(
        home / "lab",
        file=context.find_root().params.get("settings"),
        pace=Pace(repeat, quick),
        wanted=wanted,
        tell=run.tell,
        profiles=home / "profiles" if profile else None,
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run.perform(lab, wanted))
    except (KeyboardInterrupt, asyncio.CancelledError):
        run.console.print("stopped; what was measured before is written")
        raise typer.Exit(_INTERRUPTED) from None
    run.end(profiles=lab.profiles)


def _known(only: list[str] | None) -> frozenset[str]:
    """The figures asked for; all of them when none is named."""
    wanted = frozenset(only or FIGURES)
    if unknown := wanted - FIGURES.keys():
        raise Problem(f"No figure is called {', '.join(sorted(unknown))}. There are:\n  " + "\n  ".join(FIGURES))
    return wanted


@dataclass
class _Run:
    """One run: what it found so far."""

    console: Console
    folder: Path
    figures: list[Figure] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)
    began_s: float = field(default_factory=time.monotonic)
    _status: Status | None = None

    def tell(self, what: str) -> None:
        """A line of what happens."""
        passed = timedelta(seconds=int(time.monotonic() - self.began_s))
        self.console.print(f"[dim]{passed}[/] {what}", markup=True, soft_wrap=True)
        if self._status is not None:
            self._status.update(what)

    async def perform(self, lab: Lab, wanted: frozenset[str]) -> None:
        """Each module in turn; one that fails does not keep the others from being measured."""
        _cancel_on_sigterm()
        machine = results.this_machine()
        with self.console.status("") as self._status:
            async with lab.open():
                for module in modules(wanted):
                    self.tell(f"[bold]{module.rpartition('.')[2]}[/]")
                    try:
                        result = await measure_of(module)(lab)
                    except Exception as error:  # noqa: BLE001 - told at the end
                        self.failures[module] = error
                        self.tell(f"[red]failed[/]: {type(error).__name__}")
                        continue
                    lab.known.update({figure.name: figure.value for figure in result.figures})
                    self._keep(module, result, machine)

    def _keep(self, module: str, result: Result, machine: results.Machine) -> None:
        """After each module, so that a run that is broken off leaves what it has."""
        self.figures += result.figures
        kept = results.load(self.folder).with_result(module, result, machine, results.now()).in_order(FIGURES)
        results.save(self.folder, kept)
        page.write(self.folder, kept)
        self.console.print(_table(list(result.figures)))

    def end(self, profiles: Path | None) -> None:
        """The table of everything, what failed, and the last lines."""
        console = self.console
        console.print(_table(self.figures))
        console.print(f"Written: {self.folder}/results.json, README.md and plots", soft_wrap=True)
        if profiles is not None:
            console.print(f"Profiles: {profiles}/*.svg", soft_wrap=True)
        for module, error in self.failures.items():
            told = str(error) if isinstance(error, Problem) else "".join(traceback.format_exception(error))
            console.print(f"{module} failed: {told}", style="red", markup=False, soft_wrap=True)
        for figure in self.figures:
            console.print(f"FIGURE {figure.name} {results.plain(figure.value)} {figure.unit}", soft_wrap=True)
        if self.failures:
            raise typer.Exit(1)


def _cancel_on_sigterm() -> None:
    """So that what was started is stopped, as on Ctrl-C."""
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _table(figures: list[Figure]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("figure", no_wrap=True, min_width=max((len(figure.name) for figure in figures), default=0))
    for heading in ("value", "from … to", "target", "beside it"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("", no_wrap=True, min_width=_MET_WIDTH)
    for figure in figures:
        baseline = figure.baseline
        beside = "" if baseline is None or baseline.value is None else f"{_shown(baseline.value)} {baseline.unit}"
        table.add_row(
            figure.name,
            f"{_shown(figure.value)} {figure.unit}",
            f"{_shown(min(figure.samples))} … {_shown(max(figure.samples))}" if len(figure.samples) > 1 else "",
            str(figure.target or ""),
            beside,
            _MET[figure.met],
        )
    return table


def _shown(value: float) -> str:
    return page.shown(results.rounded(value))
