"""Reads a run from outside: every topic from beginning to end, the Cassandra table, the Redis streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import RoundRobinPolicy
from cassandra.query import SimpleStatement, tuple_factory
from msgspec import Raw
from redis.asyncio import Redis

from jobs.verify.judge import TOPICS
from jobs.verify.world import Row, StoredMessage, World
from topics import catalog
from topics.catalog import Topic
from topics.codec import Malformed, decode
from topics.messages import HistoryLot, Message

#: Tells how far it is: (what is read, how much of it, of how much; 0: not known).
Progress = Callable[[str, int, int], None]

_CHUNK: Final = 20_000
_FETCH_BYTES: Final = 8 << 20
_WAIT_MS: Final = 200
_STUCK_WAITS: Final = 150
_PAGE_ROWS: Final = 2_000
_REQUEST_S: Final = 30.0  # whatever is asked: Cassandra pauses at times
_TABLE: Final = "messages"
_COLUMNS: Final = (
    *("app", "group_id", "channel", "seq", "prev", "counter", "version", "map_version", "sender", "device"),
    *("client_id", "at", "body", "kind", "audience", "audience_version", "mentions"),
)
_BODY: Final = _COLUMNS.index("body")
_EPOCH: Final = ":epoch"
_NEVER_S: Final = 1 << 40
_UPTIME_S: Final = 2  # Redis tells whole seconds
_STREAM: Final = ":recent"


class IncompleteError(Exception):
    """The run can't be judged, as part of it is gone or can't be read."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cluster is, and which numbers it was born with. None for a store: don't look at it."""

    bootstrap: str
    partitions: int
    links: int
    contact_points: Sequence[str] | None
    cassandra_port: int
    keyspace: str
    redis_url: str | None


