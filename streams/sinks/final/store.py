"""The final state in Cassandra: written in runs of one partition each, read by whoever asks for what is longer ago."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streams.settings import Settings
from streams.sinks.final import changes, schema
from streams.sinks.final.changes import Change, Ended
from streams.sinks.runs import runs
from streams.sinks.session import CassandraSession, Refusal, Row, Writing
from topics import limits


class FinalState:
    """The tables of the final state. They connect on first use and whenever the connection was lost."""

    def __init__(self, settings: Settings) -> None:
        self._session = CassandraSession(
            settings,
            schema.create(settings.keyspace, settings.cassandra_replication),
            schema.statements(settings.keyspace),
        )
        self.seconds = self._session.seconds  #: of requests answered

    async def connect(self) -> None:
        """Connect unless it is; the tables are there then.

        Raises:
            AwayError: Cassandra does not answer.
        """
        await self._session.connect()

    async def write(self, writing: Writing[Change]) -> list[Refusal]:
        """Write what is left of these changes; what was refused, by its index among them.

        Raises:
            AwayError: some is still left; try again.
        """
        await self._session.write(writing, _row)
        return writing.refused

    async def end(self, ended: Ended) -> None:
        """Empty the partitions of what ended; whoever is interrupted may begin again.

        Raises:
            AwayError: some may be left; try again.
        """
        group = ended.app, ended.group
        found = await self._session.read("next", group)
        next_ = found[0][0] if found else None
        roles: list[str] = []
        places: list[tuple[str, str]] = []
        if ended.whole:
            roles = [role for (role,) in await self._session.read("roles", group)]
            places = [(kind, place) for kind, place in await self._session.read("places", group)]
        await self._all(changes.of_ended(ended, next_ or 0, roles, places))
        if ended.whole:
            await self._all(changes.of_group_index(ended))

    async def events(self, app: str, group: str, low: int, high: int) -> dict[int, bytes]:
        """Those of a group's events from version `low` up to `high` that are here, encoded as they travelled.

        Raises:
            AwayError: Cassandra does not answer.
        """
        buckets = range(low // schema.EVENTS, high // schema.EVENTS + 1)
        found = await self._session.read_all("events", [(app, group, bucket, low, high) for bucket in buckets])
        return {version: bytes(event) for rows in found for version, event in rows}

    async def version(self, app: str, group: str) -> int:
        """The version up to which a group's events are stored; 0 for none.

        Raises:
            AwayError: Cassandra does not answer.
        """
        found = await self._session.read("version", (app, group))
        return (found[0][0] or 0) if found else 0

    async def close(self) -> None:
        """Disconnect."""
        await self._session.close()

    async def _all(self, removals: Iterable[Change]) -> None:
        few: list[Change] = []
        for change in removals:
            few.append(change)
            if len(few) == limits.STORE_BATCH_ROWS * limits.STORE_PACK_PARTITIONS:
                await self.write(writing(few))
                few = []
        await self.write(writing(few))


def writing(given: Sequence[Change]) -> Writing[Change]:
    """Changes in the runs to write."""
    return Writing(runs(given, lambda change: change.partition, lambda change: change.size))


def _row(change: Change) -> Row:
    return change.statement.name, change.statement.serialized(change.values)
