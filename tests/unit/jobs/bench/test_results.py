from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.bench.figures import Baseline, Figure, Mark, Plot, Result, Series, at_least
from jobs.bench.results import Machine, Results, load, plain, rounded, save

HERE = Machine(2, "a processor", 24, "Linux 6", "3.11.7")
THERE = Machine(64, "another", 512, "Linux 6", "3.12.1")
MORNING = datetime(2026, 1, 2, 8, tzinfo=UTC)
EVENING = datetime(2026, 1, 2, 20, tzinfo=UTC)
LINES = Plot("lines", "Lines", "x", "y", (Series("one", (1.0, 2.0), (3.14159, 4.0)),), (Mark("here", x=1.5),))


def figure(name: str, *samples: float) -> Figure:
    return Figure(name, "msgs/s", samples, at_least(10), Baseline("other", (2.0,), "msgs/s"), "A note.")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    results = Results().with_result("m", Result((figure("a", 12.34567, 8.0),), (LINES,)), HERE, MORNING)
    save(tmp_path, results)
    assert load(tmp_path) == results
    (kept,) = results.figures
    assert (kept.value, kept.min, kept.max, kept.samples) == (10.17, 8, 12.35, (12.35, 8))
    assert (kept.target, kept.met, kept.machine, kept.at) == ("≥ 10", True, HERE, "2026-01-02T08:00:00+00:00")
    assert results.plots[0].plot.series[0].y == (3.142, 4)


def test_a_folder_without_results_has_none(tmp_path: Path) -> None:
    assert load(tmp_path) == Results()


def test_a_partial_run_replaces_only_what_it_measured() -> None:
    before = Results().with_result("m", Result((figure("a", 1), figure("b", 2)), (LINES,)), HERE, MORNING)
    after = before.with_result("m", Result((figure("b", 20),)), THERE, EVENING)
    a, b = after.figures
    assert (a, after.plots) == (before.figures[0], before.plots)
    assert (b.value, b.met, b.machine) == (20, True, THERE)


def test_whether_a_target_is_met_is_judged_before_rounding() -> None:
    (kept,) = Results().with_result("m", Result((figure("a", 9.99996),)), HERE, MORNING).figures
    assert (kept.value, kept.met) == (10, False)


def test_figures_stand_in_the_registrys_order_and_unknown_ones_go() -> None:
    results = Results().with_result("m", Result((figure("a", 1), figure("gone", 2), figure("b", 3))), HERE, MORNING)
    assert [kept.name for kept in results.in_order(["b", "a", "c"]).figures] == ["b", "a"]


def test_plots_of_a_module_without_figures_go() -> None:
    results = Results().with_result("m", Result((figure("gone", 1),), (LINES,)), HERE, MORNING)
    assert results.in_order(["a"]).plots == ()


@pytest.mark.parametrize(
    ("value", "told"),
    [(21_400.7, "21401"), (0.4, "0.4"), (0.000123456, "0.0001235"), (0, "0"), (1, "1"), (1e9, "1000000000")],
)
def test_the_last_lines_hold_plain_numbers(value: float, told: str) -> None:
    assert plain(value) == told
    assert float(told) == rounded(value)
