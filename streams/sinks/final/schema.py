"""The tables of the final state, and the statements that change them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from streams.sinks.making import Needed

#: Ordinals in one partition of members, of who holds a role, of who is on a list; fixed at the birth of a cluster.
ORDINALS: Final = 65_536
#: Events in one partition; fixed at the birth of a cluster.
EVENTS: Final = 1_024
#: Partitions of a group's bans.
BANS: Final = 16
EVENTS_KEPT_S: Final = 30 * 86_400  # how long an event can be read; whoever missed more takes a snapshot


def bucket_of(ordinal: int) -> int:
    """The partition that holds an ordinal."""
    return ordinal // ORDINALS


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: its name.
        key: the columns of its partition key.
        order: its clustering columns.
        types: every column and its type.
        options: what else is to be said of it.
    """

    name: str
    key: tuple[str, ...]
    order: tuple[str, ...]
    types: dict[str, str]
    options: tuple[str, ...] = ()

    def create(self, keyspace: str) -> str:
        """The statement that makes it."""
        columns = ", ".join(f"{name} {type_}" for name, type_ in self.types.items())
        key = ", ".join((f"({', '.join(self.key)})", *self.order))
        options = " AND ".join((*_COMPACT, *self.options))
        return f"CREATE TABLE IF NOT EXISTS {keyspace}.{self.name} ({columns}, PRIMARY KEY ({key})) WITH {options}"


_COMPACT: Final = (
    "compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T4'}",
    "compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 16}",
)
_GROUP: Final = {"app": "text", "group_id": "text"}
_PROFILE: Final = {
    "name": "text",
    "topic": "text",
    "avatar": "text",
    "custom": "text",
    "searchable": "boolean",
    "weight": "bigint",
    "join_mode": "text",
}
_PLACE: Final = {"place_kind": "text", "place": "text"}
_NAMES: Final = "frozen<list<text>>"

GROUPS: Final = Table(
    "groups",
    ("app", "group_id"),
    (),
    _GROUP
    | {"alive": "boolean", "since": "bigint", "version": "bigint", "kind": "text", "owner": "text"}
    | {"next": "bigint", "muted_until": "bigint"}
    | _PROFILE,
)
MEMBERS: Final = Table(
    "members",
    ("app", "group_id", "bucket"),
    ("ordinal",),
    _GROUP
    | {"bucket": "bigint", "ordinal": "bigint", "user": "text", "since": "bigint", "at": "bigint", "how": "text"}
    | {"nick": "text", "avatar": "text", "custom": "text", "weight": "bigint", "muted_until": "bigint"},
)
ROLES: Final = Table(
    "roles",
    ("app", "group_id"),
    ("role",),
    _GROUP
    | {
        "role": "text",
        "since": "bigint",
        "version": "bigint",
        "name": "text",
        "priority": "bigint",
        "allowed": _NAMES,
        "denied": _NAMES,
    }
    | {"custom": "text"},
)
ROLE_MEMBERS: Final = Table(
    "role_members",
    ("app", "group_id", "role", "bucket"),
    ("ordinal",),
    _GROUP | {"role": "text", "bucket": "bigint", "ordinal": "bigint", "version": "bigint"},
)
PLACES: Final = Table(
    "places",
    ("app", "group_id"),
    ("place_kind", "place"),
    _GROUP
    | _PLACE
    | {"since": "bigint", "version": "bigint", "kind": "text", "name": "text", "topic": "text", "category": "text"}
    | {"sync": "boolean", "view_mode": "text", "visitor_mode": "text", "weight": "bigint", "custom": "text"}
    | {"muted_until": "bigint"},
)
LIST_ROLES: Final = Table(
    "list_roles",
    ("app", "group_id"),
    ("place_kind", "place", "list", "role"),
    _GROUP | _PLACE | {"list": "text", "role": "text", "version": "bigint"},
)
LIST_USERS: Final = Table(
    "list_users",
    ("app", "group_id", "place_kind", "place", "list", "bucket"),
    ("ordinal",),
    _GROUP | _PLACE | {"list": "text", "bucket": "bigint", "ordinal": "bigint", "version": "bigint"},
)
OVERRIDES: Final = Table(
    "overrides",
    ("app", "group_id"),
    ("place_kind", "place", "holder_kind", "holder"),
    _GROUP
    | _PLACE
    | {"holder_kind": "text", "holder": "text", "version": "bigint", "allowed": _NAMES, "denied": _NAMES},
)
BANNED: Final = Table(
    "bans",
    ("app", "group_id", "bucket"),
    ("user",),
    _GROUP | {"bucket": "bigint", "user": "text", "version": "bigint", "until": "bigint"},
)
REQUESTS: Final = Table(
    "requests",
    ("app", "group_id"),
    ("kind", "request"),
    _GROUP
    | {"kind": "text", "request": "text", "version": "bigint", "user": "text", "asked_by": "text", "text": "text"}
    | {"uses": "bigint", "expires_at": "bigint"},
)
RELATION_EVENTS: Final = Table(
    "relation_events",
    ("app", "group_id", "bucket"),
    ("version",),
    _GROUP | {"bucket": "bigint", "version": "bigint", "at": "bigint", "event": "blob"},
    (f"default_time_to_live = {EVENTS_KEPT_S}",),
)
CHANNEL_MEMBERS: Final = Table(
    "channel_members",
    ("app", "group_id", "channel"),
    ("ordinal",),
    _GROUP
    | {"channel": "text", "kept": "boolean static", "version": "bigint static", "ordinal": "bigint", "user": "text"},
)

