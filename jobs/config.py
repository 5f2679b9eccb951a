"""`linkcast config`: each setting, its value, where that came from, and what it means."""

from __future__ import annotations

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from streams.settings import Settings

app = typer.Typer(add_completion=False)


@app.command()
def config(context: typer.Context) -> None:
    """Show each setting: its value, where that came from, what it means.

    Change one for good in linkcast.toml (kafka_port = 29092), or for once in the environment (LINKCAST_KAFKA_PORT).
    """
    settings: Settings = context.obj
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("setting", no_wrap=True)
    for heading in ("value", "from", "meaning"):
        table.add_column(heading, overflow="fold")
    for name, field in Settings.model_fields.items():
        origin = settings.origin(name)
        style = "dim" if origin in {"default", "derived"} else "green"
        table.add_row(name, shown(getattr(settings, name)), f"[{style}]{origin}[/]", field.description)
    Console().print(table)


def shown(value: object) -> str:
    """A value for people's eyes: lists by commas, secrets masked."""
    match value:
        case SecretStr():
            return "********"
        case tuple():
            return ", ".join(map(str, value))
        case None:
            return "-"
        case _:
            return str(value)
