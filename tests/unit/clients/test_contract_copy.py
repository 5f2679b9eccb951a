"""The client library imports nothing of the pipeline: these say when its copy of the contract is stale."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import linkcast_gateway as ours
from linkcast_gateway import wire
from topics import limits
from topics.answers import Accepted, AnswerLot, Applied, Refused, Registered
from topics.deliveries import (
    AudienceDelta,
    AudienceSet,
    Bound,
    Changed,
    DeliveryLot,
    Head,
    NoticeLot,
    SignalOut,
    Unbound,
)
from topics.links import Void
from topics.messages import Message
from topics.notices import Kept, NoticeOut
from topics.versions import AnswersVersion, DeliveriesVersion, LinksVersion


def test_its_limits_are_the_contracts() -> None:
    assert (ours.BEAT_MS, ours.TIMEOUT_MS) == (limits.LINK_BEAT_MS, limits.LINK_TIMEOUT_MS)
    assert (ours.BODY_BYTES, ours.DEDUPE_WINDOW_MS) == (limits.BODY_BYTES, limits.DEDUPE_WINDOW_MS)
    assert ours.PULL_MESSAGES == limits.PULL_MESSAGES


@pytest.mark.parametrize("version", [DeliveriesVersion, LinksVersion, AnswersVersion])
def test_its_schema_version_is_the_contracts_newest_of_what_it_reads(version: Any) -> None:
    newest = msgspec.inspect.type_info(version)
    assert isinstance(newest, msgspec.inspect.IntType)
    assert newest.le == wire.SCHEMA


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        (wire.Message, Message),
        (wire.Bound, Bound),
        (wire.Unbound, Unbound),
        (wire.Signal, SignalOut),
        (wire.Head, Head),
        (wire.AudienceSet, AudienceSet),
        (wire.AudienceDelta, AudienceDelta),
        (wire.Changed, Changed),
        (wire.Notice, Kept),
        (wire.NoticeOut, NoticeOut),
        (wire.NoticeLot, NoticeLot),
        (wire.Accepted, Accepted),
        (wire.Refused, Refused),
        (wire.Applied, Applied),
        (wire.Registered, Registered),
        (wire.Lot, DeliveryLot),
        (wire.Void, Void),
        (wire.AnswerLot, AnswerLot),
    ],
)
def test_its_records_are_named_as_the_contracts(copy: type[msgspec.Struct], original: type[msgspec.Struct]) -> None:
    assert copy.__struct_config__.tag == original.__struct_config__.tag
    assert set(copy.__struct_encode_fields__) <= set(original.__struct_encode_fields__)
