"""`linkcast worker`: one worker of one role, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Annotated

import typer
import uvloop

from jobs.problem import Problem
from streams.app import Role, run
from streams.batches.errors import FATAL
from streams.settings import Settings

app = typer.Typer(add_completion=False)


@app.command()
def worker(
    context: typer.Context,
    role: Annotated[Role, typer.Option(help="What it does: groups, users or sinks.")],
    name: Annotated[
        str | None, typer.Option(help="Its own, lasting name: names its folder of local state. Default: the role.")
    ] = None,
) -> None:
    """Run one worker of one role. SIGTERM or Ctrl-C: it finishes its batches and leaves its group.

    Start as many of a role as you like, each with a --name of its own; partitions are shared out among them.

    Examples: `linkcast worker --role groups`, `linkcast worker --role groups --name groups-2`.
    """
    settings: Settings = context.obj
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)
    for noisy in ("aiokafka", "cassandra", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns of each send that has to wait for the transaction before; of what fails for good the lane tells.
    logging.getLogger("aiokafka.producer.sender").setLevel(logging.ERROR)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(role, settings, name or role))
    except FATAL as error:
        message = f"the {role} worker stopped: {error}"
        raise Problem(message) from error


async def _run(role: Role, settings: Settings, name: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(role, settings, name, stop)
