"""Any command on a small group, its names from small pools, so that commands meet; derived from the records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, get_args

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET, inspect

from tests.small_world import APP
from topics.entities import EVERYONE, PERMISSIONS
from topics.relations import (
    AddMembers,
    AddRoleMembers,
    CreateChannel,
    CreateGroup,
    CreateRole,
    DeleteGroup,
    EditList,
    Large,
    RelationRecord,
    RemoveMembers,
    RemoveRoleMembers,
    SetOverride,
    TransferOwnership,
    UpdateCategory,
    UpdateChannel,
    UpdateRole,
)

USERS: Final = [f"u{i}" for i in range(6)]
ROLES: Final = ["r0", "r1", "r2"]
CHANNELS: Final = ["c0", "c1", "c2"]
CATEGORIES: Final = ["k0", "k1"]
GROUPS: Final = ["town", "team"]

_users = st.sampled_from(USERS)
_roles = st.sampled_from(ROLES)
_some_users = st.lists(_users, min_size=1, max_size=3)
_ids = st.sampled_from(["i0", "i1"])
_grants = st.lists(st.sampled_from(sorted(PERMISSIONS)), max_size=3) | st.just(["send"])
#: From now, in milliseconds; the past as well.
_soon = st.sampled_from([-1_000, 500, 5_000, 50_000])

#: What a field of this name may hold.
_FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "user": _users,
    "to": _users,
    "users": _some_users,
    "add_users": st.lists(_users, max_size=3),
    "remove_users": st.lists(_users, max_size=2),
    "members": st.lists(_users, max_size=6),
    "owner": st.none() | _users,
    "by": st.sampled_from([None, None, None, *USERS[:3]]),
    "role": _roles | st.sampled_from([*ROLES, EVERYONE]),
    "add_roles": st.lists(_roles, max_size=2),
    "remove_roles": st.lists(_roles, max_size=2),
    "black_roles": st.lists(_roles, max_size=1),
    "white_roles": st.lists(_roles, max_size=2),
    "channel": st.sampled_from(CHANNELS),
    "category": st.sampled_from(CATEGORIES),
    "invite": _ids,
    "application": _ids,
    "code": _ids,
    "allow": _grants,
    "deny": _grants,
    "nick": st.sampled_from(["", "n"]),
    "priority": st.integers(1, 4),
    "uses": st.integers(1, 2),
    "until": _soon,
    "expires_at": st.none() | _soon,
}
#: What stays as it is by default.
_LEFT_OUT: Final = {
    "change_set",
    "part",
    "parts",
    "app",
    "group",
    "v",
    "request",
    "reply",
    "expected",
    "name",
    "topic",
    "avatar",
    "custom",
    "text",
}


#: What changes who sees and who may comes more often.
_OFTEN: Final = [
    *(EditList, EditList, AddRoleMembers, RemoveRoleMembers, UpdateChannel, UpdateChannel, CreateChannel),
    *(UpdateCategory, AddMembers, RemoveMembers, TransferOwnership, SetOverride, UpdateRole, CreateRole),
]
_ENDS: Final = [CreateGroup, DeleteGroup]


def commands() -> st.SearchStrategy[RelationRecord]:
    """Commands of every type; those that begin or end a group rarely. Moments in them count from now."""
    usual = [type_ for type_ in get_args(RelationRecord) if type_ not in _ENDS]
    pools = {0: _ENDS} | dict.fromkeys(range(1, 30), _OFTEN) | dict.fromkeys(range(30, 60), usual)
    return st.integers(0, 59).flatmap(lambda dice: st.sampled_from(pools[dice])).flatmap(_of)


def from_now(command: RelationRecord, now_ms: int) -> RelationRecord:
    """The command with its moments by the clock."""
    moments = {
        name: now_ms + after
        for name in ("until", "expires_at")
        if isinstance(after := getattr(command, name, None), int)
    }
    return msgspec.structs.replace(command, **moments)


def _of(type_: type[RelationRecord]) -> st.SearchStrategy[RelationRecord]:
    info = inspect.type_info(type_)
    assert isinstance(info, inspect.StructType)
    fields = {one.name: _field(one) for one in info.fields if one.name not in _LEFT_OUT}
    if issubclass(type_, Large):
        whole: dict[str, Any] = {"change_set": None, "part": 1, "parts": 1}
        parts = st.fixed_dictionaries({"change_set": st.just("s0"), "part": st.integers(1, 3), "parts": st.just(3)})
        fields["_part"] = st.just(whole) | st.just(whole) | parts
    group = st.sampled_from([GROUPS[0], *GROUPS])
    return st.tuples(group, st.fixed_dictionaries(fields)).map(_maker(type_))


def _maker(type_: type[RelationRecord]) -> Callable[[tuple[str, dict[str, Any]]], RelationRecord]:
    def make(given: tuple[str, dict[str, Any]]) -> RelationRecord:
        group, fields = given
        part = fields.pop("_part", {})
        return type_(app=APP, group=group, **fields, **part)

    return make


def _field(field: inspect.Field) -> st.SearchStrategy[Any]:
    types = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
    kinds = {type(one) for one in types}
    value = _FIELDS.get(field.name)
    if value is None:
        value = st.one_of(*(_plain(one) for one in types if not isinstance(one, inspect.NoneType | inspect.CustomType)))
    if inspect.NoneType in kinds:
        value = st.none() | value
    if not field.required and field.default is field.default_factory is msgspec.NODEFAULT:  # may be absent
        value = st.just(UNSET) | value
    return value


def _plain(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(0, 2)
    raise TypeError(f"no values for {info}")
