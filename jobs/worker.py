"""`linkcast worker`: one worker of one role, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from typing import Annotated, Final

import typer
import uvloop

from jobs import logs
from jobs.problem import Problem
from streams.app import Role, run
from streams.batches.errors import FATAL, said
from streams.settings import Settings

log = logging.getLogger(__name__)
app = typer.Typer(add_completion=False)

#: What a batch makes dies with its last reference. The collector is for the rare cycle: looking for it as often as
#: Python does by itself took a tenth of a saturated worker's time.
_GC_THRESHOLDS: Final = (50_000, 20, 100)
#: A thread that packed a batch gets the interpreter back this soon, not after 5 ms: a transaction waits for it.
_SWITCH_INTERVAL_S: Final = 0.001


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
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
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
