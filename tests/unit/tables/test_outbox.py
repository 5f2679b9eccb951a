"""Lots: numbered without holes, below the limit, read back as what was put in."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables import keys
from tables.backlog import LinkBacklog
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
    st.tuples(
        st.sampled_from(["put"] * 5 + ["urgent"] * 2 + ["reset", "run over", "drain", "drain and reload", "void"]),
        st.sampled_from(_LINKS),
    ),
    max_size=60,
)


class _Told:
    """What a registration is to read of a batch: too simple to be wrong."""

    def __init__(self) -> None:
        self.urgent: list[int] = []
        self.bulk: list[int | str] = []
        self.overrun = False
        self.dropped = 0

    def step(self, step: str, i: int) -> None:
        match step:
            case "put" if self.overrun:
                self.dropped += 1
            case "put":
                self.bulk.append(i)
            case "urgent":
                self.urgent.append(i)
            case "reset":
                self.bulk = [one for one in self.bulk if one != "overrun"] + ["reset"]
                self.overrun = False
            case "run over" if not self.overrun:
                self.dropped += sum(isinstance(one, int) for one in self.bulk)
                self.bulk, self.overrun = ["overrun"], True

    def take(self) -> list[int | str]:
        read: list[int | str] = [*self.urgent, *self.bulk]
        self.urgent, self.bulk = [], []
        return read


@given(_STEPS)
def test_each_registration_reads_what_is_urgent_then_the_rest_in_order_from_lots_without_holes(
    steps: list[tuple[str, tuple[str, int]]],
) -> None:
    kept = _Kept()
    told: dict[tuple[str, int], _Told] = {}
    numbers: dict[tuple[str, int], int] = {}
    dead: set[tuple[str, int]] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "LOT_BYTES", 120)  # two or three entries
        for i, (step, who) in enumerate([*steps, ("drain", ("l", 1))]):
            link, epoch = who
            outlet = kept.outbox.outlet(link, epoch, epoch)
            assert (outlet is None) == (who in dead)
            if step == "void":
                if kept.voids.add(link, epoch):
                    kept.outbox.close(link, epoch)
                dead |= {(link, earlier) for earlier in range(epoch + 1)}
                told = {one: what for one, what in told.items() if one not in dead}
            elif step.startswith("drain"):
                read: dict[tuple[str, int], list[int | str]] = {}
                for lot in kept.drain():
                    assert lot.source == 5
                    assert lot.number == numbers.get((lot.link, lot.epoch), 0) + 1
                    assert lot.entries or lot.reset or lot.overrun
                    assert lot.reset + lot.urgent + lot.overrun <= 1
                    numbers[lot.link, lot.epoch] = lot.number
                    of_one = read.setdefault((lot.link, lot.epoch), [])
                    of_one += ["reset"] * lot.reset + ["overrun"] * lot.overrun
                    of_one += [entry.limit or 0 for entry in lot.entries if isinstance(entry, Refused)]
                expected = {one: what.take() for one, what in told.items()}
                assert read == {one: what for one, what in expected.items() if what}
                if step == "drain and reload":
                    kept.load()
            elif outlet is not None:
                told.setdefault(who, _Told()).step(step, i)
                match step:
                    case "put":
                        outlet.entries.append(_entry(i))
                    case "urgent":
                        outlet.urgent.append(_entry(i))
                    case "reset":
                        outlet.reset()
                    case "run over":
                        outlet.run_over()


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


def test_an_overrun_link_stays_so_over_a_restart_and_what_was_dropped_is_counted() -> None:
    kept = _Kept()
    outlet = kept.outbox.outlet("l", 1, 0)
    assert outlet is not None
    outlet.entries.append(_entry(1))
    outlet.backlog = LinkBacklog()
    outlet.run_over()
    [lot] = kept.drain()
    assert (lot.number, lot.entries, lot.overrun) == (1, [], True)
    kept.load()
    outlet = kept.outbox.find("l", 1)
    assert outlet is not None
    outlet.entries += [_entry(2), _entry(3)]
    out = Outputs()
    kept.outbox.drain(out)
    assert (out.records, out.counts["entries_dropped"]) == ({}, 2)
    outlet.urgent.append(_entry(4))
    outlet.reset()
    assert [(lot.number, lot.urgent, lot.reset) for lot in kept.drain()] == [(2, True, False), (3, False, True)]
    kept.load()
    outlet = kept.outbox.find("l", 1)
    assert outlet is not None
    assert not outlet.overrun


def test_until_a_link_is_overrun_the_rows_are_as_older_workers_know_them() -> None:
    kept = _Kept()
    outlet = kept.outbox.outlet("l", 1, 7)
    assert outlet is not None
    outlet.entries.append(_entry(1))
    outlet.backlog = LinkBacklog()
    kept.drain()
    assert msgspec.msgpack.decode(kept.store.rows[keys.NUMBERS]) == [["l", 1, 7, 1]]
    assert keys.STAMP not in kept.store.rows
    outlet.run_over()
    kept.drain()
    assert keys.STAMP in kept.store.rows, "they would write to it"


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
