"""Gathers a worker's metrics at the moment they are asked for; between two askings it costs nothing.

What lanes, stores and views counted is read where it stands. Histograms are of all lanes of a kind together.
"""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final, get_args

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.batches.counters import ABORT_REASONS, STEPS, Counters, Spread
from streams.batches.kind import LaneKind
from streams.batches.lane import Lane
from streams.batches.role import RoleApp
from streams.metrics.catalog import COMMON, METRICS
from streams.sinks.effects import FinalEffects, StoreEffects, Waits
from streams.sinks.stores import Stores
from streams.web.health import STATUSES, LaneState, WorkerState, base
from streams.web.reader import TIERS
from streams.web.requests import Requests
from topics.answers import CODES
from topics.rejects import REASONS
from topics.subscriptions import Level

#: Metrics of what cores count, by the name they count it under.
_COUNTED: Final = {
    "messages": "linkcast_messages_total",
    "deliveries": "linkcast_delivery_entries_total",
    "signals": "linkcast_signals_total",
    "signals_shed": "linkcast_signals_shed_total",
    "again": "linkcast_resends_total",
    "resyncs": "linkcast_resyncs_total",
    "resyncs_answered": "linkcast_resyncs_answered_total",
    "bound": "linkcast_bindings_begun_total",
    "unbound": "linkcast_bindings_ended_total",
    "hints": "linkcast_hints_total",
    "notices": "linkcast_notices_total",
    "narrow": "linkcast_messages_narrow_total",
    "unread": "linkcast_unread_notices_total",
    "unread_messages": "linkcast_unread_messages_total",
    "mentions": "linkcast_mentions_total",
    "acks": "linkcast_acks_total",
    "entries_dropped": "linkcast_entries_dropped_total",
    "begun": "linkcast_sessions_begun_total",
    "ended": "linkcast_sessions_ended_total",
    "lost": "linkcast_sessions_lost_total",
    "late": "linkcast_sessions_late_total",
    "replaced": "linkcast_sessions_replaced_total",
    "kicked": "linkcast_sessions_kicked_total",
    "turned": "linkcast_sessions_turned_total",
    "presence": "linkcast_presence_total",
    "groups_used": "linkcast_groups_used_total",
    "groups_loaded": "linkcast_groups_loaded_total",
    "groups_dropped": "linkcast_groups_dropped_total",
}
#: Metrics of how things stand, by the name a core tells it under.
_STANDING: Final = {
    "groups_cached": "linkcast_groups_in_memory",
    "links": "linkcast_links",
    "sessions": "linkcast_sessions",
    "bursts": "linkcast_bursts",
    "links_slow": "linkcast_links_slow",
    "links_overrun": "linkcast_links_overrun",
    "links_backlog_bytes": "linkcast_links_backlog_bytes",
}
_STORES: Final = ("cassandra", "redis")

