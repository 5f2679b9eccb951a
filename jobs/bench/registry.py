"""Every figure and the module that measures it.

A module has `async def measure(lab: Lab) -> Result`. It measures all of its figures that `lab.wants`, and gives no
others. To add a figure, add a line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Final, cast

from jobs.bench.figures import Result
from jobs.bench.lab import Lab

Measure = Callable[[Lab], Awaitable[Result]]

#: Name of a figure → its module, in the order of the page.
FIGURES: Final[dict[str, str]] = {
    "ingest_msgs_per_s": "jobs.bench.ingest",
    "ingest_vs_stock_faust": "jobs.bench.ingest",
    "ingest_vs_quix": "jobs.bench.ingest",
    "ingest_vs_kafka_limit": "jobs.bench.ingest",
    "fanout_ns_per_member_1m_100": "jobs.bench.fanout",
    "fanout_ns_per_member_10m_100": "jobs.bench.fanout",
    "fanout_growth_10k_1m": "jobs.bench.fanout",
    "fanout_batched_msgs_per_s": "jobs.bench.fanout",
    "fanout_entries_per_link": "jobs.bench.fanout",
    "history_drain_vs_ingest": "jobs.bench.history",
    "history_vs_bare_driver": "jobs.bench.history",
    "rss_1m_members_mb": "jobs.bench.recovery",
    "recover_1m_members_s": "jobs.bench.recovery",
    "rss_100k_idle_groups_mb": "jobs.bench.memory",
    "delivery_bytes_overhead": "jobs.bench.overhead",
    "delivery_bytes_overhead_churn": "jobs.bench.overhead",
    "latency_p99_vs_roundtrip": "jobs.bench.latency",
    "shed_at_2x": "jobs.bench.shed",
    "shed_at_2x_lost": "jobs.bench.shed",
    "shed_at_2x_direct_p99_ratio": "jobs.bench.shed",
    "import_1m_members_s": "jobs.bench.bulk",
    "server_1m_delete_s": "jobs.bench.bulk",
    "role_flip_1m_ms": "jobs.bench.flips",
    "role_flip_1m_p99_ms": "jobs.bench.flips",
    "role_flip_growth_10k_1m": "jobs.bench.flips",
    "role_flip_500_channels_ms": "jobs.bench.flips",
    "role_1m_delete_ms": "jobs.bench.flips",
    "list_1m_users_s": "jobs.bench.flips",
    "stall_during_change_set_ms": "jobs.bench.stall",
    "audience_bytes_per_join": "jobs.bench.joins",
    "relation_events_per_s": "jobs.bench.changes",
    "two_workers_vs_one": "jobs.bench.two_workers",
    "visible_channels_query_ms": "jobs.bench.server_memory",
    "rss_1m_server_mb": "jobs.bench.server_memory",
    "session_ups_per_s": "jobs.bench.logins",
    "resumes_per_s": "jobs.bench.logins",
    "login_storm_s": "jobs.bench.storm",
    "link_death_s": "jobs.bench.storm",
    "online_1m_rss_mb": "jobs.bench.online",
    "rss_10m_online_mb": "jobs.bench.online",
    "notice_merge": "jobs.bench.merge",
    "cost_message_us": "jobs.bench.costs",
    "cost_entry_us": "jobs.bench.costs",
    "cost_kilobyte_us": "jobs.bench.costs",
    "cost_join_us": "jobs.bench.costs",
    "cost_join_in_lot_us": "jobs.bench.costs",
    "cost_membership_us": "jobs.bench.costs",
    "cost_login_us": "jobs.bench.costs",
    "cost_bind_us": "jobs.bench.costs",
}


def modules(wanted: frozenset[str]) -> list[str]:
    """The modules that measure the wanted figures, each once."""
    return list(dict.fromkeys(module for name, module in FIGURES.items() if name in wanted))


def measure_of(module: str) -> Measure:
    """A module's `measure`; imported only now, so that one figure does not wait for the libraries of another."""
    return cast("Measure", import_module(module).measure)