TABLES: Final = (
    GROUPS,
    MEMBERS,
    ROLES,
    ROLE_MEMBERS,
    PLACES,
    LIST_ROLES,
    LIST_USERS,
    OVERRIDES,
    BANNED,
    REQUESTS,
    RELATION_EVENTS,
    CHANNEL_MEMBERS,
)


def create(keyspace: str, replication: int) -> tuple[Needed, ...]:
    """The keyspace and its tables."""
    made = (
        f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = "
        f"{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication}}}"
    )
    return Needed(made, keyspace), *(Needed(table.create(keyspace), keyspace, table.name) for table in TABLES)


# -- values as they go over the wire: the driver takes five times as long ----------------------------------------------

_BIGINT: Final = struct.Struct(">q").pack
_INT: Final = struct.Struct(">i").pack


def _text(value: Any) -> bytes:
    return str(value).encode()


def _bigint(value: Any) -> bytes:
    return _BIGINT(value)


def _boolean(value: Any) -> bytes:
    return b"\x01" if value else b"\x00"


def _blob(value: Any) -> bytes:
    return bytes(value)


def _names(value: Any) -> bytes:
    encoded = [name.encode() for name in value]
    return _INT(len(encoded)) + b"".join(_INT(len(name)) + name for name in encoded)


