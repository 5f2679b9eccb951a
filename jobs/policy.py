"""`linkcast policy`: what an app may have and how it is served; shown, changed, and in force without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final, TypeVar

import msgspec
import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced
from rich.console import Console
from rich.table import Table

from jobs import topics
from jobs.limits import all_limits
from jobs.problem import Problem
from streams.settings import Settings
from topics import limits
from topics.catalog import POLICIES
from topics.codec import Malformed, decode, encode
from topics.policy import CHOICES, Choice, Policy, PolicySet, changed, named, shown
from topics.wire import Id

T = TypeVar("T")

#: What a policy sets beside limits.
MEANINGS: Final = {
    "sessions": "which sessions of a user a new one ends: none, those of its device, of its platform, or all others",
    "drive_server": "what members of servers hear unasked: `message`: every message; `session`: notices of unread "
    "messages; `subscription`: messages up to `subscribe_members` members, nothing above",
    "drive_team": "the same of teams; `subscription`: messages",
    "drive_direct": "the same of direct groups; `subscription`: messages",
    "drive_room": "the same of rooms; `subscription`: messages",
}
_TRANSACTIONAL_ID: Final = "policy"
_TIMEOUT_MS: Final = 15_000
_WAIT_MS: Final = 200

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="What each app may have, and how it is served: in force without a restart.",
)

AppName = Annotated[str, typer.Argument(metavar="APP", help="The app.")]


@app.command("show")
def show_command(
    context: typer.Context,
    application: Annotated[str | None, typer.Argument(metavar="[APP]", help="One app: all that it has.")] = None,
) -> None:
    """Show what apps have otherwise than usual; of one app, all that a policy may say, and what may be.

    For example: linkcast policy show acme
    """
    settings: Settings = context.obj
    there = _run(read(settings))
    if application is not None:
        _check_app(application)
        Console().print(_of_one(there.get(application, Policy())))
    elif apps := {name: named(policy) for name, policy in sorted(there.items()) if policy != Policy()}:
        Console().print(_of_all(apps))
    else:
        typer.echo("Every app is served as usual. Change one: linkcast policy set APP name=value")


@app.command("set")
def set_command(
    context: typer.Context,
    application: AppName,
    values: Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="What it has from here on.")],
) -> None:
    """Change what an app has; what is not named stays as it is.

    It is in force within a second, on every worker, for all that is asked from then on; what is there already stays,
    also where it is more than is allowed now. `linkcast policy show APP` lists the names.

    For example: linkcast policy set acme channels=1000 drive_team=session
    """
    settings: Settings = context.obj
    given: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise Problem(
                f"`{value}` is not `name=value`. For example: linkcast policy set {application} channels=1000"
            )
        given[name.strip()] = text.strip()
    try:
        changed(Policy(), given)
    except ValueError as error:
        raise Problem(f"{error}.\nWhat there is, and what each may be: linkcast policy show {application}") from None
    _change(settings, application, lambda policy: changed(policy, given))


@app.command("reset")
def reset_command(
    context: typer.Context,
    application: AppName,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME…]", help="What is as usual again; without: all.")
    ] = None,
) -> None:
    """Let an app be served as usual again: in what is named, or in everything.

    For example: linkcast policy reset acme drive_team
    """
    settings: Settings = context.obj
    if unknown := set(names or ()) - set(CHOICES):
        raise Problem(
            f"A policy has no {', '.join(sorted(unknown))}.\nWhat there is: linkcast policy show {application}"
        )
    usual = {name: str(CHOICES[name].usual) for name in names or CHOICES}
    _change(settings, application, lambda policy: changed(policy, usual))


async def write(settings: Settings, change: Callable[[dict[str, Policy]], Mapping[str, Policy]]) -> None:
    """Change policies: told to every partition in one transaction.

    Args:
        settings: of the cluster.
        change: gives, from what is there, what apps have from here on.

    Raises:
        Problem: the broker is away, its topics are not made, or somebody else changes policies at the same moment.
    """
    await _refuse_missing(settings)
    async with AsyncExitStack() as stack:
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap,
            transactional_id=f"{settings.cluster}-{_TRANSACTIONAL_ID}",
            request_timeout_ms=_TIMEOUT_MS,
        )
        stack.push_async_callback(producer.stop)
        await producer.start()  # from here on whoever began before can't commit: nobody's change is lost
        told = change(await _read_newest(settings))
        sent: list[asyncio.Future[Any]] = []
        try:
            async with producer.transaction():
                for name, policy in told.items():
                    value = encode(PolicySet(name, policy))
                    sent += [
                        await producer.send(POLICIES.name, value, name.encode(), partition)
                        for partition in range(settings.partitions)
                    ]
        finally:
            await asyncio.gather(*sent, return_exceptions=True)  # the transaction says what became of them


def _change(settings: Settings, application: str, change: Callable[[Policy], Policy]) -> None:
    _check_app(application)
    before = after = Policy()

    def make(there: dict[str, Policy]) -> dict[str, Policy]:
        nonlocal before, after
        before = there.get(application, Policy())
        after = change(before)
        return {application: after}

    _run(write(settings, make))
    for name in CHOICES:
        if (was := getattr(before, name)) != (now := getattr(after, name)):
            typer.echo(f"{name}: {was} -> {now}")
    if before == after:
        typer.echo("Nothing is another than before; it was told once more.")


async def read(settings: Settings) -> dict[str, Policy]:
    """The policy of each app that was ever given one.

    Raises:
        Problem: the broker is away, or its topics are not made.
    """
    await _refuse_missing(settings)
    return await _read_newest(settings)


async def _refuse_missing(settings: Settings) -> None:
    there = await topics.counts(settings)
    topics.refuse_other_counts(there, settings)
    if POLICIES.name not in there:
        raise Problem(f"The broker has no topic `{POLICIES.name}` yet. Make it: linkcast topics create")


async def _read_newest(settings: Settings) -> dict[str, Policy]:
    """The newest policy of each app. Every partition holds the same, so one is read."""
    partition = TopicPartition(POLICIES.name, 0)
    found: dict[str, Policy] = {}
    async with AsyncExitStack() as stack:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=_TIMEOUT_MS,
        )
        stack.push_async_callback(consumer.stop)
        await consumer.start()
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        async with asyncio.timeout(_TIMEOUT_MS / 1_000):
            while await consumer.position(partition) < end:
                for record in (await consumer.getmany(partition, timeout_ms=_WAIT_MS)).get(partition, ()):
                    try:
                        told: PolicySet = decode(POLICIES.name, record.value)
                    except Malformed:  # the workers reject it too
                        continue
                    found[told.app] = told.policy
    return found


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (ProducerFenced, InvalidProducerEpoch):
        raise Problem(
            "Somebody else changed policies at the same moment; nothing of yours is in force. Try again."
        ) from None
    except (KafkaError, TimeoutError) as error:
        raise Problem(f"The broker did not take it: {error!r}\nNothing is changed. Try again.") from error


def _check_app(name: str) -> None:
    try:
        msgspec.convert(name, Id)
    except msgspec.ValidationError:
        raise Problem(
            f"`{name}` is no app: an id has letters, digits and _ . @ - only, {limits.ID_CHARS} at most."
        ) from None


def _of_all(apps: Mapping[str, Mapping[str, int | str]]) -> Table:
    table = Table("app", "name", "value", "usual", box=None, header_style="bold", pad_edge=False)
    for name, has in apps.items():
        for i, (what, value) in enumerate(has.items()):
            table.add_row("" if i else name, what, str(value), f"[dim]{CHOICES[what].usual}[/]")
    return table


def _of_one(policy: Policy) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("name", no_wrap=True)
    for heading in ("value", "usual", "may be", "meaning"):
        table.add_column(heading, overflow="fold")
    for name, choice in CHOICES.items():
        value = getattr(policy, name)
        style = "dim" if value == choice.usual else "green"
        table.add_row(name, f"[{style}]{value}[/]", str(choice.usual), shown(choice.allowed), meaning(choice))
    return table


def meaning(choice: Choice) -> str:
    """What a name of a policy says, for people."""
    return MEANINGS.get(choice.name) or all_limits()[choice.name.upper()].meaning.removeprefix("* ")
