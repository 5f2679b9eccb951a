"""`owners`: which worker serves a partition of a role, so that any view finds it. `stored`: how far history is stored."""

from __future__ import annotations

from topics.wire import SCHEMA, Count, Id, Millis, U32, Version, Wire


class Owner(Wire, tag="owner"):
    """Written by a partition's owner when it opens it; keyed by `role/partition`.

    Attributes:
        role: groups, users, links or sinks.
        partition: which.
        url: the owner's view server.
    """

    role: Id
    partition: U32
    url: str
    v: Version = SCHEMA


class Stored(Wire, tag="stored"):
    """Everything of a partition of `history` below `offset` is in Cassandra and Redis; keyed by the partition.

    Attributes:
        partition: of `history`.
        offset: the first that is not stored yet.
        at: append time of the last stored record.
    """

    partition: U32
    offset: Count
    at: Millis
    v: Version = SCHEMA
