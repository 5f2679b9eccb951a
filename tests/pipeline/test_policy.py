"""Policies on a real broker: told to every partition or to none, and nobody's change is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
from aiokafka.errors import KafkaError
from typer.testing import CliRunner

from jobs import policy
from jobs.problem import Problem
from jobs.verify.readers import Place, read_world
from streams.settings import Settings, load
from topics.catalog import POLICIES
from topics.policy import Policy, changed


async def test_a_policy_is_told_to_every_partition_and_read_back(fresh_topics: Settings) -> None:
    await policy.write(fresh_topics, lambda _: {"acme": Policy(roles=3), "other": Policy(channels=2)})
    await policy.write(fresh_topics, lambda there: {"acme": changed(there["acme"], {"channels": "7"})})
    await reads(fresh_topics, {"acme": Policy(roles=3, channels=7), "other": Policy(channels=2)}.__eq__)
    place = Place(fresh_topics.kafka_bootstrap, fresh_topics.partitions, fresh_topics.links, None, 0, "", None)
    world = await read_world(place, (), lambda *_: None)
    told = [(row.partition, record.app, record.policy) for row, record in world.rows(POLICIES)]
    for partition in range(fresh_topics.partitions):
        last = {app: one for at, app, one in told if at == partition}
        assert last == {"acme": Policy(roles=3, channels=7), "other": Policy(channels=2)}


async def test_of_two_changes_at_once_none_is_lost_unheard(fresh_topics: Settings) -> None:
    async def change(name: str) -> bool:
        try:
            await policy.write(fresh_topics, lambda there: {"app": changed(there.get("app", Policy()), {name: "9"})})
        except KafkaError:
            return False
        return True

    names = ("roles", "channels", "categories")
    done = await asyncio.gather(*map(change, names))
    assert any(done)
    await reads(fresh_topics, lambda found: [getattr(found["app"], name) == 9 for name in names] == list(done))


async def reads(settings: Settings, wanted: Callable[[Mapping[str, Policy]], bool]) -> None:
    """A commit is answered a moment before readers see it."""
    async with asyncio.timeout(10):
        while not wanted(await policy.read(settings)):  # noqa: ASYNC110 - the broker has no event for it
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["set", "acme", "roles=9999"], "`roles` may be 0 to 2500, not `9999`"),
        (["set", "acme", "roles"], "is not `name=value`"),
        (["reset", "acme", "speed"], "no speed"),
        (["set", "a:b", "roles=1"], "`a:b` is no app"),
    ],
)
def test_what_cannot_be_is_told_with_what_may_be(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(policy.app, arguments, obj=load())
    assert isinstance(result.exception, Problem)
    assert told in str(result.exception)
