"""The Link map against a plain set of bindings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tables import keys
from tables.linkmap import LinkMap, binding_prefix, pairs
from tables.maplog import MapLog
from tables.outbox import Outbox, Outlet
from tables.rows import Rows
from tables.voids import Voids
from tests.cores import Memory, commit
from topics import limits

_GROUP = b"app:g"
_LINKS = [("l", 1), ("l", 2), ("ll", 1), ("m", 7)]


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_ORDINALS", 4)


class _Kept:
    """A Link map with its rows, and with what the group's row keeps of it."""

    def __init__(self) -> None:
        self.store = Memory()
        self.log = MapLog()  # outlives the map: a group leaves memory and comes back
        self._open(0, [])

    def _open(self, version: int, links: list) -> None:  # type: ignore[type-arg]
        self.rows = Rows(self.store)
        self.voids = Voids(self.rows)
        self.outbox = Outbox(self.rows, 0, self.voids)
        self.map = LinkMap(self.rows, self.outbox, self.log, _GROUP, version, links)

    def outlet(self, link: str, epoch: int) -> Outlet | None:
        return self.outbox.outlet(link, epoch, 0)

    def void(self, link: str, epoch: int, *, prune: bool) -> None:
        if self.voids.add(link, epoch):
            self.outbox.close(link, epoch)
            if prune:
                self.map.prune(self.voids)

    def flush(self) -> None:
        self.map.prune(self.voids)
        self.map.flush()
        commit(self.rows, self.store)

    def load(self) -> None:
        self._open(self.map.version, self.map.addresses)

    def void_while_out_of_memory(self, link: str, epoch: int) -> None:
        version, links = self.map.version, self.map.addresses
        self.void(link, epoch, prune=False)
        commit(self.rows, self.store)
        self._open(version, links)

    def bindings(self) -> set[tuple[str, int, int, int]]:
        return {
            (outlet.address.link, outlet.address.epoch, ordinal, slot)
            for outlet, bound in self.map
            for ordinal, slot in bound
        }

    def in_rows(self) -> set[tuple[str, int, int, int]]:
        return {
            (link, epoch, ordinal, slot)
            for link, epoch in _LINKS
            for key, value in self.rows.scan(binding_prefix(link, epoch) + keys.name(b"", _GROUP))
            for ordinal, slot in pairs(value)
        }


_WHO = (st.sampled_from(_LINKS), st.integers(0, 9), st.integers(0, 3))
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["bind", "bind", "bind", "unbind"]), *_WHO),
        st.tuples(st.sampled_from(["end", "end all", "take", "flush", "reload", "void", "void outside"]), *_WHO),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(_STEPS)
def test_bindings_are_a_set_its_notices_lead_to_it_and_its_rows_hold_it(
    steps: list[tuple[str, tuple[str, int], int, int]],
) -> None:
    kept = _Kept()
    oracle: set[tuple[str, int, int, int]] = set()
    told: set[tuple[str, int, int, int]] = set()  # what gateways that follow the notices hold
    dead: set[tuple[str, int]] = set()
    for step, (link, epoch), ordinal, slot in steps:
        version = kept.map.version
        match step:
            case "bind":
                outlet = kept.outlet(link, epoch)
                assert (outlet is None) == ((link, epoch) in dead)
                if outlet is not None:
                    assert kept.map.bind(ordinal, outlet, slot) == ((link, epoch, ordinal, slot) not in oracle)
                    oracle.add((link, epoch, ordinal, slot))
            case "unbind":
                found = kept.outbox.find(link, epoch)
                if found is not None:
                    assert kept.map.unbind(ordinal, found, slot) == ((link, epoch, ordinal, slot) in oracle)
                    oracle.discard((link, epoch, ordinal, slot))
            case "end":
                kept.map.end([ordinal, ordinal + 1])
                oracle = {binding for binding in oracle if binding[2] not in {ordinal, ordinal + 1}}
            case "end all":
                kept.map.end_all()
                oracle.clear()
            case "void" | "void outside":
                if step == "void":
                    kept.void(link, epoch, prune=True)
                else:
                    _tell(kept, told)
                    kept.flush()
                    kept.void_while_out_of_memory(link, epoch)
                killed = {(link, earlier) for earlier in range(epoch + 1)}
                hurt = any(binding[:2] in killed for binding in oracle)
                assert not hurt or kept.map.version > version
                dead |= killed
                oracle = {binding for binding in oracle if binding[:2] not in dead}
            case "take":
                _tell(kept, told)
            case _:
                _tell(kept, told)
                kept.flush()
                if step == "reload":
                    before = kept.map.version
                    kept.load()
                    assert kept.map.version == before
        told = {binding for binding in told if binding[:2] not in dead}
        assert kept.bindings() == oracle
        assert kept.map.version >= version
        if step in {"take", "flush", "reload"}:
            assert told == oracle
            assert {(o.address.link, o.address.epoch) for o in kept.map.outlets} == {b[:2] for b in oracle}
        if step in {"flush", "reload"}:
            assert {binding for binding in kept.in_rows() if binding[:2] not in dead} == oracle


def _tell(kept: _Kept, told: set[tuple[str, int, int, int]]) -> None:
    version = kept.map.version
    changes = kept.map.take_changes()
    assert kept.map.version == version + bool(changes)
    for outlet, change in changes.items():
        address = outlet.address
        bound, unbound = ({(address.link, address.epoch, *pair) for pair in part} for part in change.parted())
        assert unbound <= told
        told -= unbound
        assert not bound & told
        told |= bound


def test_what_came_and_went_in_one_change_set_is_told_by_its_sum() -> None:
    kept = _Kept()
    outlet = kept.outlet("l", 1)
    assert outlet is not None
    kept.map.bind(1, outlet, 1)
    kept.map.take_changes()
    kept.map.unbind(1, outlet, 1)
    kept.map.bind(1, outlet, 1)
    kept.map.bind(2, outlet, 2)
    kept.map.unbind(2, outlet, 2)
    change = kept.map.take_changes()[outlet]
    assert change.parted() == ([(1, 1)], [(1, 1)]), "it began anew; what came and went was never there"
    kept.map.unbind(1, outlet, 1)
    kept.map.bind(3, outlet, 1)
    change = kept.map.take_changes()[outlet]
    assert change.parted() == ([(3, 1)], [(1, 1)])


def test_where_all_that_came_went_again_the_version_stays() -> None:
    kept = _Kept()
    outlet = kept.outlet("l", 1)
    assert outlet is not None
    kept.map.bind(1, outlet, 1)
    kept.map.unbind(1, outlet, 1)
    assert (kept.map.take_changes(), kept.map.version, kept.map.outlets) == ({}, 0, ())


def test_a_link_without_bindings_is_named_no_more() -> None:
    kept = _Kept()
    outlet = kept.outlet("l", 1)
    assert outlet is not None
    kept.map.bind(1, outlet, 1)
    kept.flush()
    assert [address.link for address in kept.map.addresses] == ["l"]
    kept.map.unbind(1, outlet, 1)
    kept.map.take_changes()
    kept.flush()
    assert kept.map.addresses == []
    assert kept.map.outlets == ()
    assert not list(kept.rows.scan(keys.BINDING))
