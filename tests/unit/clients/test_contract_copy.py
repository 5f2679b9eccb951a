"""The client library imports nothing of the pipeline: these say when its copy of the contract is stale."""

from __future__ import annotations

import msgspec
import pytest

from linkcast_gateway import link, wire
from topics import limits
from topics.answers import Accepted, AnswerLot, Applied, Refused, Registered
from topics.deliveries import Bound, DeliveryLot, Head, SignalOut, Unbound
from topics.links import Void
from topics.messages import Message


def test_its_limits_are_the_contracts() -> None:
    ours = (link.BEAT_MS, link.TIMEOUT_MS, link.BODY_BYTES)
    assert ours == (limits.LINK_BEAT_MS, limits.LINK_TIMEOUT_MS, limits.BODY_BYTES)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (wire.Message, Message),
        (wire.Bound, Bound),
        (wire.Unbound, Unbound),
        (wire.Signal, SignalOut),
        (wire.Head, Head),
        (wire.Accepted, Accepted),
        (wire.Refused, Refused),
        (wire.Applied, Applied),
        (wire.Registered, Registered),
        (wire.Lot, DeliveryLot),
        (wire.Void, Void),
        (wire.AnswerLot, AnswerLot),
    ],
)
def test_its_records_are_named_as_the_contracts(ours: type[msgspec.Struct], theirs: type[msgspec.Struct]) -> None:
    assert ours.__struct_config__.tag == theirs.__struct_config__.tag
    assert set(ours.__struct_encode_fields__) <= set(theirs.__struct_encode_fields__)
