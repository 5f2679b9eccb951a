"""`linkcast down`: ends whatever runs on the data folder."""

from __future__ import annotations

import typer
from rich.console import Console

from jobs.services.control import Services
from jobs.stack import Stack
from streams.settings import Settings

app = typer.Typer(add_completion=False)


@app.command()
def down(context: typer.Context) -> None:
    """Stop what still runs on this data folder: gateways leave, workers finish, services stop. Data stays."""
    settings: Settings = context.obj
    console = Console(highlight=False)
    Stack(settings).stop()
    Services(settings, lambda name, what: console.print(f"[dim]{name}: {what}[/]")).down()
