"""Which deliveries name a link that is dead."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jobs.bench.storm import names
from topics.codec import encode
from topics.deliveries import DeliveryLot, Resumed, SessionLot
from topics.links import Void
from topics.wire import LinkAddress

DEAD = LinkAddress("L0", 7, 0)


@pytest.mark.parametrize(
    ("record", "named"),
    [
        (DeliveryLot("L0", 7, 0, 1, []), True),
        (SessionLot("L0", 7, [Resumed(1, known=True, inbox=0)]), True),
        (DeliveryLot("L0", 9, 0, 1, []), False),
        (Void("L0", 7), False),
    ],
)
def test_a_delivery_names_a_registration_and_its_void_is_none(record: Any, *, named: bool) -> None:
    told: Any = SimpleNamespace(value=encode(record))
    assert names(told, DEAD) is named
