"""Sessions' subscriptions, ground and notices in the client library, against an oracle of plain sets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from linkcast_gateway import wire
from linkcast_gateway.state import (
    RESYNC_AGAIN_MS,
    Acked,
    Answered,
    Deliver,
    Driven,
    Event,
    Forgotten,
    Granted,
    Grounded,
    LinkState,
    Live,
    Mentioned,
    Missed,
    Resync,
    Told,
)
from linkcast_gateway.wire import Group
from tests.unit.clients.test_audiences import Feed, bits, bound, changed, delta, head, message, told, unbound

G = Group("app", "g")


def sessions(audience: int, slots: set[int]) -> dict[str, Any]:
    return told(audience, slots) | {"by": "session"}


def ground(slots: set[int], *, on: bool = True) -> dict[str, Any]:
    return {"t": "background", "slots": sorted(slots), "on": on}


def unread(audience: int, beside: int = 0, *, background: bool = False) -> dict[str, Any]:
    what = {"t": "unread", "app": "app", "group": "g", "channel": "c", "seq": 4, "count": 2, "version": 1, "map": 1}
    return what | {"audience": audience, "beside": beside, "background": background}


def signal(audience: int) -> dict[str, Any]:
    what = {"t": "signal", "app": "app", "group": "g", "channel": "c", "version": 1, "map": 1, "sender": "ann"}
    return what | {"body": 1, "kind": "typing", "audience": audience}


def accepted(slot: int) -> dict[str, Any]:
    what = {"t": "accepted", "app": "app", "group": "g", "channel": "c", "client_id": "i", "seq": 1, "at": 5}
    return what | {"slot": slot}


def mention(*slots: int) -> dict[str, Any]:
    return {"t": "mention", "slots": [*slots], "m": message(0) | {"mn": ["bob"]}}


def slots_of(events: list[Event]) -> list[set[int]]:
    """Who gets each entry that was expanded."""
    assert all(len(event.slots) == len(set(event.slots)) for event in events if isinstance(event, Deliver))
    return [set(event.slots) for event in events if isinstance(event, Deliver)]


def lot(number: int, *entries: dict[str, Any], **more: bool) -> wire.Delivery:
    head = {"t": "lot", "link": "L1", "epoch": 7, "source": 0, "number": number, "entries": [*entries]}
    record = wire.delivery(json.dumps(head | more).encode())
    assert record is not None
    return record


@pytest.fixture
def feed() -> Feed:
    return Feed()


def test_an_audience_by_sessions_holds_slots_and_visitors_need_no_binding(feed: Feed) -> None:
    assert slots_of(feed(sessions(5, {1, 9}), message(5), signal(5), head(5))) == [{1, 9}] * 3
    assert slots_of(feed(bound({1: 10}), message(0))) == [{1}]


def test_a_subscription_is_no_news_to_clients_and_a_session_that_ends_leaves_all_of_them(feed: Feed) -> None:
    events = feed(bound({1: 10, 2: 20}), sessions(5, {1}), delta(5, {2}, set(), 8))
    assert slots_of(events) == []
    assert slots_of(feed(unbound({1: 10}), message(5))) == [{2}]


def test_of_a_group_nothing_is_kept_once_neither_members_nor_visitors_are_left(feed: Feed) -> None:
    feed(bound({1: 10}), told(4, {10}), sessions(5, {9}))
    feed(unbound({1: 10}))
    assert slots_of(feed(message(5))) == [{9}]
    feed(delta(5, set(), set(), 9, ended=True))
    assert feed.state.groups_of(9) == {}
    assert feed(message(5)) == [Resync(0, 5)]


def test_messages_signals_and_heads_are_for_the_foreground_and_notices_say_whom_they_are_for(feed: Feed) -> None:
    feed(ground({2, 4}), bound({1: 10, 2: 20, 3: 30, 4: 40}), sessions(5, {1, 2}))
    assert slots_of(feed(message(0), head(0), signal(0))) == [{1, 3}] * 3
    assert slots_of(feed(unread(0, background=True))) == [{2, 4}]
    assert slots_of(feed(message(5), unread(0, beside=5))) == [{1}, {2, 3, 4}]
    assert slots_of(feed(unread(5, background=True), unread(5))) == [{2}, {1, 2}]
    feed(ground({2}, on=False))
    assert slots_of(feed(message(0), unread(0, background=True))) == [{1, 2, 3}, {4}]


@pytest.mark.parametrize(
    "entry", [unread(6), unread(0, beside=6), changed(9, 8) | {"among": 6}, delta(6, {1}, set(), 2)]
)
def test_a_set_of_sessions_that_was_never_told_means_that_something_was_missed(
    feed: Feed, entry: dict[str, Any]
) -> None:
    feed(bound({1: 10}))
    assert feed(entry) == [Resync(0, 2)]


def test_a_hint_may_be_for_those_of_an_audience_who_are_in_another_one_too(feed: Feed) -> None:
    events = feed(bound({1: 10, 2: 20, 3: 30}), told(4, {10, 20}), sessions(5, {2, 3}))
    assert slots_of(events) == []
    both = changed(9, 8) | {"audience": 4, "among": 5}
    named = changed(9, 8) | {"members": bits({30, 10}), "among": 5}
    assert slots_of(feed(both, named)) == [{2}, {3}]


def test_a_source_that_begins_anew_forgets_subscribers_and_ground_and_visitors_pull(feed: Feed) -> None:
    feed(ground({1}), bound({1: 10}), sessions(5, {1, 9}))
    events = feed(bound({1: 10}) | {"joined": "none"}, message(0), reset=True)
    forgotten, live, delivered, missed = events
    assert (forgotten, missed) == (Forgotten(0, {G: (1,)}), Missed(G, (9,)))
    assert isinstance(live, Live)
    assert live.joined == "none"
    assert slots_of([delivered]) == [{1}]
    assert isinstance(feed(message(5))[-1], Resync)


def test_how_a_group_is_driven_is_told_to_who_listens(feed: Feed) -> None:
    drive = {"t": "drive", "app": "app", "group": "g", "version": 4, "joined": "none"}
    assert feed(drive) == []
    assert feed(bound({1: 10}), drive)[1:] == [Driven(G, "none", (1,))]
    assert feed.state.groups_of(1) == {G: "none"}


def test_a_session_that_ended_leaves_no_trace_of_its_ground(feed: Feed) -> None:
    assert feed(ground({1})) == [Grounded((1,), on=True)]
    feed.state.ended(1)
    assert slots_of(feed(bound({1: 10}), message(0))) == [{1}]


def test_what_is_urgent_among_fetched_lots_is_told_first_and_once() -> None:
    state = LinkState("L1", 7)
    lots = [lot(1, bound({1: 10})), lot(2, message(0)), lot(3, accepted(1), mention(1, 2), urgent=True)]
    answered, mentioned = state.ahead(lots)
    assert isinstance(answered, Answered)
    assert isinstance(mentioned, Mentioned)
    assert (mentioned.slots, mentioned.message.mentions) == ((1, 2), ["bob"])
    assert [type(event) for one in lots for event in state.feed(one, 0)] == [Live, Deliver]
    assert state.ahead(lots) == []
    assert state.feed(lot(4, accepted(1), urgent=True), 0) == [answered]


def test_answers_are_told_although_the_source_is_not_trusted_and_a_hole_is_still_a_hole() -> None:
    state = LinkState("L1", 7)
    told_, asked = state.feed(lot(3, accepted(1), urgent=True), 0)
    assert (type(told_), asked) == (Answered, Resync(0, 0))
    assert [type(event) for event in state.feed(lot(4, accepted(2), urgent=True), 0)] == [Answered]
    assert state.feed(lot(4, accepted(2), urgent=True), 0) == []
    assert [type(event) for event in state.feed(lot(5, bound({1: 10}), reset=True), 0)] == [Forgotten, Live]


def test_an_overrun_is_answered_by_a_resync_and_until_then_nothing_but_answers_is_told() -> None:
    state = LinkState("L1", 7)
    state.feed(lot(1, bound({1: 10})), 0)
    assert state.feed(lot(2, overrun=True), 0) == [Resync(0, 2)]
    assert state.feed(lot(3, message(0)), 0) == []
    assert [type(event) for event in state.feed(lot(4, accepted(1), urgent=True), 0)] == [Answered]
    assert state.tick(RESYNC_AGAIN_MS) == [Resync(0, 2)]


def test_lots_are_acknowledged_by_source_and_only_when_there_are_new_ones() -> None:
    state = LinkState("L1", 7)
    assert state.acks() == []
    state.feed(lot(1, bound({1: 10})), 0)
    state.feed(lot(2, message(0)), 0)
    assert (state.acks(), state.acks()) == ([Acked(0, 2)], [])
    state.feed(lot(4, message(0)), 0)
    assert state.acks() == []
    state.feed(lot(6, reset=True), 0)
    assert state.acks() == [Acked(0, 6)]


def test_what_is_for_single_sessions_is_told_of_this_registration_only() -> None:
    entries = [
        {"t": "resumed", "slot": 1, "known": True, "inbox": 4},
        {"t": "ended", "slot": 2, "why": "kicked"},
        {"t": "presence", "app": "app", "slots": [1], "users": [{"user": "bob", "state": "online", "version": 3}]},
        {"t": "later"},
        {"t": "done", "app": "app", "user": "ann", "changed": 1, "request": "r", "slot": 1},
        {"t": "refused", "code": "limit_reached", "request": "r", "slot": 1},
    ]
    for epoch, expected in ((7, [Told, Told, Told, Answered, Answered]), (6, [])):
        record = wire.delivery(json.dumps({"t": "sessions", "link": "L1", "epoch": epoch, "entries": entries}).encode())
        assert record is not None
        assert [type(event) for event in LinkState("L1", 7).feed(record, 0)] == expected


def test_what_a_session_subscribed_to_is_told_to_it(feed: Feed) -> None:
    entry = {
        "t": "subscribed",
        "app": "app",
        "group": "g",
        "slot": 3,
        "wanted": [{"level": "messages", "channel": "c"}],
    }
    (event,) = feed(entry | {"refused": [{"code": "not_visible", "level": "typing", "channel": "d"}]})
    assert isinstance(event, Granted)
    assert (event.slot, event.subscribed.wanted, event.subscribed.refused[0].code) == (
        3,
        [wire.Wanted("messages", "c")],
        "not_visible",
    )


SLOTS = st.integers(0, 15)
SETS = st.sets(SLOTS, max_size=6)
AUDIENCES = st.sampled_from([5, 6])


class Subscribers(RuleBasedStateMachine):
    """A source whose sessions come, subscribe, turn away and go; the oracle holds who is where as plain sets."""

    @initialize()
    def begin(self) -> None:
        self.feed = Feed()
        self.bound: set[int] = set()
        self.subscribed: dict[int, set[int]] = {}  # those audiences that are told
        self.background: set[int] = set()
        self.lost = False

    def write(self, *entries: dict[str, Any]) -> list[Event]:
        return self.feed(*entries)

    @rule(slot=SLOTS)
    def bind(self, slot: int) -> None:
        if slot not in self.bound:
            self.bound.add(slot)
            self.write(bound({slot: slot // 2}))

    @rule(slots=SETS)
    def unbind(self, slots: set[int]) -> None:
        if gone := slots & self.bound:
            self.bound -= gone
            self.subscribed = {audience: here - gone for audience, here in self.subscribed.items()}
            self.write(unbound({slot: slot // 2 for slot in gone}), *self.emptied())

    @rule(slots=SETS, on=st.booleans())
    def ground(self, slots: set[int], *, on: bool) -> None:
        self.background = self.background | slots if on else self.background - slots
        self.write(ground(slots, on=on))

    @rule(audience=AUDIENCES, slots=SETS)
    def subscribe(self, audience: int, slots: set[int]) -> None:
        if not slots:
            return
        if (before := self.subscribed.get(audience)) is None:
            self.subscribed[audience] = set(slots)
            self.write(sessions(audience, slots))
        else:
            self.subscribed[audience] = before | slots
            self.write(delta(audience, slots - before, (), 2))

    @rule(audience=AUDIENCES, slots=SETS)
    def unsubscribe(self, audience: int, slots: set[int]) -> None:
        if audience in self.subscribed and (gone := slots & self.subscribed[audience]):
            self.subscribed[audience] -= gone
            self.write(*(self.emptied() or [delta(audience, (), gone, 2)]))

    def emptied(self) -> list[dict[str, Any]]:
        """An audience in which nobody is left is used no more."""
        empty = [audience for audience, slots in self.subscribed.items() if not slots]
        for audience in empty:
            del self.subscribed[audience]
        return [delta(audience, (), (), 2, ended=True) for audience in empty]

    @rule(audience=st.sampled_from([0, 5, 6]), beside=st.sampled_from([0, 5, 6]), background=st.booleans())
    def send(self, audience: int, beside: int, *, background: bool) -> None:
        everybody = self.bound if audience == 0 else self.subscribed.get(audience)
        besides: set[int] | None = set() if beside == 0 else self.subscribed.get(beside)
        if not everybody or besides is None:
            return
        noticed = everybody & self.background if background else everybody
        noticed = noticed - (besides - self.background)
        expected = [slots for slots in (everybody - self.background, noticed) if slots]
        events = self.write(message(audience), unread(audience, beside, background=background))
        assert slots_of(events) == ([] if self.lost else expected)

    @precondition(lambda self: not self.lost)
    @rule()
    def lose(self) -> None:
        self.feed(lost=True)
        self.feed()
        self.lost = True

    @rule()
    def begin_anew(self) -> None:
        before = ([ground(self.background)] if self.background else []) + (
            [bound({slot: slot // 2 for slot in self.bound})] if self.bound else []
        )
        self.feed(*before, reset=True)
        self.subscribed = {}
        self.lost = False

    @invariant()
    def what_is_known_is_what_was_told(self) -> None:
        if self.lost:
            return
        assert set(self.feed.state.slots_of(G)) == self.bound
        for slot in range(16):
            listens = slot in self.bound or any(slot in here for here in self.subscribed.values())
            assert (G in self.feed.state.groups_of(slot)) == listens


TestSubscribers = Subscribers.TestCase