Value = float | Spread
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_KINDS: Final[Mapping[str, Callable[..., Family]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


@dataclass(frozen=True)
class Sources:
    """Where the figures stand.

    Attributes:
        cluster: the cluster's name.
        role: the worker's.
        partitions: how many the cluster has, by kind of lane.
        app: the running app, if it runs.
        state: what `/health` is made from.
        effects: what the sinks do with history.
        final: what they do with the final state.
        stores: all stores.
        requests: what the views were asked.
    """

    cluster: str
    role: str
    partitions: Mapping[str, int]
    app: Callable[[], RoleApp | None]
    state: Callable[[], WorkerState]
    effects: StoreEffects
    final: FinalEffects
    stores: Stores
    requests: Requests


def registry_of(sources: Sources) -> CollectorRegistry:
    """A worker's registry: its own metrics, and its process's (memory, CPU, open files, start, garbage collection)."""
    registry = CollectorRegistry()
    registry.register(_Worker(sources))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class _Families:
    """Samples gathered under the metrics of the catalog."""

    def __init__(self, cluster: str, role: str) -> None:
        self._common = (cluster, role)
        self._families = {name: _empty(name) for name in METRICS}

    def add(self, name: str, value: Value, *labels: str | int) -> None:
        """One sample; labels in the order of the catalog."""
        values = [*self._common, *map(str, labels)]
        family = self._families[name]
        if isinstance(family, HistogramMetricFamily) and isinstance(value, Spread):
            family.add_metric(values, value.cumulative(), value.total)
        elif isinstance(family, CounterMetricFamily | GaugeMetricFamily) and not isinstance(value, Spread):
            family.add_metric(values, value)
        else:
            raise TypeError(f"{name} takes no {type(value).__name__}")

    def all(self) -> Iterable[Metric]:
        """Every metric, also those without a sample."""
        return self._families.values()


def _empty(name: str) -> Family:
    metric = METRICS[name]
    return _KINDS[metric.kind](metric.name, metric.what, labels=(*COMMON, *metric.labels))


class _Worker(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        """Every metric, without samples."""
        return [_empty(name) for name in METRICS]

    def collect(self) -> Iterable[Metric]:
        """Every metric as it stands."""
        sources = self._sources
        out = _Families(sources.cluster, sources.role)
        out.add("linkcast_build_info", 1, _version(), platform.python_version())
        for kind, partitions in sources.partitions.items():
            out.add("linkcast_partitions", partitions, kind)
        if (app := sources.app()) is not None:
            self._app(out, app)
        for lane in sources.state().lanes:
            _state(out, lane)
        self._stores(out)
        _views(out, sources.requests)
        return out.all()

    def _app(self, out: _Families, app: RoleApp) -> None:
        out.add("linkcast_rebalances_total", app.lanes.rebalances)
        out.add("linkcast_rebalance_seconds", app.rebalance_s)
        out.add("linkcast_heartbeat_age_seconds", time.monotonic() - app.thread.heartbeat_at)
        counts: Counter[str] = Counter()
        standing: Counter[str] = Counter()
        for kind in app.kinds:
            lanes = [lane for lane in app.lanes if lane.kind.name == kind.name]
            _kind(out, kind, lanes)
            for lane in lanes:
                counts.update(lane.counters.counts)
                if lane.assigned:
                    standing.update(lane.counters.gauges)
        for key, name in _COUNTED.items():
            out.add(name, counts[key])
        for key, name in _STANDING.items():
            if key in standing:
                out.add(name, standing[key])
        for known, key in (("yes", "resumed"), ("no", "resumed_new")):
            out.add("linkcast_sessions_resumed_total", counts[key], known)
        for level in get_args(Level):
            out.add("linkcast_subscribed_total", counts[f"subscribed:{level}"], level)
        for code in CODES:
            out.add("linkcast_refused_total", counts[f"refused:{code}"], code)

    def _stores(self, out: _Families) -> None:
        sources = self._sources
        seconds = (
            ("cassandra", sources.stores.table.seconds),
            ("redis", sources.stores.cache.seconds),
            ("cassandra_final", sources.stores.state.seconds),
        )
        effects: dict[str, Waits] = {"final": sources.final}
        waiting = Counter(
            store
            for lane in sources.state().lanes
            for store in effects.get(lane.kind, sources.effects).waits(lane.partition)
        )
        out.add("linkcast_stored_messages_total", sources.effects.stored)
        for store in _STORES:
            failed = sources.effects.tries_failed[store] + sources.final.tries_failed[store]
            out.add("linkcast_store_failures_total", failed, store)
            out.add("linkcast_store_waiting_lanes", waiting[store], store)
        for store, of_store in seconds:
            for operation, spread in of_store.items():
                out.add("linkcast_store_seconds", spread, store, operation)


def _kind(out: _Families, kind: LaneKind, lanes: list[Lane]) -> None:
    """What the lanes of a kind did, those given away included."""
    all_of = [lane.counters for lane in lanes]
    name = kind.name
    for lane in lanes:
        where = (name, lane.partition)
        out.add("linkcast_records_total", lane.counters.records, *where)
        out.add("linkcast_batches_total", lane.counters.batches, *where)
        out.add("linkcast_ticks_total", lane.counters.ticks, *where)
    out.add("linkcast_openings_total", sum(one.openings for one in all_of), name)
    out.add("linkcast_poisoned_total", sum(one.poisoned for one in all_of), name)
    for reason in ABORT_REASONS:
        out.add("linkcast_aborts_total", sum(one.abort_reasons[reason] for one in all_of), name, reason)
    for rejected in REASONS:
        out.add("linkcast_rejects_total", sum(one.counts[f"rejected:{rejected}"] for one in all_of), name, rejected)
    for metric, counted in (
        ("linkcast_output_records_total", [one.outputs for one in all_of]),
        ("linkcast_output_bytes_total", [one.bytes for one in all_of]),
    ):
        for topic, count in sum(counted, Counter[str]()).items():
            out.add(metric, count, name, topic)
    _spreads(out, name, all_of)


def _spreads(out: _Families, kind: str, all_of: list[Counters]) -> None:
    if not all_of:
        return
    for step in STEPS:
        out.add("linkcast_batch_step_seconds", Spread.sum(one.steps[step] for one in all_of), kind, step)
    for name, spreads in (
        ("linkcast_batch_records", [one.batch_sizes for one in all_of]),
        ("linkcast_transaction_seconds", [one.transactions for one in all_of]),
        ("linkcast_opening_seconds", [one.openings_s for one in all_of]),
        ("linkcast_recovery_seconds", [one.recoveries for one in all_of]),
    ):
        out.add(name, Spread.sum(spreads), kind)


def _state(out: _Families, lane: LaneState) -> None:
    """How an assigned lane stands."""
    where = (lane.kind, lane.partition)
    now = base(lane.status)
    for status in STATUSES:
        out.add("linkcast_lane_status", float(status == now), *where, status)
    for topic, lag in lane.lag.items():
        out.add("linkcast_lag_records", lag, *where, topic)
    out.add("linkcast_oldest_record_age_seconds", lane.oldest_s or 0.0, *where)
    progress = lane.progress
    known = float(lane.state == "serving") if progress is None else progress.read / max(1, progress.of)
    out.add("linkcast_recovery_ratio", known, *where)


def _views(out: _Families, requests: Requests) -> None:
    for (route, status), count in requests.answered.items():
        out.add("linkcast_view_requests_total", count, route, status)
    for route, seconds in requests.seconds.items():
        out.add("linkcast_view_seconds", seconds, route)
    for tier in TIERS:
        for whole, result in ((True, "hit"), (False, "miss")):
            out.add("linkcast_view_pages_total", requests.pages[tier, whole], tier, result)


def _version() -> str:
    try:
        return version("linkcast")
    except PackageNotFoundError:
        return "unknown"
