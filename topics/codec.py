"""Bytes to records and back. Any bytes give a record or a `Malformed`, never another error."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
import numpy as np

from topics import catalog, limits
from topics.acks import Ack
from topics.answers import AnswerLot
from topics.bindings import BindingLot
from topics.deliveries import DeliveryRecord
from topics.events import FlipLot, RelationEvent
from topics.links import LinkRecord, Void
from topics.memberships import MembershipLot
from topics.messages import HistoryLot, MessageRecord, Send, Signal
from topics.notices import PersonLot
from topics.owners import Owner, StoredRecord
from topics.policy import PolicySet
from topics.presence import WatchLot
from topics.rejects import Reason, Reject
from topics.relations import RelationRecord
from topics.resync import Resync
from topics.sessions import SessionRecord
from topics.versions import Known
from topics.wire import ID_PATTERN

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
    catalog.LINK_ACKS.name: Ack,
    catalog.WATCHES.name: WatchLot,
    catalog.POLICIES.name: PolicySet,
    catalog.DELIVERIES.name: DeliveryRecord,
    catalog.ANSWERS.name: AnswerLot,
    catalog.RELATION_EVENTS.name: RelationEvent,
    catalog.CHANNEL_MEMBERS.name: FlipLot,
    catalog.NOTICES.name: PersonLot,
    catalog.HISTORY.name: HistoryLot,
    catalog.REJECTS.name: Reject,
    catalog.STORED.name: StoredRecord,
    catalog.OWNERS.name: Owner,
}

_DECODERS: Final = {topic: msgspec.json.Decoder(type_) for topic, type_ in TYPES.items()}
_KNOWN: Final = {topic: Known(type_) for topic, type_ in TYPES.items()}
_ENCODER: Final = msgspec.json.Encoder()

encode = _ENCODER.encode


class Malformed(Exception):  # noqa: N818 -- it says what the bytes are
    """Bytes that are no record of their topic.

    Attributes:
        reason: the reject reason.
        detail: what is wrong with them.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


def decode(topic: str, value: bytes | None) -> Any:
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
        if (newer := _KNOWN[topic].newer(value)) is not None:
            raise Malformed("unknown_version", newer) from error
        raise Malformed("undecodable", str(error)) from error
    if topic == catalog.MESSAGES.name:
        _check_ids(record)
        _check_body(bytes(record.body))
    return record


_ID_LETTERS: Final = re.compile(ID_PATTERN).match


def _check_ids(record: Send | Signal) -> None:
    """Refuse an id with a letter that none may have; its length is checked already.

    Raises:
        Malformed: there is one.
    """
    ids = record.app + record.group + record.sender
    if isinstance(record, Send):
        ids += record.device + record.client_id
        if record.mentions:
            ids += "".join(record.mentions)
    if _ID_LETTERS(ids) is None:
        raise Malformed("undecodable", f"an id that does not match {ID_PATTERN}")


_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_LONG_NUMBER: Final = re.compile(rb"(?<![0-9])[0-9]{%d}" % (limits.BODY_DIGITS + 1))
_STEPS: Final = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


def _check_body(body: bytes) -> None:
    """Refuse valid JSON that a lot's readers may choke on. What is too large is refused later: it gets into no lot.

    Raises:
        Malformed: nested too deep, or a number with too many digits.
    """
    if len(body) > limits.BODY_BYTES:
        return
    deep = body.count(b"[") + body.count(b"{") > limits.BODY_DEPTH
    if not deep and len(body) <= limits.BODY_DIGITS:
        return
    bare = _STRING.sub(b"", body)
    if deep and np.cumsum(_STEPS[np.frombuffer(bare, np.uint8)], dtype=np.int32).max(initial=0) > limits.BODY_DEPTH:
        raise Malformed("undecodable", f"a body nested deeper than {limits.BODY_DEPTH}")
    if _LONG_NUMBER.search(bare):
        raise Malformed("undecodable", f"a number of more than {limits.BODY_DIGITS} digits in a body")
