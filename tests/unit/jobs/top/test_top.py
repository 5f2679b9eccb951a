"""What top shows: reckoned from two looks, drawn for any width, and what is wrong stands out."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from jobs.top.figures import DEAD, Figures, figures
from jobs.top.samples import Passed, Samples
from jobs.top.screen import count, screen, span, spark
from jobs.top.sight import Sight, WorkerSight
from streams.web.answers import LinkState
from streams.web.health import STATUSES

NOW_MS = 1_700_000_000_000


def samples(text: str) -> Samples:
    return Samples.parse(text)


def groups_samples(messages: int, batches: int, seconds: float) -> Samples:
    return samples(
        f"""\
# TYPE linkcast_messages counter
linkcast_messages_total{{role="groups"}} {messages}
# TYPE linkcast_delivery_entries counter
linkcast_delivery_entries_total{{role="groups"}} {10 * messages}
# TYPE linkcast_lag_records gauge
linkcast_lag_records{{kind="groups",partition="0",topic="messages"}} 7
linkcast_lag_records{{kind="groups",partition="1",topic="messages"}} 5
# TYPE linkcast_batch_step_seconds histogram
linkcast_batch_step_seconds_bucket{{kind="groups",step="apply",le="+Inf"}} {batches}
linkcast_batch_step_seconds_count{{kind="groups",step="apply"}} {batches}
linkcast_batch_step_seconds_sum{{kind="groups",step="apply"}} {seconds}
linkcast_batch_step_seconds_bucket{{kind="groups",step="send",le="+Inf"}} {batches}
linkcast_batch_step_seconds_count{{kind="groups",step="send"}} {batches}
linkcast_batch_step_seconds_sum{{kind="groups",step="send"}} {seconds}
# TYPE linkcast_rejects counter
linkcast_rejects_total{{kind="groups",reason="undecodable"}} 3
linkcast_rejects_total{{kind="groups",reason="bad_address"}} 0
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 1.5e8
"""
    )


def lane(kind: str, partition: int, status: str = "serving", **known: Any) -> dict[str, Any]:
    told = {"kind": kind, "partition": partition, "status": status, "for_s": None, "paused_for": None}
    return {**told, "oldest_s": None, "progress": None, "lag": {}} | known


def groups(at: int, status: str = "serving", *lanes: dict[str, Any]) -> WorkerSight:
    health = {"role": "groups", "status": status, "for_s": 4.0, "next": "Wait.", "lanes": list(lanes)}
    return WorkerSight("http://10.0.0.1:1", [("groups", 0)], health, groups_samples(100 * at, 10 * at, 0.05 * at))


def sight(at: int, *workers: WorkerSight, links: int = 0) -> Sight:
    living = [LinkState(f"L{n}", n, n, "ws://x", "eu", 10 * n, 500) for n in range(1, links + 1)]
    return Sight(float(at), NOW_MS, workers, living, NOW_MS - 1_500, kafka=True)


def drawn(found: Figures, width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    console.print(screen(found, width, [1, 2, 3]))
    return out.getvalue()


def test_rates_are_what_happened_between_two_looks() -> None:
    found = figures("linkcast", sight(3, groups(3)), sight(1, groups(1)))
    assert (found.messages_per_s, found.entries_per_s, found.lag) == (100, 1_000, 12)
    (worker,) = found.workers
    assert worker.batch_ms == pytest.approx(10)  # 0.1 s in each of two steps, 20 batches
    assert worker.rss_mb == 150
    assert found.rejects == {"undecodable": 3}
    assert found.stored_ago_s == 1.5


def test_a_worker_started_anew_has_done_what_it_tells() -> None:
    assert Passed(groups_samples(30, 1, 0), groups_samples(500, 9, 0), 2.0).per_s("linkcast_messages_total") == 15


def test_a_first_look_knows_no_rates() -> None:
    found = figures("linkcast", sight(3, groups(3)), None)
    assert (found.messages_per_s, found.lag) == (0, 12)


def test_an_owner_that_does_not_answer_is_dead_and_makes_the_cluster_so() -> None:
    gone = WorkerSight("http://10.0.0.2:2", [("users", 0), ("users", 1), ("links", 0)])
    found = figures("linkcast", sight(2, groups(2), gone), sight(1, groups(1)))
    assert found.status == DEAD
    told = drawn(found, 140)
    assert "1 of 2 workers" in told
    assert "users dead at http://10.0.0.2:2: does not answer; it had links 0 0-1" in told


def test_what_is_the_matter_is_told_with_its_reason_and_what_to_do() -> None:
    recovering = lane("groups", 0, "recovering", for_s=3.0, progress={"read": 1, "of": 4})
    away = lane("groups", 1, "paused: Redis away", for_s=70.0, paused_for="redis away: refused")
    told = drawn(figures("linkcast", sight(2, groups(2, "paused: Redis away", recovering, away)), None), 120)
    assert "groups/0 recovering for 3.0 s, 25% read" in told
    assert "groups/1 paused: Redis away for 1 min: redis away: refused" in told
    assert "Wait." in told


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 220])
def test_it_fits_any_width(width: int) -> None:
    lanes = [lane("groups", n, "stuck", for_s=30.0, paused_for="x" * 200) for n in range(9)]
    gone = WorkerSight("http://a-host-with-a-long-name.example:18081", [("sinks", n) for n in range(9)])
    found = figures("linkcast", sight(2, groups(2, "stuck", *lanes), gone, links=30), sight(1, groups(1)))
    lines = drawn(found, width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("groups/0-8 stuck for 30.0 s" in line for line in lines)  # nine in one trouble are one line
    for word in ("groups", "sinks", "stuck", DEAD, "msg/s"):
        assert any(word in line for line in lines), word


def test_without_any_worker_it_says_how_to_start_some() -> None:
    assert "linkcast run" in drawn(figures("linkcast", sight(1), None), 80)


def test_many_links_are_told_by_the_fullest() -> None:
    told = drawn(figures("linkcast", sight(1, groups(1), links=30), None), 120)
    assert "L30" in told
    assert "and 22 more" in told
    assert "L9 " not in told


def test_links_that_do_not_keep_up_and_bursts_are_told() -> None:
    slow = samples(
        """\
# TYPE linkcast_links_slow gauge
linkcast_links_slow{role="groups"} 2
# TYPE linkcast_bursts gauge
linkcast_bursts{role="groups"} 3
"""
    )
    worker = WorkerSight("http://a:1", [], groups(1).health, slow)
    found = figures("linkcast", sight(1, worker), None)
    assert (found.links_slow, found.links_overrun, found.bursts) == (2, 0, 3)
    told = drawn(found, 140)
    assert "2 slow: notices in place of messages" in told
    assert "3 channels in a burst" in told
    assert "overrun" not in told


def test_every_status_has_a_colour_and_a_rank() -> None:
    for status in (*STATUSES, DEAD):
        found = figures("linkcast", sight(1, groups(1, "serving" if status == DEAD else status)), None)
        assert drawn(found, 100)


def test_figures_are_json() -> None:
    found = figures("linkcast", sight(2, groups(2), links=1), sight(1, groups(1)))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Figures) == found


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (9_999, "9,999"), (12_345, "12.3k"), (456_789, "457k"), (2.5e6, "2.5M"), (3e9, "3.0G")],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert count(value) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0.012, "12 ms"), (4.23, "4.2 s"), (90, "2 min"), (7_300, "2 h")])
def test_times_are_short(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


def test_bars_follow_values() -> None:
    assert spark([0, 0.1, 4, 8]) == " ▁▄█"
    assert spark([0, 0]) == "  "
