"""What of history is not stored yet is read from the topic, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from msgspec import Raw

from streams.settings import Settings
from streams.sinks.patience import AwayError
from streams.web import tail as tails
from streams.web.pages import ChannelId
from streams.web.tail import HistoryTail
from topics import catalog, limits
from topics.codec import encode
from topics.messages import HistoryLot, Message

CHANNEL = ChannelId("app", "g", "main")


def message(seq: int, group: str = "g") -> Message:
    return Message("app", group, "main", seq, seq - 1, seq, 1, 1, "ann", "phone", f"c{seq}", seq, Raw(b'"hi"'))


@pytest.fixture
async def tail(fresh_topics: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HistoryTail]:
    """As patient as a busy machine asks for."""
    monkeypatch.setattr(tails, "_GRACE_S", 3.0)
    monkeypatch.setattr(tails, "_READ_S", 20.0)
    tail = HistoryTail({"bootstrap_servers": fresh_topics.kafka_bootstrap})
    yield tail
    await tail.close()


@pytest.fixture
async def producer(fresh_topics: Settings) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=fresh_topics.kafka_bootstrap) as producer:
        yield producer


async def write(producer: AIOKafkaProducer, partition: int, *messages: Message) -> int:
    value = encode(HistoryLot(partition, list(messages)))
    offset: int = (await producer.send_and_wait(catalog.HISTORY.name, value, partition=partition)).offset
    return offset


async def test_only_the_channels_own_from_the_offset_on(tail: HistoryTail, producer: AIOKafkaProducer) -> None:
    await write(producer, 0, message(1), message(1, "other"))
    await producer.send_and_wait(catalog.HISTORY.name, b"not a record", partition=0)
    second = await write(producer, 0, message(2), message(2, "other"), message(3))
    assert await tail.read(0, None, CHANNEL, 1, 9) == {seq: encode(message(seq)) for seq in (1, 2, 3)}
    assert sorted(await tail.read(0, second, CHANNEL, 1, 9)) == [2, 3]
    assert sorted(await tail.read(0, second, CHANNEL, 3, 3)) == [3]
    assert await tail.read(0, second + 1, CHANNEL, 1, 9) == {}


async def test_a_message_that_becomes_readable_a_moment_later_is_waited_for(
    tail: HistoryTail, producer: AIOKafkaProducer
) -> None:
    await tail.read(1, None, CHANNEL, 1, 1)  # connected
    reading = asyncio.create_task(tail.read(1, None, CHANNEL, 1, 1))
    await asyncio.sleep(0.05)
    await write(producer, 1, message(1))
    assert sorted(await reading) == [1]


async def test_too_much_that_is_not_stored_is_refused_not_read(
    tail: HistoryTail, producer: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TAIL_RECORDS", 5)
    for seq in range(1, 9):
        await write(producer, 2, message(seq, "other"))
    with pytest.raises(AwayError, match="not stored yet"):
        await tail.read(2, None, CHANNEL, 1, 1)


async def test_many_at_once_take_turns_and_too_many_are_sent_away(
    tail: HistoryTail, producer: AIOKafkaProducer
) -> None:
    await write(producer, 3, message(1))
    asked = [tail.read(3, None, CHANNEL, 1, 1) for _ in range(limits.TAIL_WAITING + 3)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, AwayError) for one in found) == 3
    assert [one for one in found if not isinstance(one, BaseException)] == [
        {1: encode(message(1))}
    ] * limits.TAIL_WAITING


async def test_a_consumer_that_finds_nothing_any_more_is_no_empty_answer_and_is_replaced(
    tail: HistoryTail, producer: AIOKafkaProducer
) -> None:
    begin = await write(producer, 0, message(1, "late"))
    late = ChannelId("app", "late", "main")
    assert sorted(await tail.read(0, begin, late, 1, 1)) == [1]
    assert tail._consumer is not None
    tail._consumer._fetcher._fetch_task.cancel()
    with pytest.raises(AwayError, match="fetch task has ended"):
        await tail.read(0, begin, late, 1, 1)
    assert sorted(await tail.read(0, begin, late, 1, 1)) == [1]


async def test_without_a_broker_it_says_so() -> None:
    tail = HistoryTail({"bootstrap_servers": "127.0.0.1:9"})
    with pytest.raises(AwayError, match="kafka away"):
        await tail.read(0, None, CHANNEL, 1, 1)
