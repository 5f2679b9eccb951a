"""Every topic, named once: its key, its partitions, how long it is kept, who writes it and who reads it.

A cluster is born with two numbers: `partitions` (groups, users and sinks roles) and `links` (one `deliveries` partition
a link). Neither changes while the cluster lives: state is numbered by them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

_HOUR_MS: Final = 60 * 60 * 1000
_DAY_MS: Final = 24 * _HOUR_MS


class Count(enum.Enum):
    """How many partitions a topic has."""

    ONE = "one"
    PARTITIONS = "partitions"
    LINKS = "links"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the pipeline.

    Attributes:
        name: its name on the broker.
        count: which of the cluster's numbers gives its partitions.
        key: what a record is keyed by, or how its partition is chosen.
        kept_ms: how long records are kept; None means compacted: the newest value of each key, for good.
        writers: who writes it.
        readers: who reads it.
    """

    name: str
    count: Count
    key: str
    kept_ms: int | None
    writers: tuple[str, ...]
    readers: tuple[str, ...]

    def partitions(self, partitions: int, links: int) -> int:
        """Its number of partitions in a cluster born with these two numbers."""
        return {Count.ONE: 1, Count.PARTITIONS: partitions, Count.LINKS: links}[self.count]

    @property
    def config(self) -> dict[str, str]:
        """Its settings on the broker. Every topic carries the broker's append time, the clock of the pipeline."""
        common = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(2 << 20)}
        if self.kept_ms is None:
            compacted = {"cleanup.policy": "compact", "delete.retention.ms": str(DELETE_RETENTION_MS)}
            return common | compacted | {"segment.bytes": str(64 << 20), "min.cleanable.dirty.ratio": "0.3"}
        return common | {"cleanup.policy": "delete", "retention.ms": str(self.kept_ms)}


#: How long a compacted topic keeps a tombstone: a local copy older than half of this is thrown away.
DELETE_RETENTION_MS: Final = _DAY_MS

_P, _L, _ONE = Count.PARTITIONS, Count.LINKS, Count.ONE
_GATEWAYS, _GROUPS, _USERS, _SINKS = "gateways", "groups", "users", "sinks"
_CALLERS, _VIEWS, _SERVICES, _OPERATORS = "callers", "views", "other services", "operators"

LINKS = Topic("links", _ONE, "link", _DAY_MS, (_GATEWAYS, _USERS), (_USERS,))
SESSIONS = Topic("sessions", _P, "app:user", _DAY_MS, (_GATEWAYS, _CALLERS), (_USERS,))
RELATIONS = Topic("relations", _P, "app:group", 7 * _DAY_MS, (_GATEWAYS, _CALLERS), (_GROUPS,))
MESSAGES = Topic("messages", _P, "app:group", 7 * _DAY_MS, (_GATEWAYS, _CALLERS), (_GROUPS,))
RESYNC = Topic("resync", _P, "the source partition, named outright", _DAY_MS, (_GATEWAYS,), (_GROUPS,))

LINK_ACKS = Topic("link-acks", _P, "the source partition, named outright", _DAY_MS, (_GATEWAYS,), (_GROUPS,))
POLICIES = Topic("policies", _P, "app; told to every partition", None, (_OPERATORS,), (_GROUPS, _USERS))

MEMBERSHIPS = Topic("memberships", _P, "lots, one a users partition", 7 * _DAY_MS, (_GROUPS,), (_USERS,))
BINDINGS = Topic("bindings", _P, "lots, one a groups partition", _DAY_MS, (_USERS,), (_GROUPS,))
WATCHES = Topic("watches", _P, "lots, one a users partition", _DAY_MS, (_USERS,), (_USERS,))
LINK_VOIDS = Topic("link-voids", _P, "none: told to every partition", 7 * _DAY_MS, (_USERS,), (_GROUPS, _USERS))

DELIVERIES = Topic("deliveries", _L, "lots, one a link", _DAY_MS, (_GROUPS, _USERS), (_GATEWAYS,))
ANSWERS = Topic("answers", _P, "requester", _DAY_MS, (_GROUPS, _USERS), (_GATEWAYS, _CALLERS))
RELATION_EVENTS = Topic("relation-events", _P, "app:group", 7 * _DAY_MS, (_GROUPS,), (_SERVICES, _SINKS))
CHANNEL_MEMBERS = Topic("channel-members", _P, "lots, one a groups partition", 7 * _DAY_MS, (_GROUPS,), (_SINKS,))
NOTICES = Topic("notices", _P, "lots, one a users partition", 7 * _DAY_MS, (_GROUPS,), (_USERS,))
HISTORY = Topic("history", _P, "lots, one a groups partition", 7 * _DAY_MS, (_GROUPS,), (_SINKS, _VIEWS))
REJECTS = Topic("rejects", _P, "that of the rejected record", 7 * _DAY_MS, (_GROUPS, _USERS, _SINKS), (_SERVICES,))

STORED = Topic("stored", _P, "history partition, or topic/partition", None, (_SINKS,), (_VIEWS,))
OWNERS = Topic("owners", _ONE, "role/partition", None, (_GROUPS, _USERS, _SINKS), (_VIEWS,))

GROUPS_CHANGELOG = Topic("groups-changelog", _P, "row", None, (_GROUPS,), (_GROUPS,))
USERS_CHANGELOG = Topic("users-changelog", _P, "row", None, (_USERS,), (_USERS,))
LINKS_CHANGELOG = Topic("links-changelog", _ONE, "row", None, (_USERS,), (_USERS,))

CATALOG: Final[tuple[Topic, ...]] = (
    LINKS,
    SESSIONS,
    RELATIONS,
    MESSAGES,
    RESYNC,
    LINK_ACKS,
    POLICIES,
    MEMBERSHIPS,
    BINDINGS,
    WATCHES,
    LINK_VOIDS,
    DELIVERIES,
    ANSWERS,
    RELATION_EVENTS,
    CHANNEL_MEMBERS,
    NOTICES,
    HISTORY,
    REJECTS,
    STORED,
    OWNERS,
    GROUPS_CHANGELOG,
    USERS_CHANGELOG,
    LINKS_CHANGELOG,
)

BY_NAME: Final[dict[str, Topic]] = {topic.name: topic for topic in CATALOG}