_PACK: Final[dict[str, Callable[[Any], bytes]]] = {
    "text": _text,
    "bigint": _bigint,
    "bigint static": _bigint,
    "boolean": _boolean,
    "boolean static": _boolean,
    "blob": _blob,
    _NAMES: _names,
}


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement with marks for values.

    Attributes:
        name: names it.
        table: what it is on.
        columns: those whose values it takes, in this order; `timestamp` among them.
        cql: it, with `{table}` for the table's whole name.
    """

    name: str
    table: Table
    columns: tuple[str, ...]
    cql: str
    _packs: tuple[Callable[[Any], bytes], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        types = self.table.types | {"timestamp": "bigint", "ordinal_to": "bigint"}
        object.__setattr__(self, "_packs", tuple(_PACK[types[column]] for column in self.columns))

    def serialized(self, values: Sequence[Any]) -> list[bytes | None]:
        """Its values as they go over the wire."""
        return [None if value is None else pack(value) for pack, value in zip(self._packs, values, strict=True)]


def _put(name: str, table: Table, *columns: str, of_partition: bool = False) -> Statement:
    """Sets some columns of a row, or those that a partition has once; there is one then if there was none."""
    names = (*table.key, *(() if of_partition else table.order), *columns)
    marks = ", ".join("?" * len(names))
    cql = f"INSERT INTO {{table}} ({', '.join(names)}) VALUES ({marks}) USING TIMESTAMP ?"  # noqa: S608 -- names of ours
    return Statement(name, table, (*names, "timestamp"), cql)


def _cut(name: str, table: Table, depth: int) -> Statement:
    """Removes a partition, or the rows of it that begin with `depth` clustering columns."""
    names = (*table.key, *table.order[:depth])
    where = " AND ".join(f"{column} = ?" for column in names)
    return Statement(name, table, ("timestamp", *names), f"DELETE FROM {{table}} USING TIMESTAMP ? WHERE {where}")  # noqa: S608 -- names of ours


def _cut_range(name: str, table: Table) -> Statement:
    """Removes the rows from one ordinal up to another."""
    where = " AND ".join(f"{column} = ?" for column in table.key)
    cql = f"DELETE FROM {{table}} USING TIMESTAMP ? WHERE {where} AND ordinal >= ? AND ordinal <= ?"  # noqa: S608 -- names of ours
    return Statement(name, table, ("timestamp", *table.key, "ordinal", "ordinal_to"), cql)


PROFILE_COLUMNS: Final = tuple(_PROFILE)
MEMBER_PROFILE_COLUMNS: Final = ("nick", "avatar", "custom", "weight", "muted_until")
CHANNEL_COLUMNS: Final = (
    *("kind", "name", "topic", "category", "sync", "view_mode", "visitor_mode", "weight", "custom", "muted_until"),
)
CATEGORY_COLUMNS: Final = ("name", "view_mode", "weight", "custom")
ROLE_COLUMNS: Final = ("name", "priority", "allowed", "denied", "custom")

GROUP_CREATED: Final = _put(
    "group_created", GROUPS, "alive", "since", "kind", "owner", "next", "muted_until", *PROFILE_COLUMNS
)
GROUP_PROFILE: Final = _put("group_profile", GROUPS, *PROFILE_COLUMNS)
GROUP_OWNER: Final = _put("group_owner", GROUPS, "owner")
GROUP_ALIVE: Final = _put("group_alive", GROUPS, "alive")
GROUP_NEXT: Final = _put("group_next", GROUPS, "next")
GROUP_MUTED: Final = _put("group_muted", GROUPS, "muted_until")
GROUP_VERSION: Final = _put("group_version", GROUPS, "version")
MEMBER: Final = _put("member", MEMBERS, "user", "since", "at", "how")
MEMBER_PROFILE: Final = _put("member_profile", MEMBERS, *MEMBER_PROFILE_COLUMNS)
MEMBER_MUTED: Final = _put("member_muted", MEMBERS, "muted_until")
ROLE_CREATED: Final = _put("role_created", ROLES, "since", "version", *ROLE_COLUMNS)
ROLE_UPDATED: Final = _put("role_updated", ROLES, "version", *ROLE_COLUMNS)
ROLE_MEMBER: Final = _put("role_member", ROLE_MEMBERS, "version")
CHANNEL_CREATED: Final = _put("channel_created", PLACES, "since", "version", *CHANNEL_COLUMNS)
CHANNEL_UPDATED: Final = _put("channel_updated", PLACES, "version", *CHANNEL_COLUMNS)
CATEGORY_CREATED: Final = _put("category_created", PLACES, "since", "version", *CATEGORY_COLUMNS)
CATEGORY_UPDATED: Final = _put("category_updated", PLACES, "version", *CATEGORY_COLUMNS)
PLACE_MUTED: Final = _put("place_muted", PLACES, "muted_until")
LIST_ROLE: Final = _put("list_role", LIST_ROLES, "version")
LIST_USER: Final = _put("list_user", LIST_USERS, "version")
OVERRIDE: Final = _put("override", OVERRIDES, "version", "allowed", "denied")
BAN: Final = _put("ban", BANNED, "version", "until")
REQUEST: Final = _put("request", REQUESTS, "version", "user", "asked_by", "text", "uses", "expires_at")
EVENT: Final = _put("event", RELATION_EVENTS, "at", "event")
CHANNEL_MEMBER: Final = _put("channel_member", CHANNEL_MEMBERS, "user")
CHANNEL_LIST: Final = _put("channel_list", CHANNEL_MEMBERS, "kept", "version", of_partition=True)

CUT_MEMBERS: Final = _cut_range("cut_members", MEMBERS)
CUT_ROLE_MEMBERS: Final = _cut_range("cut_role_members", ROLE_MEMBERS)
CUT_LIST_USERS: Final = _cut_range("cut_list_users", LIST_USERS)
CUT_CHANNEL_MEMBERS: Final = _cut_range("cut_channel_members", CHANNEL_MEMBERS)
CUT_ROLE: Final = _cut("cut_role", ROLES, 1)
CUT_PLACE: Final = _cut("cut_place", PLACES, 2)
CUT_PLACE_ROLES: Final = _cut("cut_place_roles", LIST_ROLES, 2)
CUT_LIST_ROLES: Final = _cut("cut_list_roles", LIST_ROLES, 3)
CUT_LIST_ROLE: Final = _cut("cut_list_role", LIST_ROLES, 4)
CUT_PLACE_OVERRIDES: Final = _cut("cut_place_overrides", OVERRIDES, 2)
CUT_OVERRIDE: Final = _cut("cut_override", OVERRIDES, 4)
CUT_BAN: Final = _cut("cut_ban", BANNED, 1)
CUT_REQUEST: Final = _cut("cut_request", REQUESTS, 2)
DROP_MEMBERS: Final = _cut("drop_members", MEMBERS, 0)
DROP_ROLES: Final = _cut("drop_roles", ROLES, 0)
DROP_ROLE_MEMBERS: Final = _cut("drop_role_members", ROLE_MEMBERS, 0)
DROP_PLACES: Final = _cut("drop_places", PLACES, 0)
DROP_LIST_ROLES: Final = _cut("drop_list_roles", LIST_ROLES, 0)
DROP_LIST_USERS: Final = _cut("drop_list_users", LIST_USERS, 0)
DROP_OVERRIDES: Final = _cut("drop_overrides", OVERRIDES, 0)
DROP_BANS: Final = _cut("drop_bans", BANNED, 0)
DROP_REQUESTS: Final = _cut("drop_requests", REQUESTS, 0)
DROP_CHANNEL_MEMBERS: Final = _cut("drop_channel_members", CHANNEL_MEMBERS, 0)

STATEMENTS: Final[dict[str, Statement]] = {
    value.name: value for value in list(globals().values()) if isinstance(value, Statement)
}

#: What is read, by name.
READS: Final[dict[str, str]] = {
    "next": "SELECT next FROM {keyspace}.groups WHERE app = ? AND group_id = ?",
    "version": "SELECT version FROM {keyspace}.groups WHERE app = ? AND group_id = ?",
    "roles": "SELECT role FROM {keyspace}.roles WHERE app = ? AND group_id = ?",
    "places": "SELECT place_kind, place FROM {keyspace}.places WHERE app = ? AND group_id = ?",
    "events": (
        "SELECT version, event FROM {keyspace}.relation_events "
        "WHERE app = ? AND group_id = ? AND bucket = ? AND version >= ? AND version <= ?"
    ),
}


def statements(keyspace: str) -> dict[str, str]:
    """All that is written and read, by name."""
    written = {name: one.cql.format(table=f"{keyspace}.{one.table.name}") for name, one in STATEMENTS.items()}
    return written | {name: read.format(keyspace=keyspace) for name, read in READS.items()}
