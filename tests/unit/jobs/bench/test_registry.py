from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from jobs.bench.registry import FIGURES, measure_of, modules

#: What Linkcast promises to measure.
PROMISED = {
    *("ingest_msgs_per_s", "ingest_vs_stock_faust", "ingest_vs_quix", "ingest_vs_kafka_limit"),
    *("fanout_ns_per_member_1m_100", "fanout_growth_10k_1m", "fanout_batched_msgs_per_s", "fanout_entries_per_link"),
    *("delivery_bytes_overhead", "latency_p99_vs_roundtrip"),
    *("history_drain_vs_ingest", "history_vs_bare_driver"),
    *("rss_1m_members_mb", "rss_100k_idle_groups_mb", "recover_1m_members_s"),
    *("import_1m_members_s", "role_flip_1m_ms", "role_flip_1m_p99_ms", "role_flip_growth_10k_1m"),
    *("role_flip_500_channels_ms", "role_1m_delete_ms", "list_1m_users_s", "server_1m_delete_s"),
    *("stall_during_change_set_ms", "audience_bytes_per_join", "relation_events_per_s"),
    *("visible_channels_query_ms", "rss_1m_server_mb", "two_workers_vs_one"),
    *("session_ups_per_s", "resumes_per_s", "online_1m_rss_mb", "link_death_s", "login_storm_s"),
    *("fanout_ns_per_member_10m_100", "rss_10m_online_mb", "delivery_bytes_overhead_churn", "notice_merge"),
    *("shed_at_2x", "shed_at_2x_lost", "shed_at_2x_direct_p99_ratio"),
}


def test_every_promised_figure_is_registered() -> None:
    assert FIGURES.keys() >= PROMISED


@pytest.mark.parametrize("module", sorted(set(FIGURES.values())))
def test_every_module_measures_and_says_how(module: str) -> None:
    assert inspect.iscoroutinefunction(measure_of(module))
    title, _, how = (import_module(module).__doc__ or "").partition("\n")
    assert title
    assert how.strip()


def test_a_module_is_run_once_for_all_of_its_figures() -> None:
    assert modules(frozenset({"ingest_msgs_per_s", "ingest_vs_quix"})) == ["jobs.bench.ingest"]
    assert modules(frozenset()) == []
