"""What the figures of fan-out are made of."""

from __future__ import annotations

import pytest

from jobs.bench import fanout
from jobs.bench.fanout import LINKS, Core, Seen, entries_by_partition, ns_a_message
from topics import catalog
from topics.bindings import Bind, BindingLot, Unbind
from topics.codec import decode, encode
from topics.deliveries import Bound, DeliveryLot, Unbound


@pytest.fixture(scope="module")
def core() -> Core:
    return Core(1_000)


def test_a_message_is_once_in_a_lot_of_each_link(core: Core) -> None:
    outputs, took_ns = core.apply([core.message()])
    assert entries_by_partition(outputs) == dict.fromkeys(range(LINKS), 1)
    assert took_ns > 0


def test_as_many_join_as_left_before_and_the_core_tells_their_links_all_of_it(core: Core) -> None:
    core.apply([core.churn()])
    record = core.churn()
    lot: BindingLot = decode(record.topic, record.value)
    assert sum(isinstance(entry, Bind) for entry in lot.entries) == fanout._CHURN
    assert sum(isinstance(entry, Unbind) for entry in lot.entries) == fanout._CHURN
    outputs, _ = core.apply([record, core.message()])
    told: dict[type, int] = {Bound: 0, Unbound: 0}
    for (topic, _), records in outputs.records.items():
        for delivery in (decode(topic, value) for _, value in records if topic == catalog.DELIVERIES.name):
            assert isinstance(delivery, DeliveryLot)
            for entry in delivery.entries:
                if isinstance(entry, Bound | Unbound):
                    told[type(entry)] += len(entry.slots)
    assert told == {Bound: fanout._CHURN, Unbound: fanout._CHURN}


def test_a_message_that_misses_a_link_is_no_figure(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "_ENTRY", b"nothing like it")
    with pytest.raises(ValueError, match="not once"):
        ns_a_message(core, 1, churned=False)


def _lot(link: int, *seqs: int) -> bytes:
    messages = [{"t": "m", "s": seq} for seq in seqs]
    return encode({"t": "lot", "link": f"L{link}", "entries": [{"t": "bound"}, *messages]})


def _seen(but: dict[int, list[int]]) -> Seen:
    seen = Seen()
    for link in range(LINKS):
        seen.add(1_000, _lot(link, *but.get(link, [1, 2])))
        seen.add(1_500, _lot(link, 3, 4, 5))
    return seen


def test_each_message_once_on_each_link_is_one_entry() -> None:
    assert _seen({}).entries_per_link(5) == 1


@pytest.mark.parametrize(("entries", "count"), [([1, 2, 2], 2), ([1], 0), ([], 0)])
def test_one_entry_too_many_or_missing_anywhere_is_told(entries: list[int], count: int) -> None:
    assert _seen({7: entries}).entries_per_link(5) == count


def test_the_first_batch_is_not_counted_for_the_clock_began_with_its_end() -> None:
    assert _seen({}).messages_per_s == pytest.approx(6)
