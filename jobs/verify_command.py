"""`linkcast verify`: reads a whole run from the topics and stores, and says whether all of it was right."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import msgspec
import typer
from aiokafka.errors import KafkaError
from cassandra import DriverException
from cassandra.cluster import NoHostAvailable
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jobs.problem import Problem
from jobs.verify.judge import EXAMPLES, SETTLE_MS, judge
from jobs.verify.readers import IncompleteError, Place, read_world
from jobs.verify.show import shown
from jobs.verify.world import World
from streams.settings import Settings
from topics.policy import read_policies

app = typer.Typer(add_completion=False)


@app.command()
def verify(
    context: typer.Context,
    settled: Annotated[
        bool, typer.Option(help="The run has come to rest: everything must be answered, stored and bound by now.")
    ] = False,
    settle_ms: Annotated[
        int, typer.Option(min=1, help="A session or membership as old as this must be heard of by all.")
    ] = SETTLE_MS,
    stores: Annotated[bool, typer.Option(help="Compare Cassandra and Redis with history as well.")] = True,
    examples: Annotated[int, typer.Option(min=0, help="Breaches of each kind told in words.")] = EXAMPLES,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Judge a run: is anything lost, doubled, out of order, at the wrong recipients, or missed?

    It knows nothing of the pipeline but the contract of its topics, reads them from beginning to end, and Cassandra and
    Redis as well, and rebuilds who should have heard what. Ends with 1 unless all five are 0.

    Stop whatever writes, let the workers catch up, then use --settled: without it, what is younger than --settle-ms may
    be under way.
    """
    settings: Settings = context.obj
    world = asyncio.run(read_run(settings, stores=stores))
    report = judge(world, settled=settled, settle_ms=settle_ms, examples=examples)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        Console().print(shown(report))
    raise typer.Exit(int(not report.good))


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
        policies=read_policies(settings.policies),
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
