"""Lots: numbered without holes, below the limit, read back as what was put in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables import keys
from tables.batch import Outputs
from tables.outbox import BINDINGS_HEAD, Lots, Outbox, cut
from tables.rows import Rows
from tables.voids import Voids
from tests.cores import Memory, Seen, commit
from topics import catalog, limits
from topics.answers import Refused
from topics.bindings import Unbind
from topics.codec import encode
from topics.deliveries import DeliveryLot

_LINKS = [("l", 1), ("l", 2), ("m", 1)]


class _Kept:
    """An outbox with its rows."""

    def __init__(self) -> None:
        self.store = Memory()
        self.load()

    def load(self) -> None:
        self.rows = Rows(self.store)
        self.voids = Voids(self.rows)
        self.outbox = Outbox(self.rows, 5, self.voids)

    def drain(self) -> list[DeliveryLot]:
        out = Outputs()
        self.outbox.drain(out)
        commit(self.rows, self.store)
        assert all(len(value) <= limits.LOT_BYTES + 300 for records in out.records.values() for _, value in records)
        return Seen(out).records(catalog.DELIVERIES)


def _entry(number: int) -> bytes:
    return encode(Refused("expired", limit=number))


_STEPS = st.lists(
    st.tuples(st.sampled_from(["put"] * 5 + ["reset", "drain", "drain and reload", "void"]), st.sampled_from(_LINKS)),
    max_size=60,
)


@given(_STEPS)
def test_each_registration_reads_its_entries_in_order_from_lots_without_holes(
    steps: list[tuple[str, tuple[str, int]]],
) -> None:
    kept = _Kept()
    gathered: dict[tuple[str, int], list[int | str]] = {}  # not drained yet
    numbers: dict[tuple[str, int], int] = {}
    dead: set[tuple[str, int]] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "LOT_BYTES", 120)  # two or three entries
        for i, (step, (link, epoch)) in enumerate([*steps, ("drain", ("l", 1))]):
            outlet = kept.outbox.outlet(link, epoch, epoch)
            assert (outlet is None) == ((link, epoch) in dead)
            match step:
                case "put" if outlet is not None:
                    outlet.entries.append(_entry(i))
                    gathered.setdefault((link, epoch), []).append(i)
                case "reset" if outlet is not None:
                    outlet.reset()
                    gathered.setdefault((link, epoch), []).append("reset")
                case "void":
                    if kept.voids.add(link, epoch):
                        kept.outbox.close(link, epoch)
                    dead |= {(link, earlier) for earlier in range(epoch + 1)}
                    gathered = {who: what for who, what in gathered.items() if who not in dead}
                case "drain" | "drain and reload":
                    read: dict[tuple[str, int], list[int | str]] = {}
                    for lot in kept.drain():
                        who = lot.link, lot.epoch
                        assert lot.source == 5
                        assert lot.number == numbers.get(who, 0) + 1
                        assert lot.entries or lot.reset
                        numbers[who] = lot.number
                        read.setdefault(who, []).extend(["reset"] if lot.reset else [])
                        read[who] += [entry.limit or 0 for entry in lot.entries if isinstance(entry, Refused)]
                    assert read == gathered
                    gathered = {}
                    if step != "drain":
                        kept.load()


def test_a_dead_registration_leaves_the_row_of_numbers_also_when_a_restart_comes_first() -> None:
    kept = _Kept()
    for link in ("l", "m"):
        outlet = kept.outbox.outlet(link, 1, 0)
        assert outlet is not None
        outlet.entries.append(_entry(1))
    kept.drain()
    kept.voids.add("l", 1)
    kept.outbox.close("l", 1)
    kept.drain()
    kept.load()
    assert kept.outbox.find("l", 1) is None
    outlet = kept.outbox.find("m", 1)
    assert outlet is not None
    outlet.entries.append(_entry(2))
    assert [lot.number for lot in kept.drain()] == [2]
    assert b"l" not in kept.store.rows[keys.NUMBERS]


def test_an_idle_outbox_writes_nothing() -> None:
    kept = _Kept()
    kept.outbox.outlet("l", 1, 0)
    assert kept.drain() == []
    assert kept.store.rows == {}


@given(st.lists(st.integers(1, 50).map(lambda size: b"x" * size), max_size=60), st.integers(1, 60))
def test_runs_keep_order_and_stay_below_the_limit_unless_one_entry_is_larger(entries: list[bytes], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "LOT_BYTES", limit)
        runs = cut(entries)
    assert [entry for run in runs for entry in run] == entries
    assert all(run for run in runs)
    assert all(len(b",".join(run)) <= limit or len(run) == 1 for run in runs)


def test_lots_go_to_their_partitions_and_are_empty_afterwards() -> None:
    lots, out = Lots(catalog.BINDINGS.name, BINDINGS_HEAD), Outputs()
    for i in range(10):
        lots.add(i % 3, encode(Unbind("a", "g", i, "l", 1, i)))
    lots.drain(out)
    assert sorted(partition for _, partition in out.records) == [0, 1, 2]
    assert [entry.slot for entry in Seen(out).bindings()] == [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]
    again = Outputs()
    lots.drain(again)
    assert again.records == {}
