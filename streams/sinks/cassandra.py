"""Messages in Cassandra: written in batches of one partition each, read by seq."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from streams.settings import Settings
from streams.sinks import schema
from streams.sinks.runs import Run, runs
from streams.sinks.session import CassandraSession, Row, Writing
from topics.codec import encode
from topics.messages import USUAL_KIND, Message

_ROW_OVERHEAD: Final = 340  # a row's bytes as Cassandra counts them, besides its texts


class HistoryTable:
    """The table of history. It connects on first use and whenever the connection was lost."""

    def __init__(self, settings: Settings) -> None:
        self._session = CassandraSession(
            settings,
            schema.create(settings.keyspace, settings.cassandra_replication),
            {"insert": schema.insert(settings.keyspace), "select": schema.select(settings.keyspace)},
        )
        self.seconds = self._session.seconds  #: of requests answered

    async def connect(self) -> None:
        """Connect unless it is; the table is there then.

        Raises:
            AwayError: Cassandra does not answer.
        """
        await self._session.connect()

    async def write(self, writing: Writing[Message]) -> None:
        """Write what is left.

        Raises:
            AwayError: some is still left; try again.
        """
        await self._session.write(writing, _row)

    async def read(self, app: str, group: str, channel: str, low: int, high: int) -> dict[int, bytes]:
        """Those of a channel's messages from `low` up to `high` that are here, encoded as they travel.

        Raises:
            AwayError: Cassandra does not answer.
        """
        buckets = range(schema.bucket_of(low), schema.bucket_of(high) + 1)
        found = await self._session.read_all("select", [(app, group, channel, bucket, low, high) for bucket in buckets])
        return {row[3]: _encoded(row) for rows in found for row in rows}

    async def close(self) -> None:
        """Disconnect."""
        await self._session.close()


def message_runs(messages: Sequence[Message]) -> list[Run[Message]]:
    """Messages in the runs to write."""
    return runs(messages, lambda m: (m.app, m.group, m.channel, schema.bucket_of(m.seq)), _size)


def _row(message: Message) -> Row:
    return "insert", schema.serialized(message)


def _encoded(row: tuple[Any, ...]) -> bytes:
    app, group, channel, seq, prev, counter, version, map_, sender, device, client_id, at, body, kind, *rest = row
    audience, audience_version, mentions = rest
    kind = USUAL_KIND if kind == USUAL_KIND else kind
    return encode(
        Message(
            *(app, group, channel, seq, prev, counter, version, map_, sender, device, client_id, at),
            msgspec.Raw(body),
            kind,
            audience,
            audience_version,
            tuple((mentions or "").split()),
        )
    )


def _size(m: Message) -> int:
    """A row's bytes, rather too many."""
    ids = len(m.app) + len(m.group) + len(m.channel) + len(m.sender) + len(m.device) + len(m.client_id)
    return _ROW_OVERHEAD + ids + len(m.kind) + len(bytes(m.body)) + sum(map(len, m.mentions))
