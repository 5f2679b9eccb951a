"""The schema version `v` of each family of records; absent on the wire means FIRST.

A family's alias holds the newest version that is known here (`le`). Decoders check it, so that nothing newer is taken
for something known: `topics.codec` rejects it as `unknown_version`. A field that old readers may ignore needs no new
version. A change that they would misread raises the family's `le`; a record then names its `v`, and is written at the
lowest version that says what it says. How a cluster gets from one to the next: docs/operations/upgrades.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

FIRST: Final = 1

LinksVersion = Annotated[int, Meta(ge=FIRST, le=1)]  # `void` among them, also in deliveries
SessionsVersion = Annotated[int, Meta(ge=FIRST, le=1)]
RelationsVersion = Annotated[int, Meta(ge=FIRST, le=1)]
MessagesVersion = Annotated[int, Meta(ge=FIRST, le=1)]
ResyncVersion = Annotated[int, Meta(ge=FIRST, le=1)]
MembershipsVersion = Annotated[int, Meta(ge=FIRST, le=1)]
BindingsVersion = Annotated[int, Meta(ge=FIRST, le=1)]
DeliveriesVersion = Annotated[int, Meta(ge=FIRST, le=1)]
AnswersVersion = Annotated[int, Meta(ge=FIRST, le=1)]
EventsVersion = Annotated[int, Meta(ge=FIRST, le=1)]
NoticesVersion = Annotated[int, Meta(ge=FIRST, le=1)]
WatchesVersion = Annotated[int, Meta(ge=FIRST, le=1)]
AcksVersion = Annotated[int, Meta(ge=FIRST, le=1)]
PoliciesVersion = Annotated[int, Meta(ge=FIRST, le=1)]
HistoryVersion = Annotated[int, Meta(ge=FIRST, le=1)]
RejectsVersion = Annotated[int, Meta(ge=FIRST, le=1)]
OwnersVersion = Annotated[int, Meta(ge=FIRST, le=1)]  # `stored` among them


class _Stamp(msgspec.Struct):
    """All that can be told of a record of an unknown version."""

    t: str = ""
    v: int = FIRST


_stamp_of = msgspec.json.Decoder(_Stamp).decode


class Known:
    """The newest version of each record of a topic."""

    def __init__(self, type_: Any) -> None:  # a union of structs is a type form, not a type
        info = msgspec.inspect.type_info(type_)
        types = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
        records = [type_ for type_ in types if isinstance(type_, msgspec.inspect.StructType)]
        self._newest = {str(record.tag): _newest(record) for record in records}

    def newer(self, value: bytes) -> str | None:
        """What is newer in these bytes than what is known, in words; None if that is not what is wrong with them."""
        try:
            stamp = _stamp_of(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        newest = self._newest.get(stamp.t, max(self._newest.values()))
        return f"version {stamp.v} of {stamp.t!r}, known is {newest}" if stamp.v > newest else None


def _newest(record: msgspec.inspect.StructType) -> int:
    (version,) = (field.type for field in record.fields if field.encode_name == "v")
    newest: int = version.le  # type: ignore[attr-defined]
    return newest
