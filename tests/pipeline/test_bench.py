from __future__ import annotations

from pathlib import Path

import pytest

from jobs.bench import ingest, logins
from jobs.bench.lab import Lab, Pace
from jobs.bench.registry import Measure


@pytest.mark.parametrize(
    ("measure", "wanted"),
    [
        (ingest.measure, frozenset({"ingest_msgs_per_s", "ingest_vs_kafka_limit"})),
        (logins.measure, frozenset({"session_ups_per_s", "resumes_per_s"})),
    ],
)
async def test_figures_are_measured_on_real_services_and_nothing_is_left(
    tmp_path: Path, measure: Measure, wanted: frozenset[str]
) -> None:
    lab = Lab(tmp_path / "lab", pace=Pace(repeat=1, quick=True), wanted=wanted)
    async with lab.open():
        found = await measure(lab)
    assert {figure.name for figure in found.figures} == wanted
    assert all(figure.value > 0 for figure in found.figures)
    assert not lab.folder.exists()
