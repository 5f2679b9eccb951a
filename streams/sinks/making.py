"""What must be there in Cassandra before rows are written, and which node makes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cassandra.metadata import Metadata
from cassandra.policies import DCAwareRoundRobinPolicy
from cassandra.pool import Host


@dataclass(frozen=True, slots=True)
class Needed:
    """A keyspace, a table or a column that must be there.

    Attributes:
        statement: makes it; harmless where it exists.
        keyspace: its name, or that of the keyspace it is in.
        table: its name, or that of the table it is in; empty for a keyspace.
        column: its name; empty for a keyspace or a table.
    """

    statement: str
    keyspace: str
    table: str = ""
    column: str = ""

    def is_in(self, metadata: Metadata) -> bool:
        """Whether it is there."""
        keyspace = metadata.keyspaces.get(self.keyspace)
        if keyspace is None or not self.table:
            return keyspace is not None
        table = keyspace.tables.get(self.table)
        return table is not None and (not self.column or self.column in table.columns)


class OneNodePolicy(DCAwareRoundRobinPolicy):  # type: ignore[misc] # the driver is not typed
    """The same node first, whoever asks.

    A node makes one table at a time. Two that make the same one at once make two, under two ids, and drop one of them
    again, whoever writes to it. An id of our own would not do: a table that was dropped and made again under it is the
    old one to a node that was down meanwhile, which brings back its rows.
    """

    def make_query_plan(self, working_keyspace: str | None = None, query: object = None) -> Iterator[Host]:
        """The nodes of the datacenter, in an order that all see alike."""
        return iter(sorted(super().make_query_plan(working_keyspace, query), key=lambda host: str(host.host_id)))
