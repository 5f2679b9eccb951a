"""What an event changes in the tables of the final state: pure, one row or one removal each.

Two events of a group never share a version, but one event may both remove and write: its removals are stamped before
its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

from streams.sinks.final import schema
from streams.sinks.final.schema import Statement, bucket_of
from topics import events
from topics.entities import Role
from topics.events import Event, Flips, RelationEvent

CHANNEL: Final = "channel"
CATEGORY: Final = "category"
LISTS: Final = ("black", "white")


class Change(NamedTuple):
    """One row written, or rows of one partition removed.

    Attributes:
        statement: how.
        values: what it takes, in order.
        partition: names the partition.
        size: bytes, about.
    """

    statement: Statement
    values: tuple[Any, ...]
    partition: tuple[object, ...]
    size: int


class Ended(NamedTuple):
    """Something ended whose rows fill partitions of their own; they are looked up and removed.

    Attributes:
        app: the group's app.
        group: the group.
        version: when.
        role: the role that ended, if it was one.
        place: the channel or category (its kind, its id) that ended or whose list was cleared, if it was one.
        lists: which of its lists.
        whole: the group itself ended.
    """

    app: str
    group: str
    version: int
    role: str | None = None
    place: tuple[str, str] | None = None
    lists: tuple[str, ...] = LISTS
    whole: bool = False


_ROW_BYTES: Final = 60  # a row's bytes as Cassandra counts them, besides its values


def put(statement: Statement, version: int, *values: Any) -> Change:
    """Write a row."""
    return _change(statement, (*values, 2 * version + 1), values[: len(statement.table.key)])


def cut(statement: Statement, version: int, *values: Any) -> Change:
    """Remove rows."""
    return _change(statement, (2 * version, *values), values[: len(statement.table.key)])


def _change(statement: Statement, values: tuple[Any, ...], partition: tuple[object, ...]) -> Change:
    size = _ROW_BYTES + sum([len(value) if isinstance(value, str | bytes) else 8 for value in values])
    return Change(statement, values, partition, size)


def of_event(event: RelationEvent, encoded: bytes) -> Iterator[Change]:  # noqa: C901, PLR0912 -- one case an event
    """The changes of one event; `encoded` is it as it travelled."""
    at = event.app, event.group
    version = event.version
    yield put(schema.EVENT, version, *at, version // schema.EVENTS, version, event.at, encoded)
    match event:
        case events.GroupCreated():
            yield put(
                schema.GROUP_CREATED,
                version,
                *at,
                True,
                version,
                event.kind,
                event.owner,
                _next(event.ordinals),
                0,
                *_fields(event.profile, schema.PROFILE_COLUMNS),
            )
            yield from _members(event, event.users, event.ordinals, "created")
        case events.GroupUpdated():
            yield put(schema.GROUP_PROFILE, version, *at, *_fields(event.profile, schema.PROFILE_COLUMNS))
        case events.OwnerChanged():
            yield put(schema.GROUP_OWNER, version, *at, event.owner)
        case events.GroupDeleted():
            yield put(schema.GROUP_ALIVE, version, *at, False)
        case events.MembersAdded():
            yield put(schema.GROUP_NEXT, version, *at, _next(event.ordinals))
            yield from _members(event, event.users, event.ordinals, event.how)
        case events.MembersRemoved():
            yield from _removed(schema.CUT_MEMBERS, version, at, event.ordinals)
        case events.MemberUpdated():
            profile = _fields(event.profile, schema.MEMBER_PROFILE_COLUMNS)
            yield put(schema.MEMBER_PROFILE, version, *at, bucket_of(event.ordinal), event.ordinal, *profile)
        case events.Muted(channel=None, ordinals=[]):
            yield put(schema.GROUP_MUTED, version, *at, event.until)
        case events.Muted(channel=None):
            for ordinal in event.ordinals:
                yield put(schema.MEMBER_MUTED, version, *at, bucket_of(ordinal), ordinal, event.until)
        case events.Muted():
            yield put(schema.PLACE_MUTED, version, *at, CHANNEL, event.channel, event.until)
        case events.Banned():
            for user in event.users:
                yield put(schema.BAN, version, *at, ban_bucket(user), user, version, event.until)
        case events.Unbanned():
            for user in event.users:
                yield cut(schema.CUT_BAN, version, *at, ban_bucket(user), user)
        case _:
            yield from _of_request(event, at, version)
            yield from _of_structure(event, at, version)


def _of_request(event: Event, at: tuple[str, str], version: int) -> Iterator[Change]:
    match event:
        case events.Invited():
            values = event.user, event.by, event.text, None, event.expires_at
            yield put(schema.REQUEST, version, *at, "invite", event.invite, version, *values)
        case events.InviteEnded():
            yield cut(schema.CUT_REQUEST, version, *at, "invite", event.invite)
        case events.Applied():
            values = event.user, event.by, event.text, None, event.expires_at
            yield put(schema.REQUEST, version, *at, "application", event.application, version, *values)
        case events.ApplicationEnded():
            yield cut(schema.CUT_REQUEST, version, *at, "application", event.application)
        case events.CodeCreated():
            code = event.code
            rest = None, code.by, None, code.uses, code.expires_at
            yield put(schema.REQUEST, version, *at, "code", code.code, version, *rest)
        case events.CodeEnded():
            yield cut(schema.CUT_REQUEST, version, *at, "code", event.code)


def _of_structure(event: Event, at: tuple[str, str], version: int) -> Iterator[Change]:  # noqa: C901, PLR0912 -- as above
    match event:
        case events.ChannelCreated():
            name = event.channel.channel
            channel = _fields(event.channel, schema.CHANNEL_COLUMNS)
            yield put(schema.CHANNEL_CREATED, version, *at, CHANNEL, name, version, version, *channel)
            yield from _list_roles(at, version, (CHANNEL, name), event.black_roles, event.white_roles)
        case events.ChannelUpdated():
            channel = _fields(event.channel, schema.CHANNEL_COLUMNS)
            yield put(schema.CHANNEL_UPDATED, version, *at, CHANNEL, event.channel.channel, version, *channel)
        case events.ChannelDeleted():
            yield from _place_ended(at, version, (CHANNEL, event.channel))
            yield cut(schema.DROP_CHANNEL_MEMBERS, version, *at, event.channel)
        case events.CategoryCreated():
            name = event.category.category
            category = _fields(event.category, schema.CATEGORY_COLUMNS)
            yield put(schema.CATEGORY_CREATED, version, *at, CATEGORY, name, version, version, *category)
            yield from _list_roles(at, version, (CATEGORY, name), event.black_roles, event.white_roles)
        case events.CategoryUpdated():
            category = _fields(event.category, schema.CATEGORY_COLUMNS)
            yield put(schema.CATEGORY_UPDATED, version, *at, CATEGORY, event.category.category, version, *category)
        case events.CategoryDeleted():
            yield from _place_ended(at, version, (CATEGORY, event.category))
        case events.ListEdited():
            yield from _list_edited(event, at, version)
        case events.OverrideSet():
            place = _place(event.channel, event.category)
            over = event.override
            holder = ("role", over.role) if over.role is not None else ("user", over.user)
            if over.allow or over.deny:
                yield put(schema.OVERRIDE, version, *at, *place, *holder, version, over.allow, over.deny)
            else:
                yield cut(schema.CUT_OVERRIDE, version, *at, *place, *holder)
        case events.RoleCreated():
            role = event.role
            yield put(schema.ROLE_CREATED, version, *at, role.role, version, version, *_role(role))
        case events.RoleUpdated():
            yield put(schema.ROLE_UPDATED, version, *at, event.role.role, version, *_role(event.role))
        case events.RoleDeleted():
            yield cut(schema.CUT_ROLE, version, *at, event.role)
        case events.RoleMembersAdded():
            for ordinal in event.ordinals:
                yield put(schema.ROLE_MEMBER, version, *at, event.role, bucket_of(ordinal), ordinal, version)
        case events.RoleMembersRemoved():
            yield from _removed(schema.CUT_ROLE_MEMBERS, version, (*at, event.role), event.ordinals)


def ended_by(event: RelationEvent) -> Ended | None:
    """What whole partitions an event empties."""
    at = event.app, event.group, event.version
    match event:
        case events.GroupDeleted():
            return Ended(*at, whole=True)
        case events.RoleDeleted():
            return Ended(*at, role=event.role)
        case events.ChannelDeleted():
            return Ended(*at, place=(CHANNEL, event.channel))
        case events.CategoryDeleted():
            return Ended(*at, place=(CATEGORY, event.category))
        case events.ListEdited(cleared=True):
            return Ended(*at, place=_place(event.channel, event.category), lists=(event.which,))
        case _:
            return None


def of_ended(ended: Ended, next_: int, roles: Iterable[str], places: Iterable[tuple[str, str]]) -> Iterator[Change]:
    """The removals of whole partitions, given the group's next ordinal and, where it is the group, what it had."""
    at = ended.app, ended.group
    version = ended.version
    buckets = range(bucket_of(max(next_ - 1, 0)) + 1)
    roles = list(roles) if ended.whole else [ended.role] if ended.role is not None else []
    places = list(places) if ended.whole else [ended.place] if ended.place is not None else []
    for bucket in buckets:
        for role in roles:
            yield cut(schema.DROP_ROLE_MEMBERS, version, *at, role, bucket)
        for place in places:
            for which in ended.lists:
                yield cut(schema.DROP_LIST_USERS, version, *at, *place, which, bucket)
        if ended.whole:
            yield cut(schema.DROP_MEMBERS, version, *at, bucket)
    if ended.whole:
        for kind, name in places:
            if kind == CHANNEL:
                yield cut(schema.DROP_CHANNEL_MEMBERS, version, *at, name)
        for bucket in range(schema.BANS):
            yield cut(schema.DROP_BANS, version, *at, bucket)


