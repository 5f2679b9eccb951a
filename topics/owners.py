"""`owners`: which worker serves a partition, so that any view finds it. `stored`: how far the stores have come."""

from __future__ import annotations

from topics.versions import FIRST, OwnersVersion
from topics.wire import U32, Count, Id, Millis, Wire


class Owner(Wire, tag="owner", frozen=True):
    """Written by a partition's owner when it opens it; keyed by `role/partition`.

    Attributes:
        role: groups, users, links or sinks.
        partition: which.
        url: the owner's view server.
    """

    role: Id
    partition: U32
    url: str
    v: OwnersVersion = FIRST


class Stored(Wire, tag="stored", frozen=True):
    """Everything of a partition of `history` below `offset` is in Cassandra and Redis; keyed by the partition.

    Attributes:
        partition: of `history`.
        offset: the first that is not stored yet.
        at: append time of the last stored record.
    """

    partition: U32
    offset: Count
    at: Millis
    v: OwnersVersion = FIRST


class StateStored(Wire, tag="state_stored", frozen=True):
    """All of a partition of `topic` below `offset` is in the final state; keyed by `topic/partition`.

    Attributes:
        topic: `relation-events` or `channel-members`.
        partition: which.
        offset: the first that is not stored yet.
        at: append time of the last stored record.
    """

    topic: str
    partition: U32
    offset: Count
    at: Millis
    v: OwnersVersion = FIRST


StoredRecord = Stored | StateStored
