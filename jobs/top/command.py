"""`linkcast top`: a cluster on one screen, live."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import termios
import tty
from collections import deque
from collections.abc import Callable, Iterator
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from jobs.problem import Problem
from jobs.top.figures import Figures, figures
from jobs.top.screen import screen
from jobs.top.sight import Sight, Watcher
from streams.settings import Settings

_ONCE_S: Final = 1.0
_TREND: Final = 120

app = typer.Typer(add_completion=False)


@app.command()
def top(
    context: typer.Context,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    once: Annotated[
        bool, typer.Option("--once", help="Print one screen and end; exit code 1 if none answers.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one look as JSON and end.")] = False,
) -> None:
    """Show the cluster live: workers, links, stores, what was rejected. Press q to quit.

    Workers are found through the topic `owners` and on the view ports of this machine.

    Examples: `linkcast top`, `linkcast top --once`, `linkcast top --json | jq .lag`.
    """
    settings: Settings = context.obj
    if once or as_json:
        _tell(asyncio.run(_look_twice(settings)), as_json=as_json)
        return
    if not sys.stdout.isatty():
        raise Problem("`linkcast top` needs a terminal. For scripts: linkcast top --once, or --json")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_live(settings, every))


def _tell(found: Figures, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        console = Console(highlight=False)
        console.print(screen(found, console.width))
    if not any(worker.rss_mb for worker in found.workers):
        raise typer.Exit(1)


async def _look_twice(settings: Settings) -> Figures:
    async with Watcher(settings) as watcher:
        before = await watcher.look()
        await asyncio.sleep(_ONCE_S)
        return figures(settings.cluster, await watcher.look(), before)


async def _live(settings: Settings, every_s: float) -> None:
    console = Console(highlight=False)
    quits = asyncio.Event()
    trend: deque[float] = deque(maxlen=_TREND)
    before: Sight | None = None
    with console.status("looking for workers"):
        watcher = await Watcher(settings).__aenter__()
    try:
        with _keys(quits.set), Live(console=console, screen=True, auto_refresh=False) as live:
            while not quits.is_set():
                now = await watcher.look()
                found = figures(settings.cluster, now, before)
                if before is not None:
                    trend.append(found.messages_per_s)
                before = now
                live.update(screen(found, console.width, list(trend), "q quits"), refresh=True)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(quits.wait(), every_s)
    finally:
        await watcher.__aexit__()


@contextlib.contextmanager
def _keys(quits: Callable[[], None]) -> Iterator[None]:
    """Single keys, without Enter: q quits."""
    descriptor = sys.stdin.fileno()
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)

    def pressed() -> None:
        if sys.stdin.read(1).lower() in {"q", ""}:
            quits()

    loop.add_reader(descriptor, pressed)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