def of_group_index(ended: Ended) -> Iterator[Change]:
    """The removals of what names the others: last, so that a repetition finds them still."""
    for statement in (
        schema.DROP_ROLES,
        schema.DROP_PLACES,
        schema.DROP_LIST_ROLES,
        schema.DROP_OVERRIDES,
        schema.DROP_REQUESTS,
    ):
        yield cut(statement, ended.version, ended.app, ended.group)


def of_flips(flips: Flips) -> Iterator[Change]:
    """The changes of one channel's member list."""
    at = flips.app, flips.group, flips.channel
    version = flips.version
    if flips.whole or flips.ended:
        yield cut(schema.DROP_CHANNEL_MEMBERS, version, *at)
    yield put(schema.CHANNEL_LIST, version, *at, not flips.ended, version)
    for user, ordinal in zip(flips.entered, flips.entered_ordinals, strict=True):
        yield put(schema.CHANNEL_MEMBER, version, *at, ordinal, user)
    for ordinal in flips.left_ordinals:
        yield cut(schema.CUT_CHANNEL_MEMBERS, version, *at, ordinal, ordinal)


def of_version(app: str, group: str, version: int) -> Change:
    """How far a group's events are stored."""
    return put(schema.GROUP_VERSION, version, app, group, version)


def ban_bucket(user: str) -> int:
    """The partition of a group's bans that holds a user."""
    return crc32(user.encode()) % schema.BANS


