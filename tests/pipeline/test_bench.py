from __future__ import annotations

from pathlib import Path

from jobs.bench import ingest
from jobs.bench.lab import Lab, Pace


async def test_throughput_is_measured_on_real_services_and_nothing_is_left(tmp_path: Path) -> None:
    wanted = frozenset({"ingest_msgs_per_s", "ingest_vs_kafka_limit"})
    lab = Lab(tmp_path / "lab", pace=Pace(repeat=1, quick=True), wanted=wanted)
    async with lab.open():
        found = await ingest.measure(lab)
    assert {figure.name for figure in found.figures} == wanted
    assert all(figure.value > 0 for figure in found.figures)
    assert not lab.folder.exists()
