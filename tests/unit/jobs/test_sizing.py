"""The page of sizing puts costs into the formulas of docs/operations/sizing.md."""

from __future__ import annotations

import pytest

from jobs.bench import results, sizing
from jobs.bench.costs import COSTS
from jobs.bench.figures import Figure, Result
from jobs.bench.registry import FIGURES
from jobs.bench.sizing import Product

COST = dict.fromkeys(COSTS, 0.0)
WORK = Product("work", 1_000, 4, 100.0, 200, 5.0, 10.0, 10, 2.0)


@pytest.mark.parametrize(
    ("name", "groups_us", "users_us"),
    [
        ("cost_message_us", 100, 0),
        ("cost_entry_us", 100 * 5, 0),
        ("cost_join_us", 2, 0),
        ("cost_bind_us", 10 * 10, 0),
        ("cost_login_us", 0, 10),
        ("cost_membership_us", 0, 2),
        ("cost_kilobyte_us", 0, 0),
    ],
)
def test_each_cost_counts_as_often_as_its_work_is_done(name: str, groups_us: int, users_us: int) -> None:
    cost = COST | {name: 1.0}
    assert WORK.groups_cores(cost) * 1e6 == pytest.approx(groups_us)
    assert WORK.users_cores(cost) * 1e6 == pytest.approx(users_us)


def test_a_larger_body_costs_in_history_and_on_each_link() -> None:
    large = Product("large", 1_000, 4, 1.0, 1_200, 3.0, 0.0, 1, 0.0)
    assert large.groups_cores(COST | {"cost_kilobyte_us": 2.0}) * 1e6 == pytest.approx((1 + 3) * 2.0 / 2)


def test_the_page_is_whole_once_everything_is_measured() -> None:
    figures = tuple(Figure(name, "µs", (10.0,)) for name in COSTS)
    kept = results.Results().with_result("jobs.bench.costs", Result(figures), results.this_machine(), results.now())
    assert "Not all of them are measured yet." in sizing.page(results.Results())
    page = sizing.page(kept)
    assert all(f"| `{name}` | 10.0 µs |" in page for name in COSTS)
    assert "| groups: workers to run | 2 |" in page


def test_every_cost_is_a_figure() -> None:
    assert COSTS.keys() <= FIGURES.keys()
