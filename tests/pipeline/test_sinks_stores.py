"""History in real Cassandra and Redis: twice is as good as once, later changes stay, a lost cache loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from cassandra.cluster import Session
from msgspec import Raw, structs

from jobs.services import Services
from streams.settings import Settings
from streams.sinks.cassandra import HistoryTable, message_runs
from streams.sinks.core import Entry
from streams.sinks.making import Needed
from streams.sinks.patience import AwayError, patiently
from streams.sinks.redis import EPOCH, recent_key
from streams.sinks.session import CassandraSession, Writing
from streams.sinks.stores import Stores
from streams.web.owners import Directory
from streams.web.pages import ChannelId, Window
from streams.web.reader import MessageReader, Recent
from streams.web.tail import HistoryTail
from streams.web.tokens import Claims
from tests.services import forget_stored, own_settings
from topics import limits
from topics.codec import encode
from topics.messages import Message

T = TypeVar("T")


@pytest.fixture
def settings(services: Services) -> Settings:
    services.up(("redis", "cassandra"))
    return services.settings


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    async with Stores(settings) as stores:
        yield stores


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A keyspace that a test may damage."""
    own = own_settings(settings, tmp_path)
    yield own
    forget_stored(own)


@pytest.fixture
async def own_stores(own: Settings) -> AsyncIterator[Stores]:
    async with Stores(own) as stores:
        yield stores


@pytest.fixture
def group() -> str:
    return f"g-{uuid4().hex}"


def talk(group: str, seqs: Iterable[int], body: bytes = b'{ "text":  "hi" }') -> list[Message]:
    return [
        Message("app", group, "main", seq, seq - 1, seq, 1, 2, "ann", "phone", f"c{seq}", 1_000 + seq, Raw(body))
        for seq in seqs
    ]


def entries(messages: Iterable[Message]) -> list[Entry]:
    return [Entry(0, message, encode(message)) for message in messages]


async def write(table: HistoryTable, messages: list[Message]) -> Writing[Message]:
    writing = Writing(message_runs(messages))
    await soon(lambda: table.write(writing))
    assert writing.left == []
    return writing


async def soon(attempt: Callable[[], Awaitable[T]]) -> T:
    """As lanes do: what is away is asked again."""
    async with asyncio.timeout(120):
        return await patiently(attempt, lambda _: None)


def session_of(table: HistoryTable) -> Session:
    assert table._session._connection is not None
    return table._session._connection.session


async def test_history_is_read_back_to_the_byte_across_buckets(stores: Stores, group: str) -> None:
    edge = limits.HISTORY_BUCKET
    messages = talk(group, range(edge - 300, edge + 300))
    await write(stores.table, messages)
    found = await stores.table.read("app", group, "main", edge - 5, edge + 5)
    assert found == {message.seq: encode(message) for message in messages[295:306]}
    assert await stores.table.read("app", group, "side", 1, 10) == {}


async def test_writing_again_changes_nothing_in_either_store(stores: Stores, group: str) -> None:
    messages = talk(group, range(1, 51))
    for part in (messages[:30], messages, messages[10:20]):
        await write(stores.table, part)
        await stores.cache.write(entries(part))
    everything = {message.seq: encode(message) for message in messages}
    assert await stores.table.read("app", group, "main", 1, 100) == everything
    assert await stores.cache.read("app", group, "main", 1, 100) == everything
    assert await stores.cache._redis.xlen(recent_key("app", group, "main")) == len(messages)


async def test_a_newer_change_outlives_a_late_insert(settings: Settings, stores: Stores, group: str) -> None:
    (message,) = talk(group, [1])
    changed = structs.replace(message, body=Raw(b'"changed"'))
    await write(stores.table, [message])
    where = f"WHERE app = 'app' AND group_id = '{group}' AND channel = 'main' AND bucket = 0 AND seq = 1"
    table = f"{settings.keyspace}.messages"
    session_of(stores.table).execute(
        f"UPDATE {table} USING TIMESTAMP 5 SET body = textAsBlob('\"changed\"'), recalled = true {where}"
    )
    await write(stores.table, [message])
    assert await stores.table.read("app", group, "main", 1, 1) == {1: encode(changed)}
    assert session_of(stores.table).execute(f"SELECT recalled FROM {table} {where}").one() == (True,)


async def test_a_row_that_can_never_be_stored_is_refused_alone(stores: Stores, group: str) -> None:
    messages = talk(group, range(1, 6))
    messages[2] = structs.replace(messages[2], version=2**63)
    writing = await write(stores.table, messages)
    assert [refusal.at for refusal in writing.refused] == [2]
    assert sorted(await stores.table.read("app", group, "main", 1, 9)) == [1, 2, 4, 5]


async def test_a_dropped_table_is_made_again_and_refuses_nothing(
    settings: Settings, stores: Stores, group: str
) -> None:
    await write(stores.table, talk(group, [1]))
    session_of(stores.table).execute(f"DROP TABLE {settings.keyspace}.messages", timeout=120)
    writing = await write(stores.table, talk(group, range(1, 40)))
    assert writing.refused == []
    assert sorted(await stores.table.read("app", group, "main", 1, 99)) == list(range(1, 40))


