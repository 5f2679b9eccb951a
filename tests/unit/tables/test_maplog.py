"""A reader that knows a version of a Link map gets what it lacks, or is told that it must read the whole map."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.linkmap import LinkMap
from tables.maplog import MapLog, Step
from tables.outbox import Outbox
from tables.rows import Rows
from tables.voids import Voids
from tests.cores import Memory, commit
from topics import limits
from topics.wire import LinkAddress

_GROUP, _OTHER = b"app:g", b"app:h"
_LINKS = [("l", 1), ("l", 2), ("m", 7)]
Bindings = frozenset[tuple[str, int, int, int]]


class _Map:
    """A Link map that leaves memory, and comes back, while its partition's log stays; or goes with the partition."""

    def __init__(self) -> None:
        self.store = Memory()
        self.now_ms = 1_000_000
        self.open(0, [])

    def open(self, version: int, links: list[LinkAddress]) -> None:
        self.rows = Rows(self.store)
        self.voids = Voids(self.rows)
        self.outbox = Outbox(self.rows, 0, self.voids)
        self.log = MapLog()
        self.log.hear(self.now_ms)
        self.map = LinkMap(self.rows, self.outbox, self.log, _GROUP, version, links)

    def restart(self) -> None:
        self.open(self.map.version, self.map.addresses)

    def pass_ms(self, ms: int) -> None:
        self.now_ms += ms
        self.log.hear(self.now_ms)

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


def followed(held: Bindings, steps: list[Step] | None) -> Bindings | None:
    """What a reader that held this holds after what it is told; None where it reads the whole map."""
    if steps is None:
        return None
    for step in steps:
        for outlet, change in step.changes.items():
            address = outlet.address
            if change is None:
                held = frozenset(one for one in held if one[:2] != (address.link, address.epoch))
                continue
            bound, unbound = change.parted()
            held -= {(address.link, address.epoch, *pair) for pair in unbound}
            held |= {(address.link, address.epoch, *pair) for pair in bound}
    return held


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["bind", "bind", "bind", "unbind", "void", "return", "void outside", "settle", "pass", "restart"]
        ),
        st.sampled_from(_LINKS),
        st.integers(0, 5),
        st.sampled_from([0, 1, 2, 30]),
    ),
    max_size=40,
)


@given(_STEPS, st.booleans())
def test_a_reader_at_any_version_or_time_comes_to_the_present_or_begins_anew(
    steps: list[tuple[str, tuple[str, int], int, int]], large: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not large:
            patch.setattr(limits, "MAP_LOG_PAIRS", 6)
        kept = _Map()
        seen: dict[int, Bindings] = {0: frozenset()}
        told = [(kept.now_ms, 0)]  # a reader's answers: at which time, of which version
        opened = 0  # the version at which this owner began
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
                case "pass":
                    kept.pass_ms(slot)
                case "return" | "void outside":
                    kept.settle()
                    kept.leave_and_return(link if step == "void outside" else None)
                case "restart":
                    kept.settle()
                    kept.restart()
                    opened = kept.map.version
            if step in {"settle", "return", "void outside", "restart"}:
                kept.settle()
                now, version = kept.bindings(), kept.map.version
                assert version >= max(seen)
                assert seen.setdefault(version, now) == now  # a version means one map
                for known, held in seen.items():
                    found = followed(held, kept.log.since(_GROUP, known, version))
                    assert found in {None, now}
                    assert found == now or not large or known < opened
                for at_ms, known in told:
                    assert followed(seen[known], kept.log.since_ms(_GROUP, at_ms, version)) in {None, now}
                told.append((kept.now_ms, version))
        assert kept.log.since(_GROUP, kept.map.version + 1, kept.map.version) is None
        assert kept.log.since(_OTHER, 0, 1) is None


def test_who_asks_by_time_is_told_what_happened_since_and_a_little_before() -> None:
    kept = _Map()
    outlet = kept.outbox.outlet("l", 1, 0)
    assert outlet is not None
    for slot in range(4):
        kept.pass_ms(limits.WATERMARK_MS)
        kept.map.bind(0, outlet, slot)
        kept.settle()

    def told(before_ms: int) -> list[int] | None:
        steps = kept.log.since_ms(_GROUP, kept.now_ms - before_ms, kept.map.version)
        return None if steps is None else [step.after for step in steps]

    assert told(0) == [3, 4]  # at the watermark's edge too
    assert told(limits.WATERMARK_MS // 2) == [3, 4]
    assert told(limits.WATERMARK_MS) == [2, 3, 4]
    assert told(4 * limits.WATERMARK_MS) is None  # before this owner's time
    assert told(-1) is None  # a time that it has not seen
    kept.pass_ms(limits.WATERMARK_MS + 1)
    assert told(0) == []


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
