"""How notices are counted."""

from __future__ import annotations

from jobs.bench.merge import Heard
from topics.codec import encode
from topics.deliveries import DeliveryLot, Head, Unread


def test_notices_and_what_they_stand_for_are_counted_by_link() -> None:
    heard = Heard()
    unread = Unread("bench", "g", "c", 7, 3, 1, 1)
    heard.add(0, encode(DeliveryLot("L0", 1, 0, 1, [unread, Head("bench", "g", "c", 7, 1, 1)])))
    heard.add(0, encode(DeliveryLot("L0", 1, 0, 2, [unread])))
    heard.add(1, encode(DeliveryLot("L1", 1, 0, 1, [unread])))
    assert (heard.notices, heard.told, heard.pushed) == ({0: 2, 1: 1}, {0: 6, 1: 3}, 0)


def test_a_message_itself_is_seen() -> None:
    heard = Heard()
    heard.add(0, b'{"t":"lot","entries":[{"t":"m"}]}')
    assert heard.pushed == 1
