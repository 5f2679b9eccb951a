"""What becomes of sessions: who is told, in which order, how often; and what is refused."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from tables import keys
from tests.cores import Partition, Seen, users
from topics import catalog, limits
from topics.answers import Done, Refused
from topics.bindings import Bind, Grounded, Listen, Unbind, Unlisten
from topics.deliveries import Ended, PresenceOut, Resumed, SessionLot
from topics.links import Void
from topics.memberships import Joined, Left, MembershipLot, Unheard
from topics.policy import Policy, PolicySet
from topics.presence import Presence, Unwatched, Watching, WatchLot
from topics.sessions import Down, Ground, Kick, Lost, Resume, SetStatus, Subscribe, Unsubscribe, Up, Watch
from topics.subscriptions import MESSAGE_LEVELS, Level, Subscription, Wanted
from topics.wire import SessionId, ToRequester, ToSession

_NEWS = Wanted("messages", "news")


def _up(user: str = "ann", slot: int = 7, device: str = "d", link: str = "l", **more: Any) -> Up:
    return Up("app", user, device, link, 1, 3, slot, **more)


def _resume(slot: int, was: int, link: str = "l", was_on: str = "l", **more: Any) -> Resume:
    return Resume("app", "ann", "d", link, 1, 3, slot, SessionId(was_on, 1, was), **more)


def _subscribe(slot: int, *groups: str, link: str = "l") -> Subscribe:
    return Subscribe("app", "ann", link, 1, slot, [Subscription(group, "messages", "news") for group in groups], "r")


class _Users(Partition):
    """A users partition of which ann is in `g`."""

    def __init__(self) -> None:
        made = users()
        super().__init__(made._make)
        self.apply((catalog.MEMBERSHIPS, MembershipLot([Joined("app", "g", 1, ["ann"], [4])])))

    def do(self, *records: Any) -> Seen:
        """One batch of records of `sessions`."""
        return self.apply(*((catalog.SESSIONS, record) for record in records))

    def policy(self, **more: Any) -> None:
        """Give the app a policy."""
        self.apply((catalog.POLICIES, PolicySet("app", Policy(**more))))

    def void(self, link: str = "l", epoch: int = 1) -> Seen:
        """A link dies."""
        return self.apply((catalog.LINK_VOIDS, Void(link, epoch)))

    def watching(self, *watched: str, slot: int = 7, link: str = "l", app: str = "app") -> Seen:
        """A session watches users from here on."""
        return self.apply((catalog.WATCHES, WatchLot([Watching(app, list(watched), link, 1, 3, slot)])))


def _told(seen: Seen) -> list[Any]:
    return [entry for lot in seen.records(catalog.DELIVERIES) if isinstance(lot, SessionLot) for entry in lot.entries]


def _watches(seen: Seen) -> list[Any]:
    return [entry for lot in seen.records(catalog.WATCHES) for entry in lot.entries]


@pytest.fixture
def partition() -> _Users:
    return _Users()


@pytest.mark.parametrize(
    ("rule", "ended"),
    [("any", []), ("one_per_device", [1]), ("one_per_platform", [2]), ("one", [1, 2, 3])],
)
def test_a_new_session_ends_those_that_the_app_does_not_allow_beside_it(
    partition: _Users, rule: Any, ended: list[int]
) -> None:
    partition.policy(sessions="any")
    partition.do(_up(slot=1, platform="ios"), _up(slot=2, device="e", platform="web"), _up(slot=3, device="f"))
    partition.policy(sessions=rule)
    seen = partition.do(_up(slot=4, platform="web"))
    assert _told(seen) == [Ended(slot, "replaced") for slot in ended]
    assert [told.slot for told in seen.bindings()] == [*ended, 4]


def test_a_resume_with_nothing_changed_is_one_answer_and_no_row(partition: _Users) -> None:
    partition.do(_up())
    before = dict(partition.store.rows)
    for _ in range(2):
        seen = partition.do(_resume(7, 7))
        assert seen.records(catalog.DELIVERIES) == [SessionLot("l", 1, [Resumed(7, known=True, inbox=0)])]
        assert len(seen.out.records) == 1
        assert partition.store.rows == before
        partition.crash()


def test_a_lost_session_resumed_in_time_changes_nothing_for_others_and_ends_when_it_is_not(partition: _Users) -> None:
    partition.do(_up())
    assert partition.do(Lost("app", "ann", "l", 1, 7)).out.records == {}
    assert partition.tick(limits.RESUME_MS - 1).out.records == {}
    assert partition.do(_resume(7, 7)).bindings() == []
    assert partition.tick(limits.RESUME_MS).out.records == {}
    partition.do(Lost("app", "ann", "l", 1, 7))
    partition.crash()
    assert partition.core.due_ms() == partition.now_ms + limits.RESUME_MS
    assert partition.tick(limits.RESUME_MS).bindings() == [Unbind("app", "g", 4, "l", 1, 7)]
    assert _told(partition.do(_resume(8, 7))) == [Resumed(8, known=False, inbox=0)]


def test_a_resume_elsewhere_asks_for_all_that_the_session_had_ground_first(partition: _Users) -> None:
    partition.do(_up(), _subscribe(7, "h", "g"), Watch("app", "ann", "l", 1, 7, ["bob"]))
    seen = partition.do(_resume(9, 7, "m", background=True))
    assert seen.bindings() == [
        Unbind("app", "g", 4, "l", 1, 7),
        Unlisten("app", "g", "l", 1, 3, 7, []),
        Unlisten("app", "h", "l", 1, 3, 7, []),
        Grounded("m", 1, 3, 9, background=True),
        Bind("app", "g", "ann", 4, "m", 1, 3, 9),
        Grounded("m", 1, 3, 9, background=True),
        Listen("app", "g", "ann", "m", 1, 3, 9, [_NEWS], resumed=True),
        Grounded("m", 1, 3, 9, background=True),
        Listen("app", "h", "ann", "m", 1, 3, 9, [_NEWS], resumed=True),
    ]
    assert _watches(seen) == [Unwatched("app", ["bob"], "l", 1, 7), Watching("app", ["bob"], "m", 1, 3, 9)]
    assert _told(seen) == [Ended(7, "replaced"), Resumed(9, known=True, inbox=0)]


def test_what_a_gateway_says_late_of_a_connection_that_its_client_has_left_begins_nothing(partition: _Users) -> None:
    """A gateway was cut off from Kafka; its client resumed on another, whose records came first."""
    seen = partition.do(_resume(9, 7, "m"), _up(slot=7), Lost("app", "ann", "l", 1, 7))
    assert seen.bindings() == [Grounded("m", 1, 3, 9, background=False), Bind("app", "g", "ann", 4, "m", 1, 3, 9)]
    assert _told(seen) == [Resumed(9, known=False, inbox=0)]
    assert seen.out.counts["late"] == 1


def test_so_it_is_when_the_client_went_there_and_back(partition: _Users) -> None:
    partition.do(_up(slot=7), Lost("app", "ann", "l", 1, 7))
    seen = partition.do(_resume(8, 9, "l", "m"), _resume(9, 7, "m"), Lost("app", "ann", "m", 1, 9))
    assert _told(seen) == [Resumed(8, known=False, inbox=0)]
    partition.crash()
    seen = partition.do(_resume(4, 8, "n"), _up(slot=9, link="m"))  # it went on, and still knows where it had been
    assert _told(seen) == [Ended(8, "replaced"), Resumed(4, known=True, inbox=0)]
    assert _told(partition.do(_resume(4, 4, "n", "n"))) == [Resumed(4, known=True, inbox=0)]


def test_the_connection_that_a_living_session_left_is_told_to_close(partition: _Users) -> None:
    partition.policy(sessions="any")
    partition.do(_up())
    assert _told(partition.do(_resume(8, 7)))[:-1] == [Ended(7, "replaced")]
    partition.do(_up(slot=9))
    assert _told(partition.do(_resume(9, 8)))[:-1] == [Ended(8, "replaced")]  # it is here, and was there
    partition.do(Lost("app", "ann", "l", 1, 9))
    assert _told(partition.do(_resume(10, 9)))[:-1] == []


def test_of_a_dead_link_nobody_is_told_and_its_sessions_go_on_elsewhere(partition: _Users) -> None:
    partition.do(_up(), _subscribe(7, "h"), Watch("app", "ann", "l", 1, 7, ["bob"]))
    assert partition.void().out.records == {}
    seen = partition.do(_resume(9, 7, "m"))
    assert [type(told) for told in seen.bindings()] == [Bind, Listen]
    assert _watches(seen) == [Watching("app", ["bob"], "m", 1, 3, 9)]
    assert partition.tick(limits.RESUME_MS).out.records == {}
    assert partition.core.due_ms() is None


def test_a_dead_links_sessions_end_in_steps_and_leave_nothing(partition: _Users) -> None:
    many = 1_200
    partition.do(*(_up(f"u{i}", i) for i in range(many)), _up("ann", many, link="m"))
    partition.watching("u7", slot=many, link="m")
    seen = partition.void()
    assert seen.out.records == {}
    assert sum(key[:1] != keys.VOID for key in partition.store.rows if key[:1] == keys.DEATH) == 1
    partition.tick()
    assert partition.core.due_ms() == partition.now_ms + limits.RESUME_MS
    partition.now_ms += limits.RESUME_MS
    told: list[Any] = []
    steps = 0
    while partition.core.due_ms() is not None:
        partition.crash()
        told += _told(partition.tick())
        steps += 1
    assert steps == 3
    assert told == [PresenceOut("app", [many], [Presence("u7", "offline", "", 2)])]
    assert [key for key in partition.store.rows if key[:1] == keys.SESSIONS] == [b"sapp:ann"]


def test_a_session_lost_before_its_link_died_ends_at_its_own_time(partition: _Users) -> None:
    partition.do(_up(), Lost("app", "ann", "l", 1, 7))
    partition.tick(limits.RESUME_MS // 2)
    partition.void()
    partition.tick(limits.RESUME_MS // 2)
    assert _told(partition.do(_resume(9, 7, "m"))) == [Resumed(9, known=False, inbox=0)]


def test_an_earlier_death_of_the_link_brings_back_nobody(partition: _Users) -> None:
    partition.void()
    assert partition.do(_up()).bindings() == []
    partition.do(Up("app", "ann", "d", "l", 2, 3, 7))
    partition.void(epoch=2)
    assert [one.known for one in _told(partition.do(_resume(9, 7, "m")))] == [False]
    resume = Resume("app", "ann", "d", "m", 1, 3, 10, SessionId("l", 2, 7))
    assert [one.known for one in _told(partition.do(resume)) if isinstance(one, Resumed)] == [False]


def test_a_session_that_comes_and_goes_is_in_the_foreground(partition: _Users) -> None:
    partition.do(_up())
    away = Ground("app", "ann", "l", 1, 7, background=True)
    back = Ground("app", "ann", "l", 1, 7, background=False)
    assert partition.do(away, away).bindings() == [Grounded("l", 1, 3, 7, background=True)]
    partition.now_ms += 1
    assert partition.do(back).bindings() == [Grounded("l", 1, 3, 7, background=False)]
    for _ in range(5):
        assert partition.do(away, back, away).bindings() == []
        partition.crash()
    assert partition.tick(limits.GROUND_WINDOW_MS).bindings() == [Grounded("l", 1, 3, 7, background=True)]


def test_ground_is_told_once_a_groups_partition_whatever_the_number_of_groups() -> None:
    partition = users(1, 0)
    lot = MembershipLot([Joined("app", f"g{i}", 1, ["ann"], [i]) for i in range(500)])
    partition.apply((catalog.MEMBERSHIPS, lot), (catalog.SESSIONS, _up()))
    assert len(partition.apply((catalog.SESSIONS, Ground("app", "ann", "l", 1, 7, background=True))).bindings()) == 1


def test_a_call_past_a_limit_changes_nothing_and_says_which(partition: _Users) -> None:
    partition.policy(channels_subscribed=1, groups_subscribed=2, watched_users=1)
    partition.do(_up(), _subscribe(7, "g", "h"))
    two = [Subscription("g", "messages", "b"), Subscription("g", "messages", "news")]
    for asks, limit in (
        (_subscribe(7, "i"), 2),
        (Subscribe("app", "ann", "l", 1, 7, two, "r"), 1),
        (Watch("app", "ann", "l", 1, 7, ["bob", "eve"], "r"), 1),
    ):
        seen = partition.do(asks)
        assert _told(seen) == [Refused("limit_reached", "app", request="r", limit=limit, slot=7)]
        assert (seen.bindings(), _watches(seen)) == ([], [])
    partition.do(Unsubscribe("app", "ann", "l", 1, 7, [Subscription("h", "messages", "news")]))
    assert [told.group for told in partition.do(_subscribe(7, "i")).bindings()] == ["i"]


def _shows(*levels: Level, slot: int = 7) -> Subscribe:
    return Subscribe("app", "ann", "l", 1, slot, [Subscription("g", level, "news") for level in levels], "r")


def _listened(seen: Seen) -> list[list[Level]]:
    return [[one.level for one in told.wanted] for told in seen.bindings() if isinstance(told, Listen)]


@pytest.mark.parametrize("levels", list(permutations(MESSAGE_LEVELS)))
def test_of_the_message_levels_in_one_call_the_strongest_is_asked_for(
    partition: _Users, levels: tuple[Level, ...]
) -> None:
    partition.do(_up())
    assert _listened(partition.do(_shows(*levels, "typing"))) == [["messages", "typing"]]
    assert _listened(partition.do(_shows(*sorted(levels[:2])))) == [[min(levels[:2], key=MESSAGE_LEVELS.index)]]


def test_a_later_message_level_replaces_the_earlier_one_also_after_a_resume(partition: _Users) -> None:
    partition.do(_up(), _shows("messages", "typing"), _shows("unread_status"), _shows("unread_count"))
    assert _listened(partition.do(_resume(8, 7))) == [["typing", "unread_count"]]
    partition.do(_shows("messages", slot=8))
    assert _listened(partition.do(_resume(9, 8))) == [["messages", "typing"]]


def test_what_a_visitor_may_not_have_replaces_nothing(partition: _Users) -> None:
    partition.do(_up(), _subscribe(7, "h"))
    asks = Subscribe("app", "ann", "l", 1, 7, [Subscription("h", "unread_count", "news")], "r")
    assert _listened(partition.do(asks)) == [["unread_count"]]  # to be refused
    refused = Unheard("app", "h", "ann", "l", 1, 7, [Wanted("unread_count", "news")])
    partition.apply((catalog.MEMBERSHIPS, MembershipLot([refused])))
    assert _listened(partition.do(_resume(8, 7))) == [["messages"]]


def test_who_leaves_a_group_hears_it_no_more_also_after_a_resume(partition: _Users) -> None:
    partition.do(_up(), _subscribe(7, "g", "h"))
    seen = partition.apply((catalog.MEMBERSHIPS, MembershipLot([Left("app", "g", 2, ["ann"], [4])])))
    assert seen.bindings() == [Unlisten("app", "g", "l", 1, 3, 7, [])]
    assert [told.group for told in partition.do(_resume(8, 7)).bindings() if isinstance(told, Listen)] == ["h"]


def test_what_an_unknown_session_asks_is_refused_where_its_link_is_known(partition: _Users) -> None:
    assert partition.do(_subscribe(9, "g")).out.records == {}
    partition.do(_up("bob", 1))
    refused = Refused("unknown_session", "app", request="r", slot=9)
    assert _told(partition.do(_subscribe(9, "g"))) == [refused]
    partition.void()
    assert partition.do(_subscribe(9, "g")).out.records == {}


def test_too_many_sessions_are_told_so_and_none_ends_for_them(partition: _Users) -> None:
    partition.do(*(_up(slot=slot, device=f"d{slot}") for slot in range(limits.SESSIONS_PER_USER)))
    seen = partition.do(_up(slot=99, device="e"))
    assert seen.rejected() == ["too_many_sessions"]
    assert _told(seen) == [Refused("limit_reached", "app", limit=limits.SESSIONS_PER_USER, slot=99)]
    assert partition.do(_up(slot=99, device="d5")).rejected() == []


def test_a_kick_ends_others_once_and_says_how_many(partition: _Users) -> None:
    partition.policy(sessions="any")
    partition.do(_up(slot=1), _up(slot=2, device="e"), _up(slot=3), Lost("app", "ann", "l", 1, 3))
    kick = Kick("app", "ann", SessionId("l", 1, 1), None, "k", ToRequester("me"))
    seen = partition.do(kick)
    assert _told(seen) == [Ended(2, "kicked")]
    assert seen.told(Done) == [Done("app", "ann", 2, "k")]
    assert partition.do(kick).told(Done) == [Done("app", "ann", 0, "k")]
    to = ToSession("l", 1, 3, 1)
    assert _told(partition.do(Kick("app", "ann", None, "d", "k", to))) == [
        Ended(1, "kicked"),
        Done("app", "ann", 1, "k", 1),
    ]
    assert partition.do(Kick("app", "ann", reply=ToSession("l", 1, 32, 1))).rejected() == ["bad_address"]


def test_who_begins_to_watch_is_told_at_once_and_changes_are_merged(partition: _Users) -> None:
    [first] = _told(partition.watching("ann", "bob"))
    assert first == PresenceOut("app", [7], [Presence("ann", "offline"), Presence("bob", "offline")])
    [told] = _told(partition.do(_up(slot=8)))
    assert told.users == [Presence("ann", "online", "", 1)]
    flips = [Ground("app", "ann", "l", 1, 8, background=on) for on in (True, False)]
    assert _told(partition.do(*flips, flips[0])) == []
    assert _told(partition.watching("ann", slot=9)) == [PresenceOut("app", [9], [Presence("ann", "online", "", 1)])]
    partition.crash()
    assert _told(partition.tick(limits.PRESENCE_WINDOW_MS)) == [
        PresenceOut("app", [7, 9], [Presence("ann", "background", "", 2)])
    ]
    assert _told(partition.do(flips[1], flips[0])) == _told(partition.tick(limits.PRESENCE_WINDOW_MS)) == []


def test_who_was_lost_and_goes_on_is_told_anew_of_whom_it_watches(partition: _Users) -> None:
    partition.do(_up(), _up("bob", 8), Watch("app", "ann", "l", 1, 7, ["bob"]))
    partition.watching("bob")
    partition.do(Lost("app", "ann", "l", 1, 7), Down("app", "bob", "l", 1, 8))  # what is told of it reaches nobody
    watches = _watches(partition.do(_resume(7, 7)))
    assert watches == [Watching("app", ["bob"], "l", 1, 3, 7)]
    assert _told(partition.apply((catalog.WATCHES, WatchLot(watches)))) == [
        PresenceOut("app", [7], [Presence("bob", "offline", "", 2)])
    ]
    assert _watches(partition.do(_resume(7, 7))) == []


def test_a_status_is_shown_and_outlives_sessions(partition: _Users) -> None:
    partition.watching("ann")
    seen = partition.do(SetStatus("app", "ann", "at sea", "s", ToRequester("me")))
    assert seen.told(Done) == [Done("app", "ann", 1, "s")]
    assert _told(seen) == [PresenceOut("app", [7], [Presence("ann", "offline", "at sea", 1)])]
    again = partition.do(SetStatus("app", "ann", "at sea", "s", ToRequester("me")))
    assert (again.told(Done), _told(again)) == ([Done("app", "ann", 0, "s")], [])


def test_a_user_of_whom_nothing_is_known_leaves_no_row(partition: _Users) -> None:
    before = dict(partition.store.rows)
    partition.watching("nobody", "ann", slot=1)
    partition.apply((catalog.WATCHES, WatchLot([Unwatched("app", ["nobody", "ann"], "l", 1, 1)])))
    partition.do(SetStatus("app", "ann", "at sea"), SetStatus("app", "ann", ""))
    assert partition.store.rows == before


def test_what_was_told_of_a_user_is_known_when_nobody_watches_any_more(partition: _Users) -> None:
    partition.watching("ann")
    partition.do(_up(slot=8))
    partition.apply((catalog.WATCHES, WatchLot([Unwatched("app", ["ann"], "l", 1, 7)])))
    partition.tick(limits.PRESENCE_WINDOW_MS)
    assert _told(partition.watching("ann")) == [PresenceOut("app", [7], [Presence("ann", "online", "", 1)])]


def test_more_watchers_than_a_user_may_have_are_refused_until_others_are_gone(
    partition: _Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WATCHERS", 2)
    partition.watching("ann", slot=1)
    partition.watching("ann", slot=2, link="m")
    assert _told(partition.watching("ann", slot=3)) == [Refused("limit_reached", "app", limit=2, slot=3)]
    partition.void("m")
    assert [entry.slots for entry in _told(partition.watching("ann", slot=3))] == [[3]]
    partition.apply((catalog.WATCHES, WatchLot([Unwatched("app", ["ann"], "l", 1, 1)])))
    assert [entry.slots for entry in _told(partition.watching("ann", slot=4))] == [[4]]
    assert partition.watching("ann", slot=5, link="m").out.records == {}
    lot = WatchLot([Watching("app", ["ann"], "l", 1, 32, 6)])
    assert partition.apply((catalog.WATCHES, lot)).rejected() == ["bad_address"]
