"""The table of history in Cassandra. See docs/adr/0002-history-and-cache-layout.md for why it is laid out so."""

from __future__ import annotations

import struct
from typing import Final

from streams.sinks.making import Needed
from topics import limits
from topics.messages import Message

#: A message's columns, in the order of `Message`'s fields; `seq` orders the rows of a partition. Mentions are ids with
#: spaces between.
COLUMNS: Final = (
    *("app", "group_id", "channel", "seq", "prev", "counter", "version", "map_version", "sender", "device"),
    *("client_id", "at", "body", "kind", "audience", "audience_version", "mentions"),
)


def create(keyspace: str, replication: int) -> tuple[Needed, ...]:
    """The keyspace and its table."""
    keyspace_made = (
        f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = "
        f"{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication}}}"
    )
    table_made = (
        f"CREATE TABLE IF NOT EXISTS {keyspace}.messages ("
        "app text, group_id text, channel text, bucket bigint, seq bigint, "
        "prev bigint, counter bigint, version bigint, map_version bigint, "
        "sender text, device text, client_id text, at bigint, kind text, body blob, "
        "audience bigint, audience_version bigint, recalled boolean, mentions text, "
        "PRIMARY KEY ((app, group_id, channel, bucket), seq)) "
        "WITH CLUSTERING ORDER BY (seq DESC) "
        # Rows come in the order of time, are read rarely (the newest come from memory and Redis), may be changed long
        # after, and are never deleted: tiers merge least, and bound how many tables a slow channel's bucket is spread
        # over, which windows by time would not.
        "AND compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T4'} "
        # Ids and JSON repeat, and history is written once and read rarely: worth Zstd; 16 KiB hold a page of a pull.
        "AND compression = {'class': 'ZstdCompressor', 'compression_level': 1, 'chunk_length_in_kb': 16} "
        "AND caching = {'keys': 'ALL', 'rows_per_partition': 'NONE'}"
    )
    # A table of 0.1.0 has no such column.
    mentions_added = f"ALTER TABLE {keyspace}.messages ADD IF NOT EXISTS mentions text"
    return (
        Needed(keyspace_made, keyspace),
        Needed(table_made, keyspace, "messages"),
        Needed(mentions_added, keyspace, "messages", "mentions"),
    )


def insert(keyspace: str) -> str:
    """Stores a message. Last comes its timestamp, the channel's event counter: no later change is overwritten by it."""
    columns = (*COLUMNS, "bucket")
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {keyspace}.messages ({', '.join(columns)}) VALUES ({marks}) USING TIMESTAMP ?"  # noqa: S608 -- names of ours


def select(keyspace: str) -> str:
    """Messages of one bucket from one seq up to another."""
    return (
        f"SELECT {', '.join(COLUMNS)} FROM {keyspace}.messages "  # noqa: S608 -- names of ours
        "WHERE app = ? AND group_id = ? AND channel = ? AND bucket = ? AND seq >= ? AND seq <= ?"
    )


def bucket_of(seq: int) -> int:
    """The bucket that holds a seq."""
    return seq // limits.HISTORY_BUCKET


def values(m: Message) -> tuple[object, ...]:
    """What `insert` takes for a message, as the driver takes it."""
    return (
        *(m.app, m.group, m.channel, m.seq, m.prev, m.counter, m.version, m.map, m.sender, m.device),
        *(m.client_id, m.at, bytes(m.body), m.kind, m.audience, m.audience_version),
        " ".join(m.mentions),
        bucket_of(m.seq),
        m.counter,
    )


def serialized(m: Message) -> list[bytes]:
    """`values` as they go over the wire: text in UTF-8, numbers big-endian. The driver takes five times as long."""
    counter = _BIGINT(m.counter)
    return [
        m.app.encode(),
        m.group.encode(),
        m.channel.encode(),
        _BIGINT(m.seq),
        _BIGINT(m.prev),
        counter,
        _BIGINT(m.version),
        _BIGINT(m.map),
        m.sender.encode(),
        m.device.encode(),
        m.client_id.encode(),
        _BIGINT(m.at),
        bytes(m.body),
        m.kind.encode(),
        _BIGINT(m.audience),
        _BIGINT(m.audience_version),
        " ".join(m.mentions).encode(),
        _BIGINT(bucket_of(m.seq)),
        counter,
    ]


_BIGINT: Final = struct.Struct(">q").pack
