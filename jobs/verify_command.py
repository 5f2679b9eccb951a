"""`linkcast verify`: reads a whole run from the topics and stores, and says whether all of it was right.

`linkcast verify relations`: whether the final state of groups in Cassandra says what the views say.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

import aiohttp
import msgspec
import typer
from aiokafka.errors import KafkaError
from cassandra import DriverException
from cassandra.cluster import NoHostAvailable
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from jobs.final.asked import ViewReader
from jobs.final.judge import Verdict, judge_relations
from jobs.final.judge import shown as relations_shown
from jobs.final.state import GroupId
from jobs.final.stored import FinalReader, NoTablesError
from jobs.problem import Problem
from jobs.verify.judge import EXAMPLES, SETTLE_MS, judge
from jobs.verify.readers import IncompleteError, Place, read_world
from jobs.verify.show import shown
from jobs.verify.world import World
from streams.settings import Settings

app = typer.Typer(add_completion=False)

WAIT_S: Final = 30.0
_AGAIN_S: Final = 0.5


class What(enum.StrEnum):
    """What is verified."""

    RUN = "run"
    RELATIONS = "relations"


@app.command()
def verify(
    context: typer.Context,
    what: Annotated[What, typer.Argument(help="The run, or the final state of groups beside the views.")] = What.RUN,
    settled: Annotated[
        bool, typer.Option(help="The run has come to rest: everything must be answered, stored and bound by now.")
    ] = False,
    settle_ms: Annotated[
        int, typer.Option(min=1, help="A session or membership as old as this must be heard of by all.")
    ] = SETTLE_MS,
    stores: Annotated[bool, typer.Option(help="Compare Cassandra and Redis with history as well.")] = True,
    examples: Annotated[int, typer.Option(min=0, help="Breaches of each kind told in words.")] = EXAMPLES,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    group: Annotated[list[str] | None, typer.Option(help="relations: only this group, `app:group`.")] = None,
    wait_s: Annotated[
        float, typer.Option(min=0, help="relations: how long to wait for tables, views and rows.")
    ] = WAIT_S,
) -> None:
    """Judge a run: is anything lost, doubled, out of order, at the wrong recipients, or missed?

    It knows nothing of the pipeline but the contract of its topics, reads them from beginning to end, and Cassandra and
    Redis as well, and rebuilds who should have heard what. Ends with 1 unless all five are 0.

    Stop whatever writes, let the workers catch up, then use --settled: without it, what is younger than --settle-ms may
    be under way.

    `relations` compares the final state of every living group in Cassandra with what the views tell of it, and so needs
    running workers. Ends with 1 where they differ.
    """
    settings: Settings = context.obj
    if what is What.RELATIONS:
        verdict = asyncio.run(verify_relations(settings, group or [], wait_s))
        Console().print(relations_shown(verdict, max(examples, 1)))
        raise typer.Exit(int(not verdict.good))
    world = asyncio.run(read_run(settings, stores=stores))
    report = judge(world, settled=settled, settle_ms=settle_ms, examples=examples)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        Console().print(shown(report))
    raise typer.Exit(int(not report.good))


async def verify_relations(
    settings: Settings, groups: Sequence[str] = (), wait_s: float = WAIT_S, url: str | None = None
) -> Verdict:
    """Compares the final state with the views, of these groups or of all.

    Args:
        settings: where everything is.
        groups: `app:group`, each.
        wait_s: how long to wait for the final state's tables, for each answer of the views, and for rows to catch up.
        url: where a worker's views are; None: as the settings say.

    Raises:
        Problem: it can't be done.
    """
    only = [GroupId(*name.split(":", 1)) for name in groups if ":" in name]
    if len(only) != len(groups):
        raise Problem("A group is named `app:group`.")
    until_there = AsyncRetrying(
        retry=retry_if_exception_type(NoTablesError),  # sinks that run for the first time make them
        stop=stop_after_delay(wait_s),
        wait=wait_fixed(_AGAIN_S),
        reraise=True,
    )
    try:
        stored: FinalReader = await until_there(asyncio.to_thread, FinalReader, settings)
    except (NoHostAvailable, DriverException, NoTablesError) as error:
        raise Problem(f"The final state cannot be read: {error}\nIs Cassandra up, and did the sinks run?") from error
    with _progress() as progress:
        task = progress.add_task("groups")
        try:
            async with aiohttp.ClientSession() as http:
                reader = ViewReader(settings, http, wait_s, url)
                return await judge_relations(
                    stored, reader, only, wait_s, lambda done, of: progress.update(task, completed=done, total=of)
                )
        except (NoHostAvailable, DriverException) as error:
            raise Problem(f"The final state cannot be read: {error}") from error
        finally:
            await asyncio.to_thread(stored.close)


async def read_run(settings: Settings, *, stores: bool = True, planned: Sequence[str] = ()) -> World:
    """Reads the run of these settings' cluster, with progress on standard error.

    Raises:
        Problem: it can't be read.
    """
    place = Place(
        bootstrap=settings.kafka_bootstrap,
        partitions=settings.partitions,
        links=settings.links,
        contact_points=settings.cassandra_contact_points if stores else None,
        cassandra_port=settings.cassandra_port,
        keyspace=settings.keyspace,
        redis_url=settings.redis_url if stores else None,
    )
    with _progress() as progress:
        tasks = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total or None)

        try:
            return await read_world(place, planned, tell)
        except (IncompleteError, KafkaError, NoHostAvailable, DriverException, RedisError) as error:
            raise Problem(
                f"The run cannot be read: {error}\n"
                "Are the services up (`linkcast services status`), and are the topics made (`linkcast topics create`)?"
            ) from error


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = TextColumn("read {task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress
