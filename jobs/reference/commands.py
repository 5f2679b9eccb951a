"""The page of commands: what each `--help` tells, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import typer

from jobs import cli
from jobs.generated import table

_HEAD: Final = """\
# Commands

`make setup` makes `.venv/bin/linkcast`. Each command tells the same with `--help`. Where they read
[settings](settings.md), the environment and `linkcast.toml` count; `linkcast --settings FILE COMMAND` names another
file. A command that fails says what is wrong and what to do, and ends with 1; one that is called in a wrong way ends
with 2.
"""


def page() -> str:
    """The page."""
    root = typer.main.get_command(cli.app)
    return "\n".join([_HEAD, *(part for name in cli.COMMANDS for part in _told(root, f"linkcast {name}", name))])


def _told(parent: Any, path: str, name: str) -> Iterator[str]:
    context = typer.Context(parent)
    command = parent.get_command(context, name)
    inside = typer.Context(command, parent=context, info_name=path)
    depth = "#" * path.count(" ")
    usage = " ".join([path, *command.collect_usage_pieces(inside)])
    yield f"#{depth} {path}\n\n```none\n{usage}\n```\n\n{_help(command)}\n"
    if rows := [row for parameter in command.params if (row := _parameter(inside, parameter))]:
        yield table(("argument", "meaning", "default"), *rows) + "\n"
    for below in command.list_commands(inside) if hasattr(command, "list_commands") else ():
        yield from _told(command, f"{path} {below}", below)


def _help(command: Any) -> str:
    return str(command.help or "").replace("\f", "").strip()


def _parameter(context: Any, parameter: Any) -> tuple[str, str, str] | None:
    if (record := parameter.get_help_record(context)) is None or "--help" in record[0]:
        return None
    default = parameter.default() if callable(parameter.default) else parameter.default
    shown = f"`{default}`" if default not in {None, "", False} else ""
    cells = (f"`{record[0]}`".replace(" range>", ">"), getattr(parameter, "help", None) or "")
    name, text = (cell.replace("|", "\\|") for cell in cells)
    return name, text, "required" if parameter.required else shown
