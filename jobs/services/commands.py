"""`linkcast services`: the verbs of `Services` for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from jobs.services.control import ALL, Services
from jobs.services.service import Name, Report

_HELP: Final = """Kafka, Redis and Cassandra on this machine, from jars or with Docker.

services_by says which: jars (needs a JDK, Maven and Redis), docker (needs Docker with its compose plugin), or auto:
jars where they can run, else Docker. A data folder stays with the way it was begun with.
"""

app = typer.Typer(add_completion=False, no_args_is_help=True, help=_HELP)

Chosen = Annotated[Name, typer.Argument(help="Which service.")]


@app.command()
def up(context: typer.Context) -> None:
    """Start all and wait until they are healthy. What runs already is left running."""
    with _told(context) as services:
        services.up()


@app.command()
def down(context: typer.Context) -> None:
    """Stop all, in order. Their data stays."""
    with _told(context) as services:
        services.down()


@app.command()
def start(context: typer.Context, service: Chosen) -> None:
    """Start one and wait until it is healthy."""
    with _told(context) as services:
        services.start(service)


@app.command()
def stop(context: typer.Context, service: Chosen) -> None:
    """Stop one, in order."""
    with _told(context) as services:
        services.stop(service)


@app.command()
def kill(context: typer.Context, service: Chosen) -> None:
    """Kill one as a crash would: to see what the pipeline does then."""
    with _told(context) as services:
        services.kill(service)


@app.command()
def forget(context: typer.Context) -> None:
    """Stop all and remove what they have kept, with Docker their volumes too. Nothing brings it back."""
    with _told(context) as services:
        services.forget()


@app.command()
def status(context: typer.Context) -> None:
    """Show pid, port, uptime and health. Ends with 1 unless all are healthy."""
    found = Services(context.obj).status()
    table = Table("service", "health", "port", "pid", "uptime", box=None, header_style="bold", pad_edge=False)
    for one in found:
        health = "[green]healthy[/]" if one.healthy else "[red]does not answer[/]" if one.pid else "[dim]down[/]"
        uptime = str(timedelta(seconds=int(one.uptime_s))) if one.pid else "-"
        table.add_row(one.name, health, str(one.port), str(one.pid or "-"), uptime)
    Console().print(table)
    if not all(one.healthy for one in found):
        raise typer.Exit(1)


def _in_plain_lines(console: Console) -> Report:
    """Tells each step in a line; of many downloads only that there are some."""
    told: set[str] = set()

    def report(service: Name, what: str) -> None:
        line = f"{service}: {what.partition(':')[0]}"
        if line not in told:
            console.print(line, markup=False)
            told.add(line)

    return report


@contextmanager
def _told(context: typer.Context) -> Iterator[Services]:
    """Services that tell what they do: a line each that moves on a terminal, plain lines elsewhere."""
    console = Console(highlight=False)
    if not console.is_terminal:
        yield Services(context.obj, _in_plain_lines(console))
        return
    columns = SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.fields[service]:<10}"), TimeElapsedColumn()
    with Progress(*columns, TextColumn("{task.description}"), console=console) as progress:
        tasks = {name: progress.add_task("", total=1, service=name, visible=False) for name in ALL}

        def report(service: Name, what: str) -> None:
            ended = what.startswith("healthy") or what == "stopped"
            progress.update(tasks[service], description=what, visible=True, completed=int(ended))

        yield Services(context.obj, report)
