"""`linkcast conformance`: drives a gateway in any language through the contract, and says what it did wrong."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from aiokafka.errors import KafkaError
from rich.console import Console

from jobs import topics
from jobs.conformance.case import Case
from jobs.conformance.cases import CASES
from jobs.conformance.played import Played
from jobs.conformance.run import AT_ONCE, PATIENCE_S, Bounce, Kit, Told, Verdict, broken
from jobs.conformance.show import listed, shown
from jobs.problem import Problem
from jobs.services.control import Services
from streams.settings import Settings, load

_EXAMPLES: Final = """\
[bold]Examples[/bold]

[cyan]linkcast conformance -- python -m examples.gateway.driver[/cyan]  the example gateway, on a broker of its own

[cyan]linkcast conformance --only hole --only gap -- ./driver[/cyan]  two cases

[cyan]linkcast conformance --kafka 127.0.0.1:19092 -- ./driver[/cyan]  on a broker that runs; without workers on it

[cyan]linkcast conformance --list[/cyan]  the cases, and what the contract says
"""

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(epilog=_EXAMPLES)
def conformance(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="What starts the gateway's driver.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="This case only; may be repeated.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the cases, and play none.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
    kafka: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A broker to use, not one of the kit's own.")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=0.5, help="Seconds that the gateway may take for anything.")
    ] = PATIENCE_S,
    at_once: Annotated[int, typer.Option(min=1, help="Cases that are played at the same time.")] = AT_ONCE,
) -> None:
    """Check a gateway, in any language, against the contract.

    The kit plays the pipeline on a real broker, and tells your program on its standard input what its clients do: see
    docs/conformance.md. Ends with 1 when a rule is broken.
    """
    settings: Settings = context.obj
    if list_:
        Console().print(listed(CASES.values()))
        return
    if not command:
        raise Problem("Say how your gateway's driver is started: linkcast conformance -- COMMAND")
    if shutil.which(command[0]) is None:
        raise Problem(f"There is no program {command[0]!r} to start.")
    chosen = _chosen(only or [])
    with tempfile.TemporaryDirectory(prefix="linkcast-conformance-") as folder:
        verdicts = _judged(settings, command, chosen, Path(folder), kafka, patience, at_once)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(verdicts)).decode())
    else:
        Console().print(shown(verdicts))
    raise typer.Exit(int(bool(broken(verdicts))))


def _judged(
    settings: Settings,
    command: Sequence[str],
    chosen: Sequence[Case],
    folder: Path,
    kafka: str | None,
    patience_s: float,
    at_once: int,
) -> list[Verdict]:
    """Play the cases, on a given broker or on one of the kit's own."""
    console = Console(stderr=True, highlight=False)

    def told(verdict: Verdict) -> None:
        console.print(f"[dim]{verdict.case}[/] {verdict.outcome}")

    if kafka is not None:
        used = load(None, **{**_given(settings), "kafka_bootstrap": kafka})
        kit = Kit(played_on(used), folder, patience_s)
        return asyncio.run(_judge(kit, command, chosen, at_once, told))
    with broker(settings, folder / "data", console) as services:
        kit = Kit(played_on(services.settings), folder, patience_s, bouncing(services))
        return asyncio.run(_judge(kit, command, chosen, at_once, told))


async def _judge(kit: Kit, command: Sequence[str], chosen: Sequence[Case], at_once: int, told: Told) -> list[Verdict]:
    try:
        async with kit.opened():
            return await kit.judge(command, chosen, at_once, told)
    except KafkaError as error:
        raise Problem(f"The kit itself could not go on with its broker: {error}\nThe gateway is not judged.") from error


def played_on(settings: Settings) -> Played:
    """The pipeline on this broker, whose topics are there."""
    asyncio.run(topics.create(settings))
    return Played(settings.kafka_bootstrap, settings.partitions, settings.links)


def bouncing(services: Services) -> Bounce:
    """Stops the broker, and starts it again after a while."""

    async def bounce(away_s: float) -> None:
        await asyncio.to_thread(services.stop, "kafka")
        await asyncio.sleep(away_s)
        await asyncio.to_thread(services.start, "kafka")

    return bounce


@contextmanager
def broker(settings: Settings, data: Path, console: Console) -> Iterator[Services]:
    """A broker of the kit's own, on free ports, gone at the end."""
    ports = dict(zip(("kafka_port", "kafka_controller_port"), _free_ports(), strict=True))
    services = Services(load(None, **{**_given(settings), "data": data, **ports}))
    console.print("[dim]a broker of its own: starts (a few seconds)[/]")
    try:
        services.start("kafka")
        yield services
    finally:
        services.forget()


def _given(settings: Settings) -> dict[str, object]:
    """What holds for any broker of this machine."""
    names = ("cache", "services_by", "host", "partitions", "links", "kafka_heap_mb")
    return {name: getattr(settings, name) for name in names}


def _free_ports() -> list[int]:
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in (first, second)]


def _chosen(names: Sequence[str]) -> list[Case]:
    if unknown := [name for name in names if name not in CASES]:
        raise Problem(f"No such case: {', '.join(unknown)}. They are listed by: linkcast conformance --list")
    return [case for case in CASES.values() if not names or case.name in names]
