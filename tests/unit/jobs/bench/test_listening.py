from __future__ import annotations

from jobs.bench.listening import listening
from jobs.bench.world import Crowd
from topics.bindings import Listen
from topics.codec import decode
from topics.subscriptions import Wanted


def test_every_session_asks_once_for_what_it_counts() -> None:
    crowd = Crowd(1, 1_200, 10, 4, "server")
    asks = [entry for _, _, value in listening(crowd, "unread_count") for entry in decode("bindings", value).entries]
    assert {ask.user for ask in asks if isinstance(ask, Listen)} == {crowd.user(0, one) for one in range(1_200)}
    assert all(isinstance(ask, Listen) and ask.wanted == [Wanted("unread_count", "main")] for ask in asks)
