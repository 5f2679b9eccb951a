"""`linkcast demo`: everything started, a minute of load with faults on the way, the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from jobs import policy
from jobs.demo.cluster import Cluster, own_settings
from jobs.demo.crowd import Counts, Crowd, SimulatedLink
from jobs.demo.play import Play
from jobs.demo.scenario import LINKS, POLICY, Scenario, Size, write
from jobs.demo.town import figures, table
from jobs.problem import Problem
from jobs.services import Services
from jobs.verify.judge import judge
from jobs.verify.report import Report
from jobs.verify.show import shown
from jobs.verify_command import read_run
from streams.settings import Settings

_EVERY_S: Final = 1.0
_PLAIN_EVERY_S: Final = 5.0
_SHORTEST_S: Final = 10
_SHOWN: Final = 10
_INTERRUPTED: Final = 130  # as a shell says it

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    context: typer.Context,
    seconds: Annotated[int, typer.Option(min=_SHORTEST_S, help="How long the load lasts.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed: the same users, messages, changes and faults.")] = 1,
    rate: Annotated[float, typer.Option(min=1, help="Messages a second.")] = 400,
    members: Annotated[int, typer.Option(min=0, help="Members of the very large group; 0: without it.")] = 100_000,
    data: Annotated[
        Path | None, typer.Option(help="Keep the run in this folder. Default: a new one, kept only if something fails.")
    ] = None,
) -> None:
    """Show a large team at work, break things on the way, and judge what came of it.

    Services and one worker of each role are started on free ports in a folder of their own. 10,000 users in one team
    and 200 small groups, 30 % of them online on 3 links; they come and go, join and leave, send, mention and send
    again; devices go to the background and come back, connections break and resume. A server of 2,000 of them, by the
    app's policy too large to be subscribed to by joining, has public and private channels, a category, roles and lists:
    sessions subscribe to what they show, some to unread counts only; roles are given and taken, lists change, members
    are muted, kicked and banned while they talk. The groups worker is killed with -9; a link dies, and its sessions
    resume elsewhere; in one group so much is written that pushes turn into notices, and back. Then one group of 100,000
    members is imported, and written to. At last `linkcast verify` judges the whole run, and each session what it was
    told: the demo ends with 1 unless nothing was lost, doubled, out of order, misdirected or missed.
    """
    folder = data or Path(tempfile.mkdtemp(prefix="linkcast-demo-"))
    settings = own_settings(context.find_root().params.get("settings"), folder)
    console = Console(highlight=False)
    scenario = write(seed, Size(seconds=seconds, rate=rate, town=members))
    code = 1
    try:
        with _interruptible():
            report, missed, shown_town = _run(settings, scenario, console)
        console.print()
        console.print(shown(report))
        console.print()
        console.print(_told(missed))
        if shown_town is not None:
            console.print()
            console.print(shown_town)
        code = int(not report.good or bool(missed))
    except KeyboardInterrupt:
        console.print("stopped")
        code = _INTERRUPTED
    finally:
        if code != 1 and data is None:
            Services(settings).forget()  # with Docker what they kept is not in the folder
            shutil.rmtree(folder)
        else:
            console.print(f"Logs and data are in {folder}: run/*.log, services/*/*.log")
    raise typer.Exit(code)


def _told(missed: Sequence[str]) -> Text:
    """What the sessions themselves found."""
    if not missed:
        return Text("Every session heard every message, or of it by a notice that covers it.", "green")
    return Text(
        "\n".join([f"{len(missed)} times a session neither heard a message nor of it:", *missed[:_SHOWN]]), "red"
    )


def _run(settings: Settings, scenario: Scenario, console: Console) -> tuple[Report, list[str], Table | None]:
    logging.getLogger("linkcast_gateway").setLevel(logging.ERROR)  # what they would warn of is what is shown here
    with Cluster(settings, lambda what: console.print(f"[dim]{what}[/]")).running() as cluster:
        app_id = f"demo{int(time.time())}"  # a folder may hold earlier runs
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_perform(cluster, app_id, scenario, console))


async def _perform(
    cluster: Cluster, app_id: str, scenario: Scenario, console: Console
) -> tuple[Report, list[str], Table | None]:
    kafka = cluster.settings.kafka_bootstrap
    await policy.write(cluster.settings, lambda _: {app_id: POLICY})
    crowd = Crowd(app_id, LINKS, lambda link, handler: SimulatedLink(link, kafka, handler))
    play = Play(scenario, cluster, crowd)
    screen = asyncio.create_task(_show(play, crowd, scenario, console))
    try:
        await play.perform()
    except ExceptionGroup as group:
        problems, _ = group.split(Problem)
        if problems is None:
            raise
        raise problems.exceptions[0] from None
    finally:
        screen.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await screen
    try:
        missed = crowd.missed()
        console.print("reading the whole run")
        world = await read_run(cluster.settings, planned=play.done)
    finally:
        await crowd.stop()
    console.print("judging it")
    report = await asyncio.to_thread(judge, world, settled=True)
    return report, missed, table(figures(world, app_id), play.town) if scenario.town else None


async def _show(play: Play, crowd: Crowd, scenario: Scenario, console: Console) -> None:
    """A panel that moves on a terminal; a line now and then elsewhere."""
    screen = _Screen(play, crowd, scenario)
    if not console.is_terminal:
        while True:
            await asyncio.sleep(_PLAIN_EVERY_S)
            console.print(screen.line(_PLAIN_EVERY_S), soft_wrap=True)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(screen.panel(_EVERY_S), refresh=True)
            await asyncio.sleep(_EVERY_S)


class _Screen:
    def __init__(self, play: Play, crowd: Crowd, scenario: Scenario) -> None:
        self._play = play
        self._crowd = crowd
        self._seconds = scenario.size.seconds
        self._before = Counts()

    def line(self, passed_s: float) -> str:
        """One line."""
        return f"{self._play.stage}: " + ", ".join(f"{name} {value}" for name, value in self._rows(passed_s))

    def panel(self, passed_s: float) -> RenderableType:
        """A table, and the faults so far."""
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(justify="right")
        for name, value in self._rows(passed_s):
            table.add_row(name, value)
        faults = [Text(f"⚡ {fault}", "yellow") for fault in self._play.done]
        return Panel(Group(table, *faults), title=f"Linkcast: {self._play.stage}", title_align="left")

    def _rows(self, passed_s: float) -> Iterator[tuple[str, str]]:
        counts, before = self._crowd.counts, self._before
        self._before = replace(counts)
        yield "time", f"{min(self._play.elapsed_s, self._seconds):.0f} of {self._seconds} s"
        yield "messages/s", f"{(counts.sent - before.sent) / passed_s:,.0f}"
        yield "deliveries/s", f"{(counts.delivered - before.delivered) / passed_s:,.0f}"
        yield "recipients/s", f"{(counts.reached - before.reached) / passed_s:,.0f}"
        yield "unread notices/s", f"{(counts.notices - before.notices) / passed_s:,.0f}"
        yield "sessions", f"{self._crowd.online:,}, {self._crowd.background:,} in the background"
        yield "resumed", f"{counts.resumed:,} as they were, {counts.anew:,} anew"
        yield "subscribed", f"{counts.subscribed:,}"
        yield "mentioned", f"{counts.mentions:,}"
        yield "unanswered", f"{len(self._crowd.pending):,}"
        yield "sent again", f"{counts.again:,}"
        yield "refused", f"{counts.refused:,}"


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: everything it started is stopped."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
