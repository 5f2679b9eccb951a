"""The `linkcast` command: names its sub-commands and leaves them to their modules.

A sub-command is one module with a Typer `app`. It is imported when it is called (or when help is asked for), so that a
quick one does not wait for the imports of a slow one. To add one, add a line to `COMMANDS`.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from typer.core import TyperGroup

from jobs.problem import Problem
from streams.settings import SettingsError, load

COMMANDS: Final[dict[str, str]] = {
    "run": "jobs.run",
    "down": "jobs.down",
    "services": "jobs.services.commands",
    "topics": "jobs.topics",
    "policy": "jobs.policy",
    "config": "jobs.config",
    "top": "jobs.top.command",
    "worker": "jobs.worker",
    "token": "jobs.token",
    "token-key": "jobs.token_key",
    "demo": "jobs.demo.command",
    "verify": "jobs.verify_command",
    "conformance": "jobs.conformance.command",
    "contract": "jobs.contract",
    "bench": "jobs.bench.command",
    "reference": "jobs.reference.command",
}

_EXAMPLES: Final = """\
[bold]Examples[/bold]

[cyan]linkcast run[/cyan]  everything on this machine, with a page to chat on, until Ctrl-C

[cyan]linkcast demo --seconds 30 --seed 7[/cyan]  half a minute of load with faults on the way, judged at its end

[cyan]linkcast services up[/cyan]  start Kafka, Redis and Cassandra here, from jars or with Docker

[cyan]linkcast topics create[/cyan]  create every topic of the pipeline

[cyan]linkcast policy set acme channels=1000[/cyan]  let an app have more, or be served otherwise, without a restart

[cyan]linkcast config[/cyan]  show each setting, its value, and where that came from

[cyan]LINKCAST_KAFKA_PORT=29092 linkcast services up[/cyan]  change a setting for once
"""


class _Commands(TyperGroup):
    """Finds a sub-command by its name in `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(import_module(COMMANDS[cmd_name]).app)
        command.name = cmd_name
        return command


app = typer.Typer(cls=_Commands, rich_markup_mode="rich", no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback(epilog=_EXAMPLES)
def linkcast(
    context: typer.Context,
    settings: Annotated[Path | None, typer.Option(help="Settings file; else linkcast.toml if it is here.")] = None,
) -> None:
    """Fan-out and notifications for very large groups, on Kafka, Faust, Cassandra and Redis."""
    logging.getLogger().addHandler(logging.NullHandler())  # libraries' warnings: we tell it in our own words
    if "--help" not in sys.argv:  # help works without valid settings
        context.obj = load(settings)


def main() -> None:
    """Runs the command line; a problem is told in its own words."""
    try:
        app()
    except (Problem, SettingsError) as problem:
        Console(stderr=True, highlight=False).print(str(problem), style="red", markup=False, soft_wrap=True)
        sys.exit(1)
