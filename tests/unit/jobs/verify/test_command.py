"""`linkcast verify` tells people and machines what was found, and ends with 1 unless all was right."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from jobs import cli, verify_command
from jobs.verify.findings import Findings
from jobs.verify.readers import _cached
from jobs.verify.report import Latency, Report
from jobs.verify.show import shown
from jobs.verify.world import World
from tests.small_world import APP, SmallWorld
from topics import catalog
from topics.relations import CreateGroup


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command on a small world, after `spoil` has done something to it."""

    def run(spoil: bool, *arguments: str) -> Result:
        made = SmallWorld()
        made.command(CreateGroup(APP, "team", members=["a"]))
        made.settle()
        made.send("team", "a", "m1")
        made.settle()
        world = made.world()
        if spoil:
            topics = dict(world.topics) | {catalog.HISTORY.name: []}
            world = World(topics, world.partitions, world.links)

        async def read(*_: object, **__: object) -> World:
            return world

        monkeypatch.setattr(verify_command, "read_run", read)
        return CliRunner().invoke(cli.app, ["verify", "--settled", *arguments])

    return run


def test_a_good_run_ends_with_0(verify: Any) -> None:
    result = verify(False)
    assert result.exit_code == 0
    assert "missed" in result.output


def test_a_spoilt_run_ends_with_1_and_says_where(verify: Any) -> None:
    result = verify(True)
    assert result.exit_code == 1
    assert "send_lost" in result.output
    assert "messages[" in result.output


def test_machines_get_json(verify: Any) -> None:
    result = verify(True, "--json")
    report = msgspec.json.decode(result.output, type=Report)
    assert report.faults["lost"] == 1
    assert report.rules == {"send_lost": 1}


def test_every_part_of_a_report_is_shown() -> None:
    findings = Findings(1)
    findings.add("lot_hole", "deliveries[1]@2", 3)
    findings.add("lot_hole", "deliveries[1]@9")
    report = Report(sent=5, planned=["a link died"], rejects=["messages[0]@1: undecodable"], refused={"expired": 2})
    report.append_to_append = Latency.of([1, 2, 3])
    report.conclude(findings)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(shown(report))
    text = console.export_text()
    for part in ("a link died", "deliveries[1]@2 (x3)", "messages[0]@1", "expired 2", "p50 2 ms", "lot_hole", "4"):
        assert part in text
    assert "deliveries[1]@9" not in text, "only so many examples"


def test_latencies_of_nothing_are_none() -> None:
    assert Latency.of([]) is None
    assert Latency.of(range(1, 101)) == Latency(100, 50.5, 99.01, 100.0)


def test_a_spoilt_entry_in_redis_is_no_message() -> None:
    entry = _cached(b"app:team:main:recent", b"7-0", b"garbage")
    assert (entry.app, entry.group, entry.channel, entry.seq, entry.prev) == ("app", "team", "main", 7, -1)
    assert entry.message is None
