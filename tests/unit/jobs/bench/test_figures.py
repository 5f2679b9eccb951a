from __future__ import annotations

import pytest

from jobs.bench.figures import Baseline, Figure, Target, at_least, at_most, exactly


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (at_least(2), 2, True),
        (at_least(2), 1.99, False),
        (at_most(2), 2, True),
        (at_most(2), 2.01, False),
        (exactly(1), 1.0, True),
        (exactly(1), 1.1, False),
        (at_least(2), float("nan"), False),
        (at_most(2), float("nan"), False),
        (exactly(0), float("nan"), False),
    ],
)
def test_a_target_is_met_on_its_side_and_never_by_no_number(target: Target, value: float, met: bool) -> None:
    assert target.met_by(value) is met


def test_a_figure_is_the_median_of_its_samples() -> None:
    assert Figure("some", "ms", (9, 1, 2)).value == 2
    assert Figure("some", "ms", (9, 1)).value == 5


def test_a_figure_without_a_target_is_neither_met_nor_missed() -> None:
    assert Figure("some", "ms", (1,)).met is None
    assert Figure("some", "ms", (1,), at_most(1)).met is True


def test_a_figure_needs_samples() -> None:
    with pytest.raises(ValueError, match="some has no samples"):
        Figure("some", "ms", ())


def test_a_baseline_that_was_not_measured_has_no_value() -> None:
    assert Baseline("a published number").value is None
    assert Baseline("another", (3.0, 1.0, 2.0), "ms").value == 2
