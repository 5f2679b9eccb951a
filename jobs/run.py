"""`linkcast run`: everything on this machine, in the foreground, with one status line a second until Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

import typer
from rich.console import Console

from jobs import topics
from jobs.problem import Problem
from jobs.services.control import Services
from jobs.services.service import Name
from jobs.stack import Stack, ask
from streams.app import ROLES
from streams.settings import Settings

_READY_S: Final = 240.0
_EVERY_S: Final = 1.0
_USERS: Final = ("ann", "bob")

app = typer.Typer(add_completion=False)


@app.command()
def run(context: typer.Context) -> None:
    """Start services, topics, one worker of each role and two gateways; stop on Ctrl-C what it started.

    What was sent stays in the data folder: the next start goes on with it. Services that ran before stay up.
    """
    settings: Settings = context.obj
    console = Console(highlight=False)
    stop = threading.Event()
    stack = Stack(settings)
    with _signals(stop), stack.alone():
        stack.refuse_taken_ports()
        services = Services(settings, lambda name, what: _say(console, name, what))
        with services.running():
            try:
                if not stop.is_set():
                    _start(stack, console)
                _watch(stack, console, stop)
            finally:
                console.print("stopping: gateways leave, workers finish their batches, then its services")
                stack.stop()
        console.print("stopped; `make run` goes on from here")


def _start(stack: Stack, console: Console) -> None:
    import asyncio  # noqa: PLC0415 -- only here: the rest of this command needs no loop

    settings = stack.settings
    made = asyncio.run(topics.create(settings))
    console.print(f"topics: {len(made)} created")
    for role, port in stack.view_ports.items():
        stack.start_worker(role, role, port)
    for i, port in enumerate(settings.gateway_ports):
        peers = [other for other in settings.gateway_ports if other != port]
        stack.start_gateway(f"L{i + 1}", port, peers)


def _watch(stack: Stack, console: Console, stop: threading.Event) -> None:
    """Wait until all are ready, say where to go, then tell how it goes, each second on one line."""
    expected = set(stack.running())
    _await_ready(stack, console, stop, expected)
    if stop.is_set():
        return
    settings = stack.settings
    addresses = [f"http://{settings.host}:{port}" for port in settings.gateway_ports]
    console.print()
    console.print("[bold]Linkcast runs.[/] Open these in two tabs, as two people. Ctrl-C stops all.")
    for user, address in zip(_USERS, (addresses[0], addresses[-1]), strict=True):
        console.print(f"  {user}: [bold cyan]{address}/?user={user}[/]", soft_wrap=True)
    console.print(f"Make a group in {_USERS[0]}'s tab, and invite {_USERS[1]}: it appears in the other.")
    console.print(f"[dim]logs: {stack.log('*').parent}   views: http://{settings.host}:{settings.view_port}/health[/]")
    console.print()
    before = Sight.now(stack)
    with console.status("") as line:
        while not stop.wait(_EVERY_S):
            _check(stack, expected)
            sight = Sight.now(stack)
            if console.is_terminal:
                line.update(sight.line(before))
            else:
                console.print(sight.line(before), soft_wrap=True)
            before = sight


def _await_ready(stack: Stack, console: Console, stop: threading.Event, expected: set[str]) -> None:
    until = time.monotonic() + _READY_S
    host = stack.settings.host
    urls: dict[str, str] = {role: f"http://{host}:{port}/ready" for role, port in stack.view_ports.items()}
    urls |= {f"gateway :{port}": f"http://{host}:{port}/health" for port in stack.settings.gateway_ports}
    with console.status("starting") as line:
        while urls and not stop.wait(0.2):
            _check(stack, expected)
            urls = {name: url for name, url in urls.items() if ask(url) is None}
            line.update(f"waiting for {', '.join(urls)}")
            if time.monotonic() > until:
                raise Problem(f"{', '.join(urls)} did not get ready.\nLook into {stack.log('*').parent}")


def _check(stack: Stack, expected: set[str]) -> None:
    for name in expected - set(stack.running()):
        raise Problem(f"{name} ended by itself. The last it said ({stack.log(name)}):\n\n{stack.last_words(name)}")


@dataclass(frozen=True, slots=True)
class Sight:
    """What the workers told at one moment.

    Attributes:
        at_s: when.
        counts: what they did, added up.
        lag: records not yet applied, by role.
        paused: why lanes stand still, if any does.
    """

    at_s: float
    counts: dict[str, int]
    lag: dict[str, int]
    paused: str

    @staticmethod
    def now(stack: Stack) -> Sight:
        """Ask them."""
        counts: dict[str, int] = {}
        lag: dict[str, int] = {}
        paused: set[str] = set()
        for role in ROLES:
            health = ask(f"http://{stack.settings.host}:{stack.view_ports[role]}/health") or {}
            for what, count in health.get("counts", {}).items():
                counts[what] = counts.get(what, 0) + count
            lanes: list[dict[str, Any]] = health.get("lanes", [])
            lag[role] = sum(sum(lane["lag"].values()) for lane in lanes)
            paused |= {lane["paused_for"] for lane in lanes if lane["paused_for"]}
        return Sight(time.monotonic(), counts, lag, "; ".join(sorted(paused)))

    def line(self, before: Sight) -> str:
        """One line: what happened a second since `before`, and how things stand."""
        passed_s = max(self.at_s - before.at_s, 0.001)

        def rate(what: str) -> str:
            return f"{max(0, self.counts.get(what, 0) - before.counts.get(what, 0)) / passed_s:,.0f}"

        lag = "/".join(f"{self.lag[role]:,}" for role in ROLES)
        links, sessions = self.counts.get("links", 0), self.counts.get("sessions", 0)
        told = (
            f"[bold]{rate('messages')}[/] messages/s [bold]{rate('deliveries')}[/] deliveries/s "
            f"[dim]lag {'/'.join(ROLES)}[/] {lag} links {links} sessions {sessions:,}"
        )
        return f"{told}  [yellow]{self.paused}[/]" if self.paused else told


def _say(console: Console, name: Name, what: str) -> None:
    console.print(f"[dim]{name}: {what}[/]")


@contextlib.contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask to stop; the children, in sessions of their own, hear it from us."""

    def ask(_: int, __: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
