"""How notices are counted."""

from __future__ import annotations

from jobs.bench.merge import Heard, listening
from jobs.bench.world import Crowd
from topics.bindings import Listen
from topics.codec import decode, encode
from topics.deliveries import DeliveryLot, Head, Unread
from topics.subscriptions import Wanted


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


def test_every_session_asks_once_for_what_it_counts() -> None:
    crowd = Crowd(1, 1_200, 10, 4, "server")
    asks = [entry for _, _, value in listening(crowd) for entry in decode("bindings", value).entries]
    assert {ask.user for ask in asks if isinstance(ask, Listen)} == {crowd.user(0, one) for one in range(1_200)}
    assert all(isinstance(ask, Listen) and ask.wanted == [Wanted("unread_count", "main")] for ask in asks)
