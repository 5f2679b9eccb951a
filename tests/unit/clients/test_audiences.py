"""Audiences in the client library, against an oracle of dicts and sets that knows what the source meant."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from pyroaring import BitMap

from linkcast_gateway import wire
from linkcast_gateway.state import RESYNC_AGAIN_MS, Deliver, Event, LinkState, Noticed, Resync
from linkcast_gateway.wire import Group

G = Group("app", "g")


def bits(ordinals: Iterable[int]) -> str:
    return base64.b64encode(BitMap(ordinals).serialize()).decode() if ordinals else ""


def bound(pairs: dict[int, int], audiences: list[list[int]] | None = None) -> dict[str, Any]:
    """Slots and their ordinals."""
    told = {"t": "bound", "app": "app", "group": "g", "map": 1}
    return told | {"ordinals": [*pairs.values()], "slots": [*pairs], "audiences": audiences or []}


def unbound(pairs: dict[int, int]) -> dict[str, Any]:
    return {"t": "unbound", "app": "app", "group": "g", "map": 1, "ordinals": [*pairs.values()], "slots": [*pairs]}


def told(audience: int, members: Iterable[int], version: int = 1) -> dict[str, Any]:
    what = {"t": "audience", "app": "app", "group": "g", "audience": audience, "version": version}
    return what | {"members": base64.b64encode(BitMap(members).serialize()).decode()}


def delta(audience: int, entered: Iterable[int], left: Iterable[int], version: int, **more: bool) -> dict[str, Any]:
    what = {"t": "audience_delta", "app": "app", "group": "g", "audience": audience, "version": version}
    return what | {"entered": bits(set(entered)), "left": bits(set(left))} | more


def message(audience: int) -> dict[str, Any]:
    numbers = {"s": 1, "p": 0, "n": 1, "gv": 1, "lm": 1, "at": 5, "au": audience, "av": 1}
    return {"t": "m", "a": "app", "g": "g", "c": "c", **numbers, "f": "ann", "d": "d", "i": "i", "b": 1}


def head(audience: int) -> dict[str, Any]:
    return {"t": "head", "app": "app", "group": "g", "channel": "c", "seq": 1, "version": 1, "map": 1} | {
        "audience": audience
    }


def changed(version: int, since: int, members: Iterable[int] = ()) -> dict[str, Any]:
    what = {"t": "changed", "app": "app", "group": "g", "version": version, "since": since, "what": ["roles"]}
    return what | {"members": bits(set(members))}


class Feed:
    """Lots of one source, numbered as they should be."""

    def __init__(self) -> None:
        self.state = LinkState("L1", 7)
        self.number = 0
        self.now_ms = 0

    def __call__(self, *entries: dict[str, Any], reset: bool = False, lost: bool = False) -> list[Event]:
        self.number += 1
        lot = {"t": "lot", "link": "L1", "epoch": 7, "source": 0, "number": self.number, "entries": [*entries]}
        record = wire.delivery(json.dumps(lot | ({"reset": True} if reset else {})).encode())
        assert record is not None
        self.now_ms += RESYNC_AGAIN_MS
        return [] if lost else self.state.feed(record, self.now_ms)


def heard(events: list[Event]) -> list[set[int]]:
    """Who hears each message or head."""
    return [set(e.slots) for e in events if isinstance(e, Deliver) and not isinstance(e.entry, wire.Changed)]


def seen(events: list[Event]) -> list[tuple[int, int, list[str], set[int]]]:
    """Who is told that something changed, since and up to when."""
    hints = [e for e in events if isinstance(e, Deliver) and isinstance(e.entry, wire.Changed)]
    return [(e.entry.since, e.entry.version, e.entry.what, set(e.slots)) for e in hints]  # type: ignore[union-attr]


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.mark.parametrize("entry", [message(5), head(5)])
def test_what_is_for_an_audience_goes_to_the_sessions_of_its_members(feed: Feed, entry: dict[str, Any]) -> None:
    assert heard(feed(bound({1: 10, 2: 20, 3: 10}), told(5, [10]), entry)) == [{1, 3}]


def test_an_audience_tells_nobody_anything_new_and_its_changes_do(feed: Feed) -> None:
    assert seen(feed(bound({1: 10, 2: 20}), told(5, [10], version=3))) == []
    assert seen(feed(delta(5, [20], [10], 8))) == [(3, 8, ["visibility"], {1, 2})]


def test_the_changes_of_many_audiences_in_one_lot_are_one_hint(feed: Feed) -> None:
    feed(bound({1: 10, 2: 20}), told(5, [10], version=3), told(6, [10], version=4))
    assert seen(feed(delta(5, [], [10], 8), delta(6, [], [10], 9))) == [(3, 9, ["visibility"], {1})]


def test_who_was_in_an_audience_that_ends_is_told(feed: Feed) -> None:
    feed(bound({1: 10, 2: 20}), told(5, [10], version=3))
    assert seen(feed(delta(5, [], [], 8, ended=True))) == [(3, 8, ["visibility"], {1})]
    assert feed(message(5)) == [Resync(0, 3)]


def test_the_end_of_an_audience_that_is_not_known_is_no_loss(feed: Feed) -> None:
    assert feed(bound({1: 10}), delta(5, [], [], 8, ended=True))[1:] == []


def test_a_session_is_in_the_audiences_that_its_binding_names(feed: Feed) -> None:
    feed(bound({1: 10}), told(5, [10]), told(6, [10]), message(5))
    assert heard(feed(bound({2: 20}, [[6]]), message(5), message(6))) == [{1}, {1, 2}]


def test_a_further_session_of_a_member_hears_what_the_others_of_it_hear(feed: Feed) -> None:
    feed(bound({1: 10}), told(5, [10]), message(5))
    assert heard(feed(bound({2: 10}), message(5))) == [{1, 2}]


def test_a_member_whose_last_session_here_ends_is_in_no_audience_any_more(feed: Feed) -> None:
    feed(bound({1: 10, 2: 10, 3: 30}), told(5, [10, 30]))
    assert heard(feed(unbound({1: 10}), message(5))) == [{2, 3}]
    assert heard(feed(unbound({2: 10}), bound({4: 10}), message(5))) == [{3}]


@pytest.mark.parametrize(
    "entry",
    [
        *(message(5), head(5), delta(5, [10], [], 2), bound({2: 20}, [[5]])),
        *(told(5, [10]) | {"members": "not a bitmap"}, told(5, [10]) | {"members": "AAAA"}),
    ],
)
def test_an_audience_that_was_never_told_means_that_something_was_missed(feed: Feed, entry: dict[str, Any]) -> None:
    feed(bound({1: 10}))
    events = feed(entry)
    assert (heard(events), [e for e in events if isinstance(e, Resync)]) == ([], [Resync(0, 2)])


def test_a_source_that_begins_anew_forgets_its_audiences(feed: Feed) -> None:
    feed(bound({1: 10}), told(5, [10]))
    events = feed(bound({1: 10}), message(5), reset=True)
    assert heard(events) == []
    assert feed.state.tick(feed.now_ms + RESYNC_AGAIN_MS) == [Resync(0, 2)]


def test_what_is_kept_of_a_group_ends_with_the_last_session(feed: Feed) -> None:
    feed(bound({1: 10}), told(5, [10]))
    feed(unbound({1: 10}))
    assert isinstance(feed(bound({1: 10}, [[5]]))[-1], Resync)


def test_an_audience_that_nobody_here_is_in_disturbs_nobody(feed: Feed) -> None:
    assert feed(bound({1: 10}), told(5, []), message(5))[1:] == []


def test_a_hint_is_for_everybody_or_for_the_members_it_names(feed: Feed) -> None:
    events = feed(bound({1: 10, 2: 20}), changed(9, 7), changed(12, 9, [20]))
    assert seen(events) == [(7, 9, ["roles"], {1, 2}), (9, 12, ["roles"], {2})]


def test_a_hint_for_an_audience_goes_to_its_members_and_an_unknown_audience_is_asked_for(feed: Feed) -> None:
    events = feed(bound({1: 10, 2: 20}), told(5, [20]), changed(9, 7) | {"audience": 5})
    assert seen(events) == [(7, 9, ["roles"], {2})]
    assert feed(changed(10, 9) | {"audience": 6}) == [Resync(0, 2)]


def test_a_hint_that_comes_after_the_last_session_is_no_loss(feed: Feed) -> None:
    feed(bound({1: 10}))
    assert feed(unbound({1: 10}), changed(9, 7))[1:] == []


def test_a_notice_names_its_person_and_sessions(feed: Feed) -> None:
    notice = {"number": 4, "group": "g", "version": 9, "at": 5, "kind": "invited", "by": "ann", "subject": "i1"}
    entry = {"app": "app", "user": "bob", "slots": [3, 4], "notice": notice}
    for epoch, expected in ((7, 1), (6, 0)):
        record = wire.delivery(json.dumps({"t": "notices", "link": "L1", "epoch": epoch, "entries": [entry]}).encode())
        assert record is not None
        events = feed.state.feed(record, 0)
        assert len(events) == expected
        for event in events:
            assert isinstance(event, Noticed)
            assert (event.user, event.slots, event.notice.kind, event.notice.by) == ("bob", (3, 4), "invited", "ann")


SLOTS = st.integers(0, 40)
ORDINALS = st.integers(0, 12)
SETS = st.sets(ORDINALS)


class Audiences(RuleBasedStateMachine):
    """A source, and the oracle: who is bound, and who is in what. Some lots are lost; then the source begins anew."""

    audiences = Bundle("audiences")

    @initialize()
    def begin(self) -> None:
        self.feed = Feed()
        self.bound: dict[int, int] = {}
        self.members: dict[int, set[int]] = {}  # of whom nobody need be bound
        self.told: dict[int, set[int]] = {}  # restricted to who is
        self.last = 0
        self.version = 0
        self.lost = False

    def here(self, ordinals: set[int]) -> set[int]:
        return ordinals & set(self.bound.values())

    def write(self, *entries: dict[str, Any]) -> list[Event]:
        return self.feed(*entries) if entries else []

    @rule(slot=SLOTS, ordinal=ORDINALS)
    def bind(self, slot: int, ordinal: int) -> None:
        if slot in self.bound:
            return
        named = sorted(audience for audience in self.told if ordinal in self.members[audience])
        self.bound[slot] = ordinal
        for audience in named:
            self.told[audience].add(ordinal)
        self.write(bound({slot: ordinal}, [named] if named else None))

    @rule(slots=st.sets(SLOTS))
    def unbind(self, slots: set[int]) -> None:
        gone = {slot: self.bound.pop(slot) for slot in slots if slot in self.bound}
        self.told = {audience: self.here(ordinals) for audience, ordinals in self.told.items()} if self.bound else {}
        if gone:
            self.write(unbound(gone))

    @rule(target=audiences, members=SETS)
    def make(self, members: set[int]) -> int:
        self.last += 1
        self.version += 1
        self.members[self.last] = members
        return self.last

    @rule(audience=audiences, entered=SETS, left=SETS)
    def change(self, audience: int, entered: set[int], left: set[int]) -> None:
        self.version += 1
        entered, left = entered - self.members[audience], (left - entered) & self.members[audience]
        self.members[audience] = self.members[audience] - left | entered
        if audience not in self.told:
            return
        self.told[audience] = self.here(self.members[audience])
        events = self.write(delta(audience, self.here(entered), self.here(left), self.version))
        flipped = {slot for slot, ordinal in self.bound.items() if ordinal in entered | left}
        if not self.lost:
            assert [(hint[1], hint[3]) for hint in seen(events)] == ([(self.version, flipped)] if flipped else [])

    @rule(audience=consumes(audiences))
    def end(self, audience: int) -> None:
        self.version += 1
        del self.members[audience]
        if self.told.pop(audience, None) is not None:
            self.write(delta(audience, (), (), self.version, ended=True))

    @rule(audience=audiences)
    def send(self, audience: int) -> None:
        """Told before its first use; a message is written only to a link where somebody is to hear it."""
        wanted = {slot for slot, ordinal in self.bound.items() if ordinal in self.members[audience]}
        if not wanted:
            return
        entries = [] if audience in self.told else [told(audience, self.here(self.members[audience]), self.version)]
        self.told[audience] = self.here(self.members[audience])
        assert heard(self.write(*entries, message(audience))) == ([] if self.lost else [wanted])

    @rule()
    def send_to_all(self) -> None:
        if self.bound:
            assert heard(self.write(message(0))) == ([] if self.lost else [set(self.bound)])

    @rule()
    def lose(self) -> None:
        """A lot is lost; the next one shows the hole, and nothing is applied any more."""
        self.feed(lost=True)
        self.feed()
        self.lost = True

    @rule()
    def begin_anew(self) -> None:
        self.feed(*([bound(self.bound)] if self.bound else []), reset=True)
        self.told = {}
        self.lost = False

    @invariant()
    def what_is_known_is_what_was_told(self) -> None:
        if self.lost:
            return
        assert set(self.feed.state.slots_of(G)) == set(self.bound)
        for audience in self.members:
            ordinals = self.told.get(audience)
            slots = {slot for slot, ordinal in self.bound.items() if ordinal in (ordinals or ())}
            known = self.feed.state.audience_of(G, audience)
            assert (None if known is None else set(known)) == (None if ordinals is None else slots)
            assert known is None or len(known) == len(slots)


TestAudiences = Audiences.TestCase
