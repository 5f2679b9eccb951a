"""How long a recovery took, from a worker's own metrics."""

from __future__ import annotations

import pytest

from jobs.bench.recovery import seconds

_METRICS = """\
# TYPE linkcast_opening_seconds histogram
linkcast_opening_seconds_bucket{kind="groups",le="0.5"} 0.0
linkcast_opening_seconds_count{kind="groups"} 1.0
linkcast_opening_seconds_sum{kind="groups"} 3.25
linkcast_batch_step_seconds_sum{kind="groups",step="apply"} 0.5
linkcast_batch_step_seconds_sum{kind="groups",step="send"} 0.0625
linkcast_batch_step_seconds_sum{kind="groups",step="commit"} 1.25e-01
linkcast_batch_step_seconds_sum{kind="users",step="apply"} 99.0
"""


def test_it_is_the_opening_and_every_step_of_the_first_batch() -> None:
    assert seconds(_METRICS) == pytest.approx((3.25, 0.6875))
