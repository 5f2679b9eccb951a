"""The final state as any service reads it: the tables of docs/final-state.md, and the one rule of reading them.

The rule: a row that refers to something counts from that thing's `since` on; an older one refers to an earlier thing
of that name. It knows the tables only, so it shares no bug with what writes them.
"""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import DCAwareRoundRobinPolicy
from cassandra.query import named_tuple_factory

from jobs.final.state import GroupId, GroupState
from streams.settings import Settings

_ORDINALS: Final = 65_536  # of a bucket
_BANS: Final = 16  # buckets
_EVERYONE: Final = "everyone"
_LISTS: Final = ("black", "white")
_READ_S: Final = 30.0  # whatever is asked: Cassandra pauses at times
_READ: Final = frozenset(  # tables
    {
        "groups",
        "members",
        "roles",
        "role_members",
        "places",
        "list_roles",
        "list_users",
        "overrides",
        "bans",
        "requests",
        "channel_members",
    }
)


class NoTablesError(Exception):
    """The final state has no tables, or not all of them yet."""


class _Group(NamedTuple):
    """What is known of a group before its parts are read."""

    id: GroupId
    since: int
    members: dict[int, Any]
    by_user: dict[str, Any]
    roles: dict[str, Any]
    places: dict[tuple[str, str], Any]


