"""Who may read a channel from its owner's memory, and how the owner is found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streams.batches.errors import UnavailableError
from streams.groups.core import GroupsCore
from streams.web import recent
from streams.web.guard import Policy, guard
from streams.web.owners import Directory
from streams.web.pages import ChannelId, Window
from streams.web.problems import ProblemError
from streams.web.reader import Recent
from streams.web.recent import OwnerClient, RecentView, recent_of
from streams.web.tokens import Claims, Role, Tokens
from tests.cores import Partition, create, delete, groups, remove, send
from topics.codec import decode
from topics.owners import Owner

T = TypeVar("T")

CHANNEL = ChannelId("app", "g", "main")
ANN, BOB = Claims("app", "user", "ann"), Claims("app", "user", "bob")
ALL = Window(50)
TOKENS = Tokens("s" * 40)
WORKERS: tuple[Role, ...] = ("worker",)


def talked(count: int = 3) -> Partition:
    """A group of ann's in which she said something."""
    partition = groups()
    partition.apply(create("ann"))
    partition.apply(*(send("ann", f"c{n}", partition.now_ms) for n in range(count)))
    return partition


def ask(partition: Partition, asker: Claims, window: Window = ALL, channel: ChannelId = CHANNEL) -> Recent:
    return recent_of(cast("GroupsCore", partition.core), channel, window, asker)


def refused(partition: Partition, asker: Claims, channel: ChannelId = CHANNEL) -> str:
    with pytest.raises(ProblemError) as caught:
        ask(partition, asker, channel=channel)
    return caught.value.code


@pytest.mark.parametrize("asker", [ANN, Claims("app", "gateway", "gw"), Claims("app", "admin", "root")])
def test_a_member_and_the_apps_own_see_head_and_messages(asker: Claims) -> None:
    found = ask(talked(), asker)
    assert (found.head, sorted(found.entries)) == (3, [1, 2, 3])
    assert all(b'"s":%d,' % seq in encoded for seq, encoded in found.entries.items())


def test_only_the_window_is_answered() -> None:
    assert sorted(ask(talked(9), ANN, Window(2, before=6)).entries) == [4, 5]


def test_who_is_no_member_sees_nothing_also_through_another_worker() -> None:
    assert refused(talked(), BOB) == "not_a_member"
    assert refused(talked(), Claims("app", "worker", "bob", "user")) == "not_a_member"


def test_who_was_removed_sees_nothing_from_then_on() -> None:
    partition = talked()
    partition.apply(remove("ann"))
    assert refused(partition, ANN) == "not_a_member"


def test_a_re_created_group_shows_nothing_of_its_earlier_life() -> None:
    partition = talked()
    partition.apply(delete())
    partition.apply(create("bob"))
    partition.apply(send("bob", "new", partition.now_ms + 1))
    for crash in (False, True):
        if crash:
            partition.crash()
        found = ask(partition, BOB, Window(50, after=0))
        assert (found.head, found.floor) == (4, 3)
        assert set(found.entries) <= {4}


def test_an_unknown_or_ended_group_or_channel_is_unknown() -> None:
    partition = talked()
    assert refused(partition, ANN, ChannelId("app", "other", "main")) == "unknown_group"
    assert refused(partition, ANN, ChannelId("app", "g", "side")) == "unknown_group"
    partition.apply(delete())
    assert refused(partition, ANN) == "unknown_group"


def test_reading_makes_no_rows() -> None:
    partition = talked()
    before = dict(partition.store.rows)
    refused(partition, ANN, ChannelId("app", "made-up", "main"))
    ask(partition, ANN)
    partition.tick()
    assert partition.store.rows == before


def test_after_a_take_over_the_head_is_known_and_memory_is_empty() -> None:
    partition = talked()
    partition.crash()
    assert ask(partition, ANN) == Recent(3, {})


class Reader:
    """A worker's groups lanes."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.closed = False

    async def __call__(self, partition: int, fn: Callable[[GroupsCore], T]) -> T:
        assert partition == 0
        if self.closed:
            raise UnavailableError("closed")
        return fn(cast("GroupsCore", self.partition.core))


class Cluster:
    """An owner, and another worker that is asked."""

    def __init__(self) -> None:
        self.reader = Reader(talked())
        self.directory = Directory()
        memory = RecentView(1, self.reader)
        policy = Policy()
        app = web.Application(middlewares=guard(policy, TOKENS))
        policy.add(app, recent.PATH, memory.serve, WORKERS)
        self.server = TestServer(app)

    async def run(self, work: Callable[[OwnerClient], Awaitable[None]]) -> None:
        async with self.server, aiohttp.ClientSession() as http:
            self.url = str(self.server.make_url("/")).rstrip("/")
            await work(OwnerClient(self.directory, RecentView(1, None), lambda: "http://asked", TOKENS, http))

    def announce(self, url: str | None = None) -> None:
        self.directory.owner(Owner("groups", 0, url or self.url))


async def test_the_owner_answers_another_worker_as_it_would_itself() -> None:
    cluster = Cluster()

    async def work(client: OwnerClient) -> None:
        cluster.announce()
        assert await client.recent(0, CHANNEL, Window(2), ANN) == ask(cluster.reader.partition, ANN, Window(2))
        for asker, code in ((BOB, "not_a_member"), (Claims("other", "admin", "x"), "unknown_group")):
            channel = ChannelId(asker.app, "g", "main")
            with pytest.raises(ProblemError) as caught:
                await client.recent(0, channel, Window(2), asker)
            assert caught.value.code == code

    await cluster.run(work)


async def test_an_owner_that_opens_late_is_waited_for() -> None:
    cluster = Cluster()

    async def work(client: OwnerClient) -> None:
        cluster.announce("http://127.0.0.1:9")  # the one before: nobody listens there
        asked = asyncio.ensure_future(client.recent(0, CHANNEL, Window(2), ANN))
        await asyncio.sleep(0.2)
        cluster.reader.closed = True
        cluster.announce()
        await asyncio.sleep(0.2)
        assert not asked.done()
        cluster.reader.closed = False
        assert (await asked).head == 3

    await cluster.run(work)


async def test_without_an_owner_the_answer_is_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_OWNER_S", 0.2)
    cluster = Cluster()

    async def work(client: OwnerClient) -> None:
        for url in (None, "http://127.0.0.1:9", "http://asked", cluster.url):
            cluster.reader.closed = True
            if url is not None:
                cluster.announce(url)
            with pytest.raises(ProblemError) as caught:
                await client.recent(0, CHANNEL, Window(2), ANN)
            assert (caught.value.code, caught.value.status) == ("owner_unknown", 503)

    await cluster.run(work)


def test_messages_are_those_that_travelled() -> None:
    partition = groups()
    partition.apply(create("ann"))
    seen = partition.apply(send("ann", "c", partition.now_ms, body=b'{ "odd":  1 }'))
    (lot,) = seen.out.records["history", 0]
    assert ask(partition, ANN).entries[1] in lot[1]
    assert decode("history", lot[1]).entries[0].seq == 1
