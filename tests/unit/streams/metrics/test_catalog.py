"""Metrics by Prometheus's conventions, with labels that can't grow; and how values are counted into them."""

from __future__ import annotations

import pytest
from aiokafka.errors import KafkaConnectionError, ProducerFenced
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from streams.app import Worker
from streams.batches.counters import ABORT_REASONS, Spread, abort_reason
from streams.batches.errors import NotOwnerError
from streams.batches.inputs import HoleError
from streams.metrics.catalog import METRICS, Metric
from streams.settings import load

#: Each has at most some dozens of values, whatever a cluster holds; partitions are fixed at its birth.
BOUNDED = {
    *("kind", "partition", "topic", "status", "step", "reason", "code", "store", "operation"),
    *("route", "tier", "result", "version", "python", "level", "known"),
}
BOUNDS = (1, 2, 5)


@pytest.mark.parametrize("metric", list(METRICS.values()), ids=lambda metric: metric.name)
def test_a_metric_is_named_by_the_conventions_and_says_what_is_normal(metric: Metric) -> None:
    assert metric.name.startswith("linkcast_")
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert set(metric.labels) <= BOUNDED
    assert metric.what.endswith(".")
    assert metric.normal


async def test_the_registry_holds_every_metric_of_the_catalog_and_the_process(tmp_path: object) -> None:
    registry = Worker("groups", load(data=tmp_path), "groups").metrics
    text = generate_latest(registry).decode()
    for name in METRICS:
        assert f"# TYPE {name} " in text
    assert "process_resident_memory_bytes " in text


@given(st.lists(st.lists(st.integers(0, 8)), min_size=1))
def test_spreads_count_like_a_simple_count(lots: list[list[int]]) -> None:
    spreads = []
    for lot in lots:
        spreads.append(Spread(BOUNDS))
        for value in lot:
            spreads[-1].add(value)
    every = [value for lot in lots for value in lot]
    total = Spread.sum(spreads)
    expected = [(str(float(bound)), sum(value <= bound for value in every)) for bound in BOUNDS]
    assert total.cumulative() == [*expected, ("+Inf", len(every))]
    assert total.total == sum(every)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "timeout"),
        (HoleError(), "hole"),
        (NotOwnerError(), "not_owner"),
        (ProducerFenced(), "fenced"),
        (KafkaConnectionError(), "kafka"),
        (ConnectionResetError(), "kafka"),
        (ValueError(), "other"),
    ],
)
def test_an_abort_is_counted_by_what_caused_it(error: Exception, reason: str) -> None:
    assert abort_reason(error) == reason
    assert reason in ABORT_REASONS