async def read_world(place: Place, planned: Sequence[str], progress: Progress) -> World:
    """Everything that the judge asks for.

    While a run goes on, what follows from a record is read before the record: nothing is seen without its cause.

    Raises:
        IncompleteError: the beginning of a topic is gone, or a topic can't be read to its end.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=_WAIT_MS // 4,
    )
    await consumer.start()
    try:
        topics = {catalog.STORED.name: await _read_topic(consumer, catalog.STORED, place, progress)}
        stored = cached = None
        since_ms = 0
        if place.contact_points is not None:
            stored = await asyncio.to_thread(_read_cassandra, place, progress)
        if place.redis_url is not None:
            cached, since_ms = await _read_redis(place.redis_url, progress)
        ends = {topic: await _ends(consumer, topic, place) for topic in TOPICS if topic != catalog.STORED}
        for topic, end in ends.items():
            topics[topic.name] = await _read_topic(consumer, topic, place, progress, end)
    finally:
        await consumer.stop()
    return World(topics, place.partitions, place.links, stored, cached, since_ms, planned)


async def _ends(consumer: AIOKafkaConsumer, topic: Topic, place: Place) -> Mapping[TopicPartition, int]:
    """How far each partition is to be read; refuses one whose beginning is gone."""
    count = topic.partitions(place.partitions, place.links)
    partitions = [TopicPartition(topic.name, number) for number in range(count)]
    begins: dict[TopicPartition, int] = await consumer.beginning_offsets(partitions)
    if topic.kept_ms is not None and any(begins.values()):
        raise IncompleteError(
            f"The beginning of {topic.name} is gone, so the run can't be judged: it is older than its records are kept."
        )
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    return {partition: end for partition, end in ends.items() if end > begins[partition]}


async def _read_topic(
    consumer: AIOKafkaConsumer,
    topic: Topic,
    place: Place,
    progress: Progress,
    ends: Mapping[TopicPartition, int] | None = None,
) -> list[Row]:
    """Every committed record up to the ends. By position: markers and aborted records hold offsets too."""
    left = dict(await _ends(consumer, topic, place) if ends is None else ends)
    total, waited = sum(left.values()), 0
    rows: list[Row] = []
    progress(topic.name, 0, total)
    if not left:
        return []
    consumer.assign(list(left))
    await consumer.seek_to_beginning(*left)
    done: dict[TopicPartition, int] = {}
    upto = dict(left)
    while left:
        fetched = await consumer.getmany(*left, timeout_ms=_WAIT_MS, max_records=_CHUNK)
        for partition, records in fetched.items():
            rows += [
                Row(partition.partition, record.offset, record.timestamp, record.key, record.value)
                for record in records
                if record.offset < upto[partition]
            ]
        before, done = done, {partition: await consumer.position(partition) for partition in upto}
        waited = waited + 1 if before == done else 0
        if waited > _STUCK_WAITS:
            raise IncompleteError(f"{topic.name} can't be read to its end: {left} are left.")
        left = {partition: end for partition, end in upto.items() if done[partition] < end}
        progress(topic.name, min(sum(done.values()), total), total)
    return rows


def _read_cassandra(place: Place, progress: Progress) -> list[StoredMessage]:
    """Every row of the table of messages; none where nobody made it yet."""
    profile = ExecutionProfile(
        load_balancing_policy=RoundRobinPolicy(), request_timeout=_REQUEST_S, row_factory=tuple_factory
    )
    cluster = Cluster(
        list(place.contact_points or ()),
        port=place.cassandra_port,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        connect_timeout=_REQUEST_S,
        control_connection_timeout=_REQUEST_S,
    )
    try:
        session = cluster.connect()
        known = cluster.metadata.keyspaces.get(place.keyspace)
        if known is None or _TABLE not in known.tables:
            return []
        query = f"SELECT {', '.join(_COLUMNS)} FROM {place.keyspace}.{_TABLE}"  # noqa: S608 - names of ours
        rows: list[StoredMessage] = []
        for row in session.execute(SimpleStatement(query, fetch_size=_PAGE_ROWS)):
            rows.append(_stored(row))
            if len(rows) % _PAGE_ROWS == 0:
                progress("Cassandra", len(rows), 0)
        progress("Cassandra", len(rows), len(rows))
        return rows
    finally:
        cluster.shutdown()


def _stored(row: tuple[Any, ...]) -> StoredMessage:
    fields = list(row)
    fields[_BODY] = Raw(fields[_BODY])
    fields[-1] = tuple((fields[-1] or "").split())
    return _of(Message(*fields))


async def _read_redis(url: str, progress: Progress) -> tuple[list[StoredMessage] | None, int]:
    """Every entry of every channel's stream, and since when Redis has lived; None if it had to forget for room."""
    async with Redis.from_url(url) as connection:
        redis: Any = connection  # Any: redis-py's answers are typed loosely
        info = await redis.info()
        if info["evicted_keys"]:
            progress("Redis", 0, 0)
            return None, 0
        seconds, _ = await redis.time()
        rows: list[StoredMessage] = []
        async for key in redis.scan_iter(match=f"*{_STREAM}", count=_PAGE_ROWS):
            for id_, fields in await redis.xrange(key):
                rows.append(_cached(key, id_, fields[b"m"]))
            progress("Redis", len(rows), 0)
        progress("Redis", len(rows), len(rows))
        began = max(seconds - info["uptime_in_seconds"], _begun(await redis.get(_EPOCH)))
        return rows, (began + _UPTIME_S) * 1_000


def _begun(epoch: bytes | None) -> int:
    """The second when the cache's life began, by its epoch; a cache without one has yet to begin."""
    if epoch is None:
        return _NEVER_S
    return int(epoch.partition(b"-")[0]) if b"-" in epoch else 0


def _cached(key: bytes, id_: bytes, value: bytes) -> StoredMessage:
    """An entry: what its place says that it is, beside what it is."""
    app, group, channel = key.decode().removesuffix(_STREAM).split(":")
    seq = int(id_.partition(b"-")[0])
    try:
        lot: HistoryLot = decode(catalog.HISTORY.name, b'{"t":"history","source":0,"entries":[' + value + b"]}")
    except Malformed:
        return StoredMessage(app, group, channel, seq, -1)
    message = lot.entries[0]
    return StoredMessage(app, group, channel, seq, message.prev, message)


def _of(message: Message) -> StoredMessage:
    return StoredMessage(message.app, message.group, message.channel, message.seq, message.prev, message)
