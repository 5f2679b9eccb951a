"""A reader that knows a version of a Link map gets what it lacks, or is told that it must read the whole map."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.linkmap import LinkMap
from tables.maplog import MapLog
from tables.outbox import Outbox
from tables.rows import Rows
from tables.voids import Voids
from tests.cores import Memory, commit
from topics import limits

_GROUP, _OTHER = b"app:g", b"app:h"
_LINKS = [("l", 1), ("l", 2), ("m", 7)]
Bindings = frozenset[tuple[str, int, int, int]]


class _Map:
    """A Link map that leaves memory, and comes back, while its partition's log stays."""

    def __init__(self) -> None:
        self.store = Memory()
        self.rows = Rows(self.store)
        self.voids = Voids(self.rows)
        self.outbox = Outbox(self.rows, 0, self.voids)
        self.log = MapLog()
        self.map = LinkMap(self.rows, self.outbox, self.log, _GROUP, 0, [])

    def settle(self) -> None:
        self.map.prune(self.voids)
        self.map.take_changes()
        self.map.flush()
        commit(self.rows, self.store)

    def leave_and_return(self, void: tuple[str, int] | None) -> None:
        version, links = self.map.version, self.map.addresses
        if void is not None and self.voids.add(*void):
            self.outbox.close(*void)
        self.map = LinkMap(self.rows, self.outbox, self.log, _GROUP, version, links)

    def bindings(self) -> Bindings:
        return frozenset((o.address.link, o.address.epoch, *pair) for o, bound in self.map for pair in bound)


def followed(held: Bindings, kept: _Map, known: int) -> Bindings | None:
    """What a reader that held this at version `known` holds after what it is told."""
    steps = kept.log.since(_GROUP, known, kept.map.version)
    if steps is None:
        return None
    for step in steps:
        for outlet, change in step.changes.items():
            address = outlet.address
            if change is None:
                held = frozenset(one for one in held if one[:2] != (address.link, address.epoch))
                continue
            held -= {(address.link, address.epoch, *pair) for pair in change.unbound}
            held |= {(address.link, address.epoch, *pair) for pair in change.bound}
    return held


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["bind", "bind", "bind", "unbind", "void", "return", "void outside", "settle"]),
        st.sampled_from(_LINKS),
        st.integers(0, 5),
        st.integers(0, 2),
    ),
    max_size=40,
)


@given(_STEPS, st.booleans())
def test_a_reader_at_any_version_comes_to_the_present_or_begins_anew(
    steps: list[tuple[str, tuple[str, int], int, int]], large: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not large:
            patch.setattr(limits, "MAP_LOG_PAIRS", 6)
        kept = _Map()
        seen: dict[int, Bindings] = {0: frozenset()}
        whole = True  # nothing happened outside of memory
        for step, link, ordinal, slot in steps:
            match step:
                case "bind":
                    if (outlet := kept.outbox.outlet(*link, 0)) is not None:
                        kept.map.bind(ordinal, outlet, slot)
                case "unbind":
                    if (outlet := kept.outbox.find(*link)) is not None:
                        kept.map.unbind(ordinal, outlet, slot)
                case "void":
                    if kept.voids.add(*link):
                        kept.outbox.close(*link)
                case "return" | "void outside":
                    kept.settle()
                    kept.leave_and_return(link if step == "void outside" else None)
                    whole = whole and step == "return"
            if step in {"settle", "return", "void outside"}:
                kept.settle()
                now = kept.bindings()
                assert seen.setdefault(kept.map.version, now) == now  # a version means one map
                for known, held in seen.items():
                    found = followed(held, kept, known)
                    assert found in {None, now}
                    assert not (whole and large) or found == now
        assert kept.log.since(_GROUP, kept.map.version + 1, kept.map.version) is None
        assert kept.log.since(_OTHER, 0, 1) is None


def test_a_version_that_was_told_but_not_written_means_the_same_map_after_a_crash() -> None:
    kept = _Map()
    for link, slot in ((("l", 2), 1), (("m", 7), 2)):
        outlet = kept.outbox.outlet(*link, 0)
        assert outlet is not None
        kept.map.bind(0, outlet, slot)
    kept.settle()
    written = kept.map.version, kept.map.addresses
    told = {kept.map.version: kept.bindings()}
    for link in (("l", 2), ("m", 7)):
        kept.voids.add(*link)
        kept.outbox.close(*link)
        kept.map.prune(kept.voids)  # somebody looked
        assert kept.map.version not in told
        told[kept.map.version] = kept.bindings()
        kept.map = LinkMap(kept.rows, kept.outbox, MapLog(), _GROUP, *written)
        assert told[kept.map.version] == kept.bindings()


def test_what_is_kept_is_bounded_over_all_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAP_LOG_PAIRS", 10)
    kept = _Map()
    other = LinkMap(kept.rows, kept.outbox, kept.log, _OTHER, 0, [])
    outlet = kept.outbox.outlet("l", 1, 0)
    assert outlet is not None
    for slot in range(100):
        for one in (kept.map, other):
            one.bind(slot, outlet, slot)
            one.take_changes()
            one.flush()
    assert kept.log._weight <= 10
    assert sum(len(steps) for steps in kept.log._of.values()) <= 5
    assert kept.log.since(_GROUP, 98, 100) is not None
    assert kept.log.since(_GROUP, 90, 100) is None


def test_more_than_an_answer_holds_is_not_told_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAP_CHANGES", 10)
    kept = _Map()
    outlet = kept.outbox.outlet("l", 1, 0)
    assert outlet is not None
    for slot in range(8):
        kept.map.bind(slot, outlet, slot)
        kept.map.take_changes()
    assert kept.log.since(_GROUP, 3, 8) is not None
    assert kept.log.since(_GROUP, 2, 8) is None


def test_counts_and_pages_are_those_of_the_bindings() -> None:
    kept = _Map()
    one, two = kept.outbox.outlet("l", 1, 0), kept.outbox.outlet("m", 7, 1)
    assert one is not None
    assert two is not None
    for ordinal in (0, 255, 256, 600):
        kept.map.bind(ordinal, one, ordinal + 1)
        kept.map.bind(ordinal, one, ordinal + 2)
    kept.map.bind(5, two, 1)
    kept.settle()
    assert [(address.link, sessions) for address, sessions in kept.map.listening()] == [("l", 8), ("m", 1)]
    assert sorted(kept.map.on_page(one.address, 0)) == [(0, 1), (0, 2), (255, 256), (255, 257)]
    assert sorted(kept.map.on_page(one.address, 1)) == [(256, 257), (256, 258)]
    assert kept.map.on_page(two.address, 2) == []