class FinalReader:
    """Reads the final state. Blocks."""

    def __init__(self, settings: Settings) -> None:
        """Connect.

        Args:
            settings: where it is.

        Raises:
            NoTablesError: the sinks have not made its tables.
            NoHostAvailable: Cassandra can't be reached.
        """
        profile = ExecutionProfile(
            load_balancing_policy=DCAwareRoundRobinPolicy(settings.cassandra_datacenter),
            request_timeout=_READ_S,
            row_factory=named_tuple_factory,
        )
        self._cluster = Cluster(
            settings.cassandra_contact_points,
            port=settings.cassandra_port,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            connect_timeout=_READ_S,
            control_connection_timeout=_READ_S,
        )
        try:
            self._session = self._connected(settings.keyspace)
        except BaseException:
            self._cluster.shutdown()
            raise

    def close(self) -> None:
        """Disconnect."""
        self._cluster.shutdown()

    def _connected(self, keyspace: str) -> Session:
        session = self._cluster.connect()
        known = self._cluster.metadata.keyspaces.get(keyspace)
        if missing := _READ - (known.tables.keys() if known is not None else set()):
            raise NoTablesError(f"the keyspace {keyspace} lacks tables: {', '.join(sorted(missing))}")
        session.set_keyspace(keyspace)
        return session

    def groups(self) -> list[GroupId]:
        """Every group that lives."""
        rows = self._session.execute("SELECT app, group_id, alive FROM groups")
        return sorted(GroupId(row.app, row.group_id) for row in rows if row.alive)

    def read(self, id_: GroupId) -> GroupState | None:
        """All that is stored of a group; None if it does not live."""
        group = self._one("SELECT * FROM groups WHERE app = %s AND group_id = %s", id_)
        if group is None or not group.alive:
            return None
        now_ms = int(time.time() * 1000)
        state = GroupState(group.version or 0, kept=set())
        for column in ("kind", "owner", "name", "topic", "avatar", "custom", "searchable", "weight", "join_mode"):
            state.add("group", column, said=getattr(group, column))
        state.add("group", "muted_until", said=_future(group.muted_until, now_ms))
        known = self._known(id_, group)
        for ordinal, row in known.members.items():
            profile = (row.nick or "", row.avatar or "", row.custom or "", row.weight or 0)
            state.add("member", ordinal, said=(row.user, *profile, _future(row.muted_until, now_ms)))
        self._roles(known, state)
        self._places(known, state, now_ms)
        self._lists(known, state)
        self._overrides(known, state)
        self._requests(known, state, now_ms)
        return state

    def _known(self, id_: GroupId, group: Any) -> _Group:
        members = {
            row.ordinal: row
            for row in self._by_bucket("members", id_, group.next or 0)
            if row.user is not None and row.since >= group.since
        }
        roles = {row.role: row for row in self._of("roles", id_) if max(row.since or 0, row.version) >= group.since}
        places = {
            (row.place_kind, row.place): row for row in self._of("places", id_) if (row.since or -1) >= group.since
        }
        return _Group(id_, group.since, members, {row.user: row for row in members.values()}, roles, places)

    def _roles(self, known: _Group, state: GroupState) -> None:
        for role, row in known.roles.items():
            said = (row.name, row.priority, sorted(row.allowed or ()), sorted(row.denied or ()), row.custom)
            state.add("role", role, said=said)
            if role == _EVERYONE:
                continue
            for held in self._by_bucket("role_members", known.id, _end(known), ("role", role)):
                if held.version >= (row.since or 0) and held.ordinal in known.members:
                    state.add("holds", role, held.ordinal)

    def _places(self, known: _Group, state: GroupState, now_ms: int) -> None:
        for (kind, place), row in known.places.items():
            if kind == "category":
                state.add("category", place, said=(row.name, row.view_mode, row.weight, row.custom))
                continue
            above = known.places.get(("category", row.category or ""))
            category = row.category if above is not None and above.since <= row.version else None
            state.add(
                *("channel", place),
                said=(
                    *(row.kind, row.name, row.topic, category, bool(row.sync and category), row.view_mode),
                    *(row.visitor_mode, row.weight, row.custom, _future(row.muted_until, now_ms)),
                ),
            )
            self._channel_members(known, state, place)

    def _channel_members(self, known: _Group, state: GroupState, channel: str) -> None:
        query = "SELECT * FROM channel_members WHERE app = %s AND group_id = %s AND channel = %s"
        for row in self._session.execute(query, (*known.id, channel)):
            if row.kept and state.kept is not None:
                state.kept.add(channel)
            if row.ordinal is not None:
                state.add("channel member", channel, row.ordinal, said=row.user)

    def _lists(self, known: _Group, state: GroupState) -> None:
        for row in self._of("list_roles", known.id):
            place, role = known.places.get((row.place_kind, row.place)), known.roles.get(row.role)
            if place is not None and role is not None and row.version >= max(place.since, role.since or 0):
                state.add("listed role", row.place_kind, row.place, row.list, row.role)
        for (kind, place), row in known.places.items():
            for which in _LISTS:
                where = (("place_kind", kind), ("place", place), ("list", which))
                for listed in self._by_bucket("list_users", known.id, _end(known), *where):
                    if listed.version >= row.since and listed.ordinal in known.members:
                        state.add("listed user", kind, place, which, listed.ordinal)

    def _overrides(self, known: _Group, state: GroupState) -> None:
        for row in self._of("overrides", known.id):
            place = known.places.get((row.place_kind, row.place))
            holder = (known.roles if row.holder_kind == "role" else known.by_user).get(row.holder)
            since = 0 if row.holder == _EVERYONE else (holder.since or 0) if holder is not None else None
            if place is not None and since is not None and row.version >= max(place.since, since):
                said = (sorted(row.allowed or ()), sorted(row.denied or ()))
                state.add("override", row.place_kind, row.place, row.holder_kind, row.holder, said=said)

    def _requests(self, known: _Group, state: GroupState, now_ms: int) -> None:
        for bucket in range(_BANS):
            query = "SELECT * FROM bans WHERE app = %s AND group_id = %s AND bucket = %s"
            for row in self._session.execute(query, (*known.id, bucket)):
                if row.version >= known.since and (row.until is None or row.until > now_ms):
                    state.add("ban", row.user, said=row.until)
        for row in self._of("requests", known.id):
            if row.version >= known.since and row.expires_at > now_ms:
                state.add(row.kind, row.request, said=(row.user, row.asked_by, row.expires_at))

    def _one(self, query: str, values: tuple[Any, ...]) -> Any:
        return next(iter(self._session.execute(query, tuple(values))), None)

    def _of(self, table: str, id_: GroupId) -> list[Any]:
        query = f"SELECT * FROM {table} WHERE app = %s AND group_id = %s"  # noqa: S608 -- names of ours
        return list(self._session.execute(query, tuple(id_)))

    def _by_bucket(self, table: str, id_: GroupId, end: int, *where: tuple[str, str]) -> list[Any]:
        """Rows by ordinal, of all buckets."""
        marks = "".join(f" AND {column} = %s" for column, _ in where)
        query = f"SELECT * FROM {table} WHERE app = %s AND group_id = %s{marks} AND bucket = %s"  # noqa: S608 -- names of ours
        values = [value for _, value in where]
        buckets = range(-(-end // _ORDINALS))
        return [row for bucket in buckets for row in self._session.execute(query, (*id_, *values, bucket))]


def _end(known: _Group) -> int:
    return max(known.members, default=-1) + 1


def _future(moment: int | None, now_ms: int) -> int:
    """A moment that has not passed; else 0."""
    return moment if moment is not None and moment > now_ms else 0