async def test_only_what_is_missing_is_made(own: Settings, own_stores: Stores, group: str) -> None:
    await write(own_stores.table, talk(group, [1]))
    table = own.keyspace, "messages"
    there = Needed("refused if it were tried", own.keyspace), Needed("so", *table), Needed("so", *table, "mentions")
    added = Needed(f"ALTER TABLE {own.keyspace}.messages ADD more text", *table, "more")
    for missing in ((), (added,), (added,)):
        session = CassandraSession(own, (*there, *missing), {})
        try:
            await soon(session.connect)
        finally:
            await session.close()
    await write(own_stores.table, talk(group, [2]))


@pytest.mark.parametrize("gone", ["TABLE {}.messages", "KEYSPACE {}"])
async def test_what_was_dropped_is_away_to_a_reader_until_it_is_made_again(
    own: Settings, own_stores: Stores, group: str, gone: str
) -> None:
    await write(own_stores.table, talk(group, [1]))
    session_of(own_stores.table).execute(f"DROP {gone.format(own.keyspace)}", timeout=120)
    with pytest.raises(AwayError):
        await own_stores.table.read("app", group, "main", 1, 9)
    assert await soon(lambda: own_stores.table.read("app", group, "main", 1, 9)) == {}


async def test_a_table_that_cannot_be_mended_is_waited_for(own: Settings, own_stores: Stores, group: str) -> None:
    await write(own_stores.table, talk(group, [1]))
    for change in ("DROP mentions", "ADD mentions blob", "DROP mentions"):
        session_of(own_stores.table).execute(f"ALTER TABLE {own.keyspace}.messages {change}", timeout=120)
    writing = Writing(message_runs(talk(group, [2])))
    with pytest.raises(AwayError, match="mentions"):
        await own_stores.table.write(writing)
    assert len(writing.left) == 1


@pytest.mark.parametrize(("size", "name"), [(0, 0), (0, limits.ID_CHARS), (150, 0), (400, limits.ID_CHARS)])
async def test_small_writes_together_stay_below_what_cassandra_warns_of(
    stores: Stores, group: str, size: int, name: int
) -> None:
    body = b'"' + b"x" * size + b'"'
    messages = [talk(f"{group}-{n}".ljust(name, "x"), [1], body)[0] for n in range(40)]
    writing = Writing(message_runs(messages))
    assert len(writing.left) < len(messages)
    warned: list[Any] = []
    session = (await stores.table._session._connected()).session
    session.add_request_init_listener(lambda future: future.add_callback(lambda _: warned.append(future.warnings)))
    await stores.table.write(writing)
    assert warned
    assert not any(warned)


async def test_the_cache_keeps_the_newest_and_forgets_the_idle(stores: Stores, group: str) -> None:
    messages = talk(group, range(1, 3 * limits.CACHE_ENTRIES))
    for at in range(0, len(messages), 100):
        await stores.cache.write(entries(messages[at : at + 100]))
    key = recent_key("app", group, "main")
    assert limits.CACHE_ENTRIES <= await stores.cache._redis.xlen(key) < 1.5 * limits.CACHE_ENTRIES
    assert 0 < await stores.cache._redis.ttl(key) <= limits.CACHE_IDLE_S
    assert messages[-1].seq in await stores.cache.read("app", group, "main", 1, len(messages))


async def test_a_foreign_value_under_a_channels_key_goes(stores: Stores, group: str) -> None:
    await stores.cache._redis.set(recent_key("app", group, "main"), "mine")
    assert await stores.cache.read("app", group, "main", 1, 9) == {}
    with pytest.raises(Exception, match="WRONGTYPE"):
        await stores.cache.write(entries(talk(group, [1])))
    await stores.cache.write(entries(talk(group, [1])))
    assert sorted(await stores.cache.read("app", group, "main", 1, 9)) == [1]


async def test_a_cache_without_its_epoch_is_not_trusted(stores: Stores, group: str) -> None:
    await stores.cache.write(entries(talk(group, [1])))
    first = stores.cache.epoch
    assert first is not None
    await stores.cache._redis.delete(EPOCH)
    assert await stores.cache.read("app", group, "main", 1, 9) == {}
    assert stores.cache.epoch is None
    await stores.cache.write(entries(talk(group, [2])))
    assert stores.cache.epoch not in {None, first}


class Owner:
    """An owner just taken over: it knows the head and has no message in memory."""

    def __init__(self, head: int) -> None:
        self.head = head

    async def recent(self, channel: ChannelId, window: Window, asker: Claims) -> Recent:
        del channel, window, asker
        return Recent(self.head, {})


@pytest.mark.parametrize("loss", ["nothing", "flushed", "killed"])
async def test_a_lost_cache_is_made_up_for_by_cassandra(
    services: Services, stores: Stores, group: str, loss: str
) -> None:
    messages = talk(group, range(1, 31))
    await write(stores.table, messages)
    await stores.cache.write(entries(messages))
    if loss == "flushed":
        await stores.cache._redis.flushall()
    elif loss == "killed":
        services.kill("redis")
    directory = Directory()
    directory.complete = True
    reader = MessageReader(1, Owner(30), stores.cache, stores.table, HistoryTail({}), directory)
    pulled = await reader.page(ChannelId("app", group, "main"), Window(20), Claims("app", "admin", "a"))
    assert pulled.messages == [encode(message) for message in messages[10:]]
    services.up(("redis",))
    await stores.cache.write(entries(talk(group, [31])))  # it is found again
    assert 31 in await stores.cache.read("app", group, "main", 31, 31)
