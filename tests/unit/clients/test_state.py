"""The state machine of the client library's link, against sources that know the truth about what they wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkcast_gateway import wire
from linkcast_gateway.state import (
    RESYNC_AGAIN_MS,
    RESYNC_PAUSE_MS,
    Answered,
    Closed,
    Deliver,
    Event,
    Forgotten,
    Gone,
    LinkState,
    Live,
    Resync,
)
from linkcast_gateway.wire import Group

LINK, EPOCH = "L1", 7
A, B = Group("app", "a"), Group("app", "b")


@dataclass
class Source:
    """A groups partition as simple as can be: it remembers what it bound, and who should hear each message it wrote."""

    number: int
    truth: dict[str, dict[int, int]] = field(default_factory=dict)
    heard: dict[int, set[int]] = field(default_factory=dict)
    written: int = 0
    last: int = 0

    def lot(self, *entries: dict[str, Any], reset: bool = False) -> bytes:
        self.last += 1
        return lot(self.number, self.last, *entries, reset=reset)

    def bind(self, group: str, slot: int) -> dict[str, Any]:
        self.truth.setdefault(group, {})[slot] = slot + 100
        return bound(group, slot)

    def unbind(self, group: str, slot: int) -> dict[str, Any]:
        self.truth.get(group, {}).pop(slot, None)
        return {"t": "unbound", "app": "app", "group": group, "map": 1, "ordinals": [slot + 100], "slots": [slot]}

    def message(self, group: str) -> dict[str, Any] | None:
        """A message; None where nobody listens, as a source then writes nothing."""
        if not (slots := self.truth.get(group)):
            return None
        self.written += 1
        seq = self.number * 1_000 + self.written
        self.heard[seq] = set(slots)
        return message(group, seq)

    def reset(self, parts: int) -> list[bytes]:
        """The answer to a resync, in one lot or in two."""
        entries = [bound(group, *slots) for group, slots in self.truth.items() if slots]
        if parts == 1 or len(entries) < 2:
            return [self.lot(*entries, reset=True)]
        return [self.lot(*entries[:1], reset=True), self.lot(*entries[1:])]


def bound(group: str, *slots: int) -> dict[str, Any]:
    ordinals = [slot + 100 for slot in slots]
    told = {"t": "bound", "app": "app", "group": group, "map": 1, "ordinals": ordinals, "slots": [*slots]}
    return told | {"heads": [["main", 3]]}


def message(group: str, seq: int, **more: Any) -> dict[str, Any]:
    numbers = {"s": seq, "p": seq - 1, "n": seq, "gv": 1, "lm": 1, "at": 5}
    return {"t": "m", "a": "app", "g": group, "c": "main", **numbers, "f": "ann", "d": "d", "i": "i", "b": 1, **more}


def lot(source: int, number: int, *entries: dict[str, Any], reset: bool = False, epoch: int = EPOCH) -> bytes:
    head = {"t": "lot", "link": LINK, "epoch": epoch, "source": source, "number": number, "entries": [*entries]}
    return json.dumps(head | ({"reset": True} if reset else {})).encode()


def fed(state: LinkState, *values: bytes, now_ms: int = 0) -> list[Event]:
    events: list[Event] = []
    for value in values:
        record = wire.delivery(value)
        assert record is not None
        events += state.feed(record, now_ms)
    return events


Step = tuple[str, int, str, int]
SOURCES = st.integers(0, 1)
CHANGES = st.tuples(st.sampled_from(["bind", "unbind", "message"]), st.sampled_from("ab"), st.integers(0, 1))
#: A lot of some changes is written: it arrives, is lost, comes twice, or is followed by an old one.
FATES = st.sampled_from(["arrive", "arrive", "lose", "twice", "late"])


def written(source: int, changes: list[tuple[str, str, int]], fate: str) -> list[Step]:
    return [(kind, source, group, slot) for kind, group, slot in changes] + [(fate, source, "", 0)]


def answered(source: int, parts: str) -> list[Step]:
    return [(parts, source, "", 0)]


def waited(ms: int) -> list[Step]:
    return [("wait", 0, "", ms)]


WRITTEN = st.builds(written, SOURCES, st.lists(CHANGES, min_size=1, max_size=4), FATES)
ANSWERED = st.builds(answered, SOURCES, st.sampled_from(["answer", "answer in two"]))
WAITED = st.builds(waited, st.sampled_from([1, RESYNC_PAUSE_MS, RESYNC_AGAIN_MS]))
TURNS = st.one_of(WRITTEN, WRITTEN, WRITTEN, WRITTEN, ANSWERED, WAITED)
STEPS = st.lists(TURNS, min_size=8, max_size=30).map(lambda turns: [step for turn in turns for step in turn])


class World:
    """Two sources, one gateway, and a partition between them that loses and repeats."""

    def __init__(self) -> None:
        self.sources = [Source(number) for number in range(2)]
        self.trays: list[list[dict[str, Any]]] = [[], []]
        self.sent: list[list[bytes]] = [[], []]
        self.asked: list[int] = []
        self.questions = 0
        self.now_ms = 0
        self.state = LinkState(LINK, EPOCH)

    def step(self, kind: str, at: int, group: str, number: int) -> None:
        source, tray = self.sources[at], self.trays[at]
        match kind:
            case "bind":
                tray.append(source.bind(f"{group}{at}", number))
            case "unbind":
                tray.append(source.unbind(f"{group}{at}", number))
            case "message":
                tray += [entry for entry in [source.message(f"{group}{at}")] if entry]
            case "wait":
                self.now_ms += number
                self.judge(self.state.tick(self.now_ms))
            case "answer" | "answer in two" if at in self.asked:
                self.asked.remove(at)
                self.flush(at)
                for value in source.reset(parts=1 if kind == "answer" else 2):
                    self.feed(at, value)
            case "arrive" | "lose" | "twice" | "late":
                self.write(kind, at)

    def write(self, kind: str, at: int) -> None:
        value = self.sources[at].lot(*self.trays[at])
        self.trays[at] = []
        if kind != "lose":
            self.feed(at, value)
        if kind == "twice":
            self.feed(at, value)
        if kind == "late":
            self.feed(at, self.sent[at][0])

    def flush(self, at: int) -> None:
        if self.trays[at]:
            self.write("arrive", at)

    def feed(self, at: int, value: bytes) -> None:
        self.sent[at].append(value)
        self.judge(fed(self.state, value, now_ms=self.now_ms))

    def judge(self, events: list[Event] | list[Resync]) -> None:
        """Each message reaches exactly whom its source had bound when it wrote it."""
        for event in events:
            if isinstance(event, Resync):
                self.asked.append(event.source)
                self.questions += 1
            if isinstance(event, Deliver) and isinstance(event.entry, wire.Message):
                assert set(event.slots) == self.sources[event.entry.seq // 1_000].heard[event.entry.seq]
                assert len(event.slots) == len(set(event.slots))

    def settle(self) -> None:
        """From here on nothing is lost and every question is answered."""
        for at in range(2):
            self.write("arrive", at)
        while self.asked:
            self.step("answer", self.asked[0], "", 0)
        self.step("wait", 0, "", RESYNC_AGAIN_MS)
        while self.asked:
            self.step("answer", self.asked[0], "", 0)


@given(STEPS)
def test_whatever_is_lost_or_doubled_the_bindings_end_as_the_sources_have_them(
    steps: list[Step],
) -> None:
    world = World()
    for step in steps:
        world.step(*step)
    world.settle()
    truth = {
        Group("app", group): set(slots) for source in world.sources for group, slots in source.truth.items() if slots
    }
    assert {group: set(slots) for group, slots in world.state.bindings().items()} == truth
    for group, slots in truth.items():
        assert set(world.state.slots_of(group)) == slots


@given(STEPS)
def test_without_a_loss_no_source_is_asked_and_every_message_is_delivered(
    steps: list[Step],
) -> None:
    world = World()
    delivered: list[int] = []
    judge = world.judge

    def count(events: list[Event] | list[Resync]) -> None:
        judge(events)
        delivered.extend(
            event.entry.seq for event in events if isinstance(event, Deliver) and isinstance(event.entry, wire.Message)
        )

    world.judge = count  # type: ignore[method-assign]
    for kind, at, group, number in steps:
        world.step("arrive" if kind == "lose" else kind, at, group, number)
    world.settle()
    assert world.questions == 0
    assert sorted(delivered) == sorted(seq for source in world.sources for seq in source.heard)


def test_sessions_become_live_with_the_heads_and_gone_when_unbound() -> None:
    source = Source(0)
    state = LinkState(LINK, EPOCH)
    assert fed(state, source.lot(source.bind("a", 1))) == [Live(A, (1,), (("main", 3),))]
    assert fed(state, source.lot(source.unbind("a", 1))) == [Gone(A, (1,))]
    assert state.bindings() == {}


def test_one_entry_is_one_event_with_all_slots() -> None:
    state = LinkState(LINK, EPOCH)
    events = fed(state, lot(0, 1, bound("a", 1, 2, 3), message("a", 4)))
    assert isinstance(events[1], Deliver)
    assert events[1].slots == (1, 2, 3)


def test_what_follows_in_a_lot_does_not_change_an_event_before_it() -> None:
    state = LinkState(LINK, EPOCH)
    events = fed(state, lot(0, 1, bound("a", 1), message("a", 4), bound("a", 2), message("a", 5)))
    assert [event.slots for event in events if isinstance(event, Deliver)] == [(1,), (1, 2)]


@pytest.mark.parametrize("first", [2, 9])
def test_a_first_lot_that_is_not_number_one_is_a_hole(first: int) -> None:
    assert fed(LinkState(LINK, EPOCH), lot(0, first)) == [Resync(0, 0)]


def test_a_source_is_asked_once_and_ignored_until_it_begins_anew() -> None:
    state = LinkState(LINK, EPOCH)
    fed(state, lot(0, 1, bound("a", 1)))
    assert fed(state, lot(0, 3, message("a", 4))) == [Resync(0, 1)]
    assert fed(state, lot(0, 4, message("a", 5))) == []
    forgotten, live = fed(state, lot(0, 5, bound("a", 2), reset=True))
    assert (forgotten, live) == (Forgotten(0, {A: (1,)}), Live(A, (2,), (("main", 3),)))


def test_other_sources_go_on_while_one_is_ignored() -> None:
    state = LinkState(LINK, EPOCH)
    fed(state, lot(0, 2), lot(1, 1, bound("b", 1)))
    assert isinstance(fed(state, lot(1, 2, message("b", 4)))[0], Deliver)


def test_bindings_that_a_source_does_not_give_anew_are_forgotten() -> None:
    state = LinkState(LINK, EPOCH)
    fed(state, lot(0, 1, bound("a", 1), bound("b", 1)), lot(1, 1, bound("c", 1)))
    fed(state, lot(0, 3), lot(0, 4, bound("a", 2), reset=True))
    assert state.bindings() == {A: (2,), Group("app", "c"): (1,)}


def test_after_an_entry_that_shows_a_loss_nothing_of_the_source_is_applied_until_it_begins_anew() -> None:
    state = LinkState(LINK, EPOCH)
    fed(state, lot(0, 1, bound("a", 1)))
    assert fed(state, lot(0, 2, message("b", 4), bound("a", 2))) == [Resync(0, 2)]
    assert fed(state, lot(0, 3, message("a", 5))) == []
    assert [type(event) for event in fed(state, lot(0, 4, bound("a", 1, 2), reset=True))] == [Forgotten, Live]


@pytest.mark.parametrize("again", [1, 2])
def test_a_lot_that_comes_again_is_dropped(again: int) -> None:
    state = LinkState(LINK, EPOCH)
    fed(state, lot(0, 1, bound("a", 1)), lot(0, 2, message("a", 4)))
    assert fed(state, lot(0, again, message("a", 4)), lot(0, again, reset=True)) == []
    assert state.bindings() == {A: (1,)}


def test_a_source_that_does_not_answer_is_asked_again() -> None:
    state = LinkState(LINK, EPOCH)
    fed(state, lot(0, 2))
    assert state.tick(RESYNC_AGAIN_MS - 1) == []
    assert state.tick(RESYNC_AGAIN_MS) == [Resync(0, 0)]
    assert state.tick(RESYNC_AGAIN_MS) == []


@pytest.mark.parametrize("entry", [message("a", 4, au=5, av=1), message("b", 4)])
def test_an_unknown_audience_or_group_is_asked_about_and_not_delivered_to_anyone(entry: dict[str, Any]) -> None:
    state = LinkState(LINK, EPOCH)
    fed(state, lot(0, 1, bound("a", 1)))
    assert fed(state, lot(0, 2, entry)) == [Resync(0, 2)]


def test_what_is_never_understood_is_not_asked_about_without_a_pause() -> None:
    state = LinkState(LINK, EPOCH)
    strange = message("a", 4, au=5, av=1)
    fed(state, lot(0, 1, bound("a", 1), strange))
    fed(state, lot(0, 2, bound("a", 1), reset=True), now_ms=10)
    assert fed(state, lot(0, 3, strange), now_ms=20) == []
    assert state.tick(10 + RESYNC_PAUSE_MS) == [Resync(0, 3)]


def test_a_void_of_this_epoch_or_a_later_one_closes_for_good() -> None:
    for epoch in (EPOCH, EPOCH + 1):
        state = LinkState(LINK, EPOCH)
        assert fed(state, json.dumps({"t": "void", "link": LINK, "epoch": epoch}).encode()) == [Closed(EPOCH)]
        assert fed(state, lot(0, 1, bound("a", 1))) == []


@pytest.mark.parametrize("void", [{"link": LINK, "epoch": EPOCH - 1}, {"link": "L2", "epoch": EPOCH}])
def test_a_void_of_others_changes_nothing(void: dict[str, Any]) -> None:
    state = LinkState(LINK, EPOCH)
    assert fed(state, json.dumps({"t": "void", **void}).encode()) == []
    assert not state.closed


def test_lots_of_another_registration_are_dropped() -> None:
    assert fed(LinkState(LINK, EPOCH), lot(0, 5, bound("a", 1), epoch=EPOCH - 1)) == []


def test_answers_name_their_session() -> None:
    refused = {"t": "refused", "code": "not_a_member", "client_id": "i", "slot": 3}
    (event,) = fed(LinkState(LINK, EPOCH), lot(0, 1, refused))
    assert isinstance(event, Answered)
    assert (event.slot, event.answer) == (3, wire.Refused("not_a_member", client_id="i", slot=3))


def test_an_entry_of_a_later_kind_is_skipped_and_the_others_are_kept() -> None:
    events = fed(LinkState(LINK, EPOCH), lot(0, 1, {"t": "sparkle"}, bound("a", 1)))
    assert events == [Live(A, (1,), (("main", 3),))]


@pytest.mark.parametrize("value", [b"", b"{", b'{"t":"lot"}', b'{"t":"later","link":"L1"}', b"[1]"])
def test_bytes_that_are_no_delivery_are_none(value: bytes) -> None:
    assert wire.delivery(value) is None


@pytest.mark.parametrize("value", [lot(0, 1).replace(b"{", b'{"v":2,', 1), b'{"t":"later","v":7}'])
def test_a_record_of_a_later_version_is_never_guessed_at(value: bytes) -> None:
    with pytest.raises(wire.LaterVersion):
        wire.delivery(value)
    with pytest.raises(wire.LaterVersion):
        wire.answers(value)