def _members(event: Event, users: Sequence[str], ordinals: Sequence[int], how: str) -> Iterator[Change]:
    at = event.app, event.group
    for user, ordinal in zip(users, ordinals, strict=True):
        yield put(schema.MEMBER, event.version, *at, bucket_of(ordinal), ordinal, user, event.version, event.at, how)


def _removed(statement: Statement, version: int, at: Sequence[str], ordinals: Iterable[int]) -> Iterator[Change]:
    """Ordinals that follow one another go by one removal."""
    first = last = None
    for ordinal in sorted(ordinals):
        if first is None or last is None or ordinal != last + 1 or bucket_of(ordinal) != bucket_of(first):
            if first is not None:
                yield cut(statement, version, *at, bucket_of(first), first, last)
            first = ordinal
        last = ordinal
    if first is not None:
        yield cut(statement, version, *at, bucket_of(first), first, last)


def _list_roles(
    at: tuple[str, str], version: int, place: tuple[str, str], black: Iterable[str], white: Iterable[str]
) -> Iterator[Change]:
    for which, roles in zip(LISTS, (black, white), strict=True):
        for role in roles:
            yield put(schema.LIST_ROLE, version, *at, *place, which, role, version)


def _list_edited(event: events.ListEdited, at: tuple[str, str], version: int) -> Iterator[Change]:
    list_ = (*_place(event.channel, event.category), event.which)
    if event.cleared:
        yield cut(schema.CUT_LIST_ROLES, version, *at, *list_)
    for role in event.added_roles:
        yield put(schema.LIST_ROLE, version, *at, *list_, role, version)
    for role in event.removed_roles:
        yield cut(schema.CUT_LIST_ROLE, version, *at, *list_, role)
    for ordinal in event.added_ordinals:
        yield put(schema.LIST_USER, version, *at, *list_, bucket_of(ordinal), ordinal, version)
    yield from _removed(schema.CUT_LIST_USERS, version, (*at, *list_), event.removed_ordinals)


def _place_ended(at: tuple[str, str], version: int, place: tuple[str, str]) -> Iterator[Change]:
    for statement in (schema.CUT_PLACE, schema.CUT_PLACE_ROLES, schema.CUT_PLACE_OVERRIDES):
        yield cut(statement, version, *at, *place)


def _place(channel: str | None, category: str | None) -> tuple[str, str]:
    return (CHANNEL, channel) if channel is not None else (CATEGORY, category or "")


def _fields(entity: object, names: Iterable[str]) -> tuple[Any, ...]:
    return tuple(getattr(entity, name) for name in names)


def _role(role: Role) -> tuple[Any, ...]:
    return role.name, role.priority, role.allow, role.deny, role.custom


def _next(ordinals: Sequence[int]) -> int:
    return max(ordinals, default=-1) + 1
