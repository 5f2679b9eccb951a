"""`linkcast topics`: creates the catalogue's topics, and refuses a cluster that was born with other numbers.

It never changes or deletes a topic: state is numbered by partitions, so a wrong count cannot be mended in place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import typer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, RequestTimedOutError, TopicAlreadyExistsError, for_code
from rich.console import Console
from rich.table import Table

from jobs.problem import Problem
from streams.settings import Settings
from topics.catalog import CATALOG

_TIMEOUT_MS: Final = 60_000  # a machine may stall for long
_CREATE_MS: Final = _TIMEOUT_MS // 2  # less: that the broker is late is to be heard from itself
#: Made; made by another process meanwhile; not made yet.
_UNDER_WAY: Final = {0, TopicAlreadyExistsError.errno, RequestTimedOutError.errno}
_POLL_S: Final = 0.05

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The pipeline's topics on the broker.")


@app.command("create")
def create_command(context: typer.Context) -> None:
    """Create what is missing. Refuses to go on when an existing topic has another partition count."""
    settings: Settings = context.obj
    made = asyncio.run(create(settings))
    typer.echo(
        f"{len(made)} created, {len(CATALOG) - len(made)} were there: {settings.partitions} partitions a role, "
        f"{settings.links} links"
    )


@app.command("list")
def list_command(context: typer.Context) -> None:
    """Show every topic: its partitions there and here, its key, its retention, its writers and readers."""
    settings: Settings = context.obj
    there = asyncio.run(counts(settings))
    table = Table("topic", "partitions", "key", "kept", "written by", "read by", box=None, header_style="bold")
    for topic in CATALOG:
        wanted, found = topic.partitions(settings.partitions, settings.links), there.get(topic.name)
        count = str(wanted) if found == wanted else f"[red]{found or 'missing'}[/] (not {wanted})"
        kept = "newest of a key" if topic.kept_ms is None else f"{topic.kept_ms // 3_600_000} h"
        table.add_row(topic.name, count, topic.key, kept, ", ".join(topic.writers), ", ".join(topic.readers))
    Console().print(table)


async def create(settings: Settings) -> list[str]:
    """Creates the topics that are missing and gives their names.

    Raises:
        Problem: a topic exists with another partition count, or the broker is away, slow, or refuses.
    """
    async with _admin(settings) as admin:
        there = await _counts(admin)
        refuse_other_counts(there, settings)
        missing = [topic for topic in CATALOG if topic.name not in there]
        if not missing:
            return []
        new = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions(settings.partitions, settings.links),
                replication_factor=settings.replication,
                topic_configs=topic.config,
            )
            for topic in missing
        ]
        answer = await admin.create_topics(new, timeout_ms=_CREATE_MS)
        _refuse_errors(answer.topic_errors)
        await _await_topics(admin, {topic.name for topic in missing})
        return [topic.name for topic in missing]


async def counts(settings: Settings) -> dict[str, int]:
    """The partition count of each topic on the broker."""
    async with _admin(settings) as admin:
        return await _counts(admin)


def refuse_other_counts(there: dict[str, int], settings: Settings) -> None:
    """Raises a Problem when a topic has another partition count than these settings give it."""
    wrong = []
    for topic in CATALOG:
        wanted, found = topic.partitions(settings.partitions, settings.links), there.get(topic.name)
        if found not in {None, wanted}:
            wrong.append(f"  {topic.name} has {found} partitions, the settings say {wanted}")
    if wrong:
        raise Problem(
            "This cluster was born with other numbers:\n" + "\n".join(wrong) + "\nState is numbered by partitions, so "
            "they cannot change. Set `partitions` and `links` to what the cluster was born with, or use a new data "
            "folder."
        )


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=_TIMEOUT_MS)
    try:
        await client.start()
        yield client
    except KafkaConnectionError:
        raise Problem(
            f"No broker answers at {settings.kafka_bootstrap}. Start one (`linkcast services up`), or say where it is: "
            "LINKCAST_KAFKA_BOOTSTRAP."
        ) from None
    except (TimeoutError, RequestTimedOutError):
        raise Problem(
            f"The broker at {settings.kafka_bootstrap} is slow: no answer for {_TIMEOUT_MS // 1000} s. Try it again."
        ) from None
    except KafkaError as error:
        raise Problem(f"The broker refused: {error}") from error
    finally:
        await client.close()


async def _counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


async def _await_topics(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Waits until the broker itself knows topics that its controller has made, and each partition has a leader."""
    try:
        async with asyncio.timeout(_TIMEOUT_MS / 1000):
            while not names <= _led(await admin.describe_topics()):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise Problem(
            f"The broker is slow: not all topics that it was asked for are there after {_TIMEOUT_MS // 1000} s. Go on "
            "with: linkcast topics create"
        ) from None


def _led(described: list[dict[str, Any]]) -> set[str]:
    return {topic["topic"] for topic in described if all(part["leader"] >= 0 for part in topic["partitions"])}


def _refuse_errors(answers: Iterable[tuple[str, int, str | None]]) -> None:
    """Raises a Problem for what the broker will not create."""
    failed = [f"  {name}: {text or for_code(code).__name__}" for name, code, text in answers if code not in _UNDER_WAY]
    if failed:
        raise Problem("The broker did not create:\n" + "\n".join(failed))
