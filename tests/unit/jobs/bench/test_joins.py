from __future__ import annotations

from jobs.bench import joins
from jobs.bench.fanout import LINKS


def test_one_more_listener_costs_its_link_an_entry_that_names_the_audience() -> None:
    begun, shown, hints = joins._bytes(members=10 * LINKS)
    assert len(begun) == len(shown) == len(hints)
    assert all(0 < size < 250 for size in (*begun, *shown))
    assert min(hints) > 0
