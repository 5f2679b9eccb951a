"""Hypothesis strategies for records, derived from their Structs: a new field needs no new strategy."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from topics import limits

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
BODIES = JSON.map(lambda value: msgspec.Raw(json.dumps(value).encode()))


def records(type_: Any) -> st.SearchStrategy[Any]:
    """Values of a record type, or of a union of them."""
    return _of(inspect.type_info(type_))


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    return _MAKERS[type(info)](info)


def _text(info: inspect.StrType) -> st.SearchStrategy[str]:
    if info.pattern is None:
        return st.text(st.characters(codec="utf-8"), max_size=20)
    return _matching(info.pattern, info.max_length or 64)


def _matching(pattern: str, max_length: int) -> st.SearchStrategy[str]:
    return st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) <= max_length)


@cache
def _struct(cls: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    fields = {field.name: _of(field.type) for field in inspect.type_info(cls).fields}  # type: ignore[attr-defined]
    return st.builds(cls, **fields)


_MAKERS: dict[type[inspect.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    inspect.StructType: lambda info: _struct(info.cls),
    inspect.UnionType: lambda info: st.one_of(*map(_of, info.types)),
    inspect.IntType: lambda info: st.integers(info.ge, info.le),
    inspect.StrType: _text,
    inspect.ListType: lambda info: st.lists(_of(info.item_type), min_size=info.min_length or 0, max_size=4),
    inspect.VarTupleType: lambda info: st.lists(_of(info.item_type), max_size=4).map(tuple),
    inspect.TupleType: lambda info: st.tuples(*map(_of, info.item_types)),
    inspect.LiteralType: lambda info: st.sampled_from(info.values),
    inspect.NoneType: lambda _: st.none(),
    inspect.BoolType: lambda _: st.booleans(),
    inspect.BytesType: lambda _: st.binary(max_size=20),
    inspect.RawType: lambda _: BODIES,
    inspect.Metadata: lambda info: _matching(info.extra_json_schema["pattern"], info.type.max_length),
}

IDS = _matching(r"^[A-Za-z0-9_.@-]+\Z", limits.ID_CHARS)
