"""Bytes to records and back. Any bytes give a record or a `Malformed`, never another error."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from topics import catalog, limits
from topics.answers import AnswerLot
from topics.bindings import BindingLot
from topics.deliveries import DeliveryRecord
from topics.links import LinkRecord, Void
from topics.memberships import MembershipLot
from topics.messages import HistoryLot, MessageRecord, Send, Signal
from topics.owners import Owner, Stored
from topics.rejects import Reason, Reject
from topics.relations import RelationEvent, RelationRecord
from topics.resync import Resync
from topics.sessions import SessionRecord

#: What a topic's records are.
TYPES: Final[dict[str, Any]] = {  # Any: unions of structs are type forms, not types
    catalog.LINKS.name: LinkRecord,
    catalog.SESSIONS.name: SessionRecord,
    catalog.RELATIONS.name: RelationRecord,
    catalog.MESSAGES.name: MessageRecord,
    catalog.RESYNC.name: Resync,
    catalog.MEMBERSHIPS.name: MembershipLot,
    catalog.BINDINGS.name: BindingLot,
    catalog.LINK_VOIDS.name: Void,
    catalog.DELIVERIES.name: DeliveryRecord,
    catalog.ANSWERS.name: AnswerLot,
    catalog.RELATION_EVENTS.name: RelationEvent,
    catalog.HISTORY.name: HistoryLot,
    catalog.REJECTS.name: Reject,
    catalog.STORED.name: Stored,
    catalog.OWNERS.name: Owner,
}

_DECODERS: Final = {topic: msgspec.json.Decoder(type_) for topic, type_ in TYPES.items()}
_ENCODER: Final = msgspec.json.Encoder()

encode = _ENCODER.encode


class Malformed(Exception):
    """Bytes that are no record of their topic.

    Attributes:
        reason: the reject reason.
        detail: what is wrong with them.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


def decode(topic: str, value: bytes | None) -> Any:  # noqa: ANN401 -- the type is the topic's: see TYPES
    """The record of `topic` in `value`.

    Raises:
        Malformed: it is none, or larger than the limit.
    """
    if value is None:
        raise Malformed("undecodable", "no value")
    if len(value) > limits.RECORD_BYTES:
        raise Malformed("record_too_large", f"{len(value)} bytes, limit {limits.RECORD_BYTES}")
    try:
        str(value, "utf-8")  # bodies are passed on undecoded: they must not spoil the lot that carries them
        record = _DECODERS[topic].decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("undecodable", str(error)) from error
    if isinstance(record, Send | Signal) and _depth(bytes(record.body)) > limits.BODY_DEPTH:
        raise Malformed("undecodable", f"a body nested deeper than {limits.BODY_DEPTH}")
    return record


_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')


def _depth(body: bytes) -> int:
    """How deep arrays and objects of valid JSON nest; an upper bound where there are few."""
    if (brackets := body.count(b"[") + body.count(b"{")) <= limits.BODY_DEPTH:
        return brackets
    depth = deepest = 0
    for byte in _STRING.sub(b"", body):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest
