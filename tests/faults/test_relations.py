"""Changes of a million users, and apps that use the same ids, while workers are killed: each ends as plain sets say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from jobs.demo.scenario import TEAM
from streams.web.tokens import Claims, Tokens
from tests.faults.stage import Stage
from tests.faults.test_faults import LONG_S, WAIT_MS, now_ms
from tests.faults.worker import Plan, Step
from topics import catalog, events, limits
from topics.codec import decode, encode
from topics.keys import key_of, partition_of
from topics.relations import (
    AddMembers,
    AddRoleMembers,
    Asked,
    CreateChannel,
    CreateGroup,
    CreateRole,
    EditList,
    Large,
    RemoveMembers,
)

USERS: Final = [f"u{number:07}" for number in range(1_000_000)]
GROUP, ROLE, CHANNEL = "city", "crew", "den"
CREW: Final = USERS[:100_000]
GONE: Final = USERS[50_000:90_000]
GUESTS: Final = USERS[500_000:520_000]
SAMPLE: Final = 9_973  # every so many users are asked about, one by one
WITHIN_S: Final = 180.0


class City:
    """A server of a million in an app of its own, and what its owner tells of it."""

    def __init__(self, stage: Stage, producer: AIOKafkaProducer, http: aiohttp.ClientSession) -> None:
        self.app = f"a{uuid4().hex[:8]}"
        self._stage = stage
        self._producer = producer
        self._http = http
        self._token = Tokens.of(stage.settings).mint(Claims(self.app, "admin", "test"), 3_600)

    async def write(self, commands: Iterable[Asked]) -> None:
        """All in their order."""
        key = key_of(self.app, GROUP)
        for command in commands:
            await self._producer.send(catalog.RELATIONS.name, encode(command), key=key)
        await self._producer.flush()

    def in_lots(self, users: Sequence[str], make: Callable[..., Large], **given: Any) -> list[Large]:
        """One change in as many parts as it takes."""
        lots = [users[at : at + limits.LOT_USERS] for at in range(0, len(users), limits.LOT_USERS)]
        name = uuid4().hex
        return [
            make(self.app, GROUP, **given, **users_of(make, lot), change_set=name, part=part, parts=len(lots))
            for part, lot in enumerate(lots, 1)
        ]

    async def ask(self, path: str) -> Any:
        """What the view of the group tells, once it does."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                url = f"{self._stage.url('users')}/v1/apps/{self.app}/{path}"
                async with self._http.get(url, headers={"Authorization": f"Bearer {self._token}"}) as answer:
                    if answer.status == 200:
                        return await answer.json()
                    told = await answer.text()
                    assert answer.status in {404, 503}, told
                await asyncio.sleep(0.2)

    async def members(self, path: str) -> list[str]:
        """All pages of a list of members."""
        found: list[str] = []
        cursor = ""
        while True:
            page = await self.ask(f"{path}?limit={limits.PAGE_ENTRIES}{cursor}")
            found += [member["user"] for member in page["members"]]
            if "next" not in page:
                assert (page["count"], page.get("state", "final")) == (len(found), "final")
                return found
            cursor = f"&cursor={page['next']}"

    async def finished(self, change_set: Large) -> dict[str, Any]:
        """How a change set went, when all its parts came."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                told: dict[str, Any] = await self.ask(f"groups/{GROUP}/change-sets/{change_set.change_set}")
                if told["came"] == told["parts"]:
                    return told
                await asyncio.sleep(0.2)

    async def events(self) -> list[events.Happened]:
        """All that ever happened to the group, in order."""
        settings = self._stage.settings
        key = key_of(self.app, GROUP)
        place = TopicPartition(catalog.RELATION_EVENTS.name, partition_of(key, settings.partitions))
        found: list[events.Happened] = []
        async with AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap, isolation_level="read_committed", group_id=None
        ) as consumer:
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            end = (await consumer.end_offsets([place]))[place]
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [decode(place.topic, record.value) for record in records if record.key == key]
        return found


def users_of(make: Callable[..., Large], lot: Sequence[str]) -> dict[str, Any]:
    return {"add_users": list(lot)} if make is EditList else {"users": list(lot)}


@asynccontextmanager
async def city(stage: Stage) -> AsyncIterator[City]:
    settings = stage.settings
    bound = {"max_request_size": limits.RECORD_BYTES, "max_batch_size": limits.RECORD_BYTES}
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, enable_idempotence=True, **bound)
    async with producer, aiohttp.ClientSession() as http:
        yield City(stage, producer, http)


async def until(so: Callable[[], Any], why: str) -> None:
    """Wait for something."""
    deadline_s = time.monotonic() + WITHIN_S
    while not await asyncio.to_thread(so):
        assert time.monotonic() < deadline_s, why
        await asyncio.sleep(0.05)


async def until_final(here: City) -> None:
    """Wait until no change is under way."""
    async with asyncio.timeout(WITHIN_S):
        while (await here.ask(f"groups/{GROUP}")).get("state", "final") != "final":  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.2)


async def test_two_apps_with_the_same_ids_never_touch_while_workers_are_killed(stage: Stage) -> None:
    async with stage.loads(2, seed=13, most_s=LONG_S, settle_ms=WAIT_MS) as scenes:
        one, other = scenes
        assert one.groups == other.groups
        assert one.app != other.app
        for name in ("groups", "users"):
            happened = await one.happens(name, Plan(name, "before the commit", batch=5))
            assert happened.records > 0
            await one.until(lambda name=name: stage.died(name), 5, f"{name} dies")  # type: ignore[misc]
            await asyncio.to_thread(stage.start, name)
            await one.until(lambda name=name: stage.ready(name), 60, f"{name} is back")  # type: ignore[misc]
            for scene in scenes:
                await scene.all_hear(now_ms())
    assert [scene.heard.apps for scene in scenes] == [{scene.app} for scene in scenes]
    heads = [
        {
            message.group
            for row in one.whole_world.topics[catalog.HISTORY.name]
            for message in entries(row)
            if message.app == scene.app
        }
        for scene in scenes
    ]
    assert TEAM in heads[0] & heads[1]


def entries(row: Any) -> list[Any]:
    return list(decode(catalog.HISTORY.name, row.value).entries)


async def test_killed_in_the_middle_of_a_change_of_a_million_it_resumes_and_ends_as_plain_sets_say(
    stage: Stage,
) -> None:
    await asyncio.to_thread(stage.set_up)
    async with city(stage) as here:
        added = here.in_lots(USERS, AddMembers)
        crew = here.in_lots(CREW, AddRoleMembers, role=ROLE)
        guests = here.in_lots(GUESTS, EditList, which="white", channel=CHANNEL)
        removed = here.in_lots(GONE, RemoveMembers)
        kills: list[tuple[Step, list[Asked]]] = [
            ("before the commit", [CreateGroup(here.app, GROUP, kind="server"), *added]),
            (
                "after the commit",
                [
                    CreateRole(here.app, GROUP, role=ROLE),
                    CreateChannel(here.app, GROUP, channel=CHANNEL, view_mode="private", white_roles=[ROLE]),
                    *crew,
                    *guests,
                    *removed,
                ],
            ),
        ]
        for step, commands in kills:
            plan = Plan("groups", step, batch=4, topic=catalog.RELATIONS.name)
            stage.plan("groups", plan)
            await here.write(commands)
            await until(lambda: stage.happened("groups"), f"{plan}\n{stage.last_words()}")
            await until(lambda: stage.died("groups"), "it dies")
            await asyncio.to_thread(stage.start, "groups")
        progress = [await here.finished(lots[-1]) for lots in (added, crew, guests, removed)]
        assert [one["changed"] for one in progress] == [len(USERS), len(CREW), len(GUESTS), len(GONE)]

        await until(lambda: (lag := stage.lag()) is not None and not any(lag.values()), "all is applied")
        await until_final(here)
        left = set(USERS) - set(GONE)
        assert (await here.ask(f"groups/{GROUP}"))["members"] == len(left)
        assert set(await here.members(f"groups/{GROUP}/roles/{ROLE}/members")) == set(CREW) & left
        assert set(await here.members(f"groups/{GROUP}/channels/{CHANNEL}/members")) == (set(CREW) | set(GUESTS)) & left
        for user in USERS[::SAMPLE]:
            groups = (await here.ask(f"users/{user}/groups"))["groups"]
            assert [one["group"] for one in groups] == ([GROUP] if user in left else [])

        told = await here.events()
        assert [event.version for event in told] == list(range(1, len(told) + 1))
        joined = [
            pair
            for one in told
            if isinstance(one, events.MembersAdded)
            for pair in zip(one.users, one.ordinals, strict=True)
        ]
        assert [user for user, _ in joined] == USERS
        assert len({ordinal for _, ordinal in joined}) == len(USERS)
        gone = [user for one in told if isinstance(one, events.MembersRemoved) for user in one.users]
        assert gone == GONE
