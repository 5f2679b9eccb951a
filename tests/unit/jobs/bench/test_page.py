from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from jobs.bench.figures import Baseline, Figure, Plot, Result, Series, at_least
from jobs.bench.page import draw, page, write
from jobs.bench.results import Machine, Results

MACHINE = Machine(2, "a processor", 24, "Linux 6", "3.11.7")
AT = datetime(2026, 1, 2, tzinfo=UTC)
MODULE = "jobs.bench.overhead"
PLOT = Plot("lines", "Lines", "x", "y", (Series("one", (1.0, 10.0), (3.0, 4.0)),), log_x=True)
RESULTS = Results().with_result(
    MODULE,
    Result(
        (
            Figure(
                "good", "ratio", (21.0, 23.0, 22.0), at_least(20), Baseline("the other way", (1.5, 1.7), "s"), "So."
            ),
            Figure("bad", "msgs/s", (1_500.0,), at_least(2_000)),
        ),
        (PLOT,),
    ),
    MACHINE,
    AT,
)


def test_the_page_tells_each_figure_its_spread_and_whether_the_target_is_met() -> None:
    told = page(RESULTS)
    assert "| `good` | 22 ratio | 21 … 23 | ≥ 20 | met |" in told
    assert "| `bad` | 1,500 msgs/s | 1,500 … 1,500 | ≥ 2,000 | **missed** |" in told
    assert "Beside it: the other way: 1.6 s (1.5, 1.7)." in told
    assert "So." in told


def test_the_page_tells_where_and_how_it_was_measured() -> None:
    told = page(RESULTS)
    assert "All figures: 2 cores (a processor), 24 GB, Linux 6, Python 3.11.7." in told
    assert "## Bytes: what a link reads for each byte of a message's body" in told
    assert "1,000 messages a second with bodies of 300 B" in told


def test_every_picture_of_the_page_is_there(tmp_path: Path) -> None:
    write(tmp_path, RESULTS)
    assert "![Lines](lines.svg)" in (tmp_path / "README.md").read_text()
    told = "".join(ET.parse(tmp_path / "lines.svg").getroot().itertext())
    assert "Lines" in told
    assert "one" in told


def test_the_same_numbers_give_the_same_picture(tmp_path: Path) -> None:
    draw(PLOT, tmp_path / "a.svg")
    draw(PLOT, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
