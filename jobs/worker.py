"""`linkcast worker`: one worker of one role, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Annotated

import typer
import uvloop

from jobs import logs
from jobs.problem import Problem
from streams.app import Role, run
from streams.batches.errors import FATAL, said
from streams.settings import Settings

log = logging.getLogger(__name__)
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
    logs.configure(settings.log_level, settings.log_format, cluster=settings.cluster, role=role, worker=name or role)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(role, settings, name or role))
    except FATAL as error:
        message = f"the {role} worker stopped: {error}"
        raise Problem(message) from error
    except Exception as error:
        log.critical("the worker stops: %s", said(error), exc_info=True)
        message = f"the {role} worker stopped: {said(error)}; its log tells where"
        raise Problem(message) from None


async def _run(role: Role, settings: Settings, name: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(role, settings, name, stop)
