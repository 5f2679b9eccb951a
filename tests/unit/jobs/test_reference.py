"""The reference pages name all there is, and say when they are stale."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from jobs import limits as read
from jobs.cli import COMMANDS
from jobs.problem import Problem
from jobs.reference import command, commands, errors, limits, settings, topics
from jobs.verify.findings import RULES
from streams.settings import PREFIX, Settings
from streams.web import problems
from topics import answers, rejects
from topics import limits as source
from topics.catalog import CATALOG


def test_every_setting_is_told_with_its_variable_and_meaning() -> None:
    page = settings.page()
    for name, field in Settings.model_fields.items():
        assert f"| `{name}`<br>`{PREFIX}{name.upper()}` |" in page
        assert field.description
        assert field.description in page


def test_a_default_that_follows_from_other_settings_names_them() -> None:
    assert "`<host>:<kafka_port>`" in settings.page()


def test_every_limit_is_told_with_its_value_and_meaning() -> None:
    page = limits.page()
    names = [name for name in vars(source) if name.isupper()]
    assert list(read.all_limits()) == names
    for name in names:
        assert f"| `{name}` | {read.all_limits()[name].shown} |" in page


def test_bytes_are_told_in_larger_units_too() -> None:
    assert read.all_limits()["BODY_BYTES"].shown == "16 384 (16 KiB)"
    assert read.all_limits()["RECORD_BYTES"].shown == "1 048 576 (1 MiB)"
    assert read.all_limits()["LINK_TIMEOUT_MS"].shown == "10 000"


def test_a_limit_without_a_meaning_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspect.getsource", lambda _: "# Links.\nLINK_BEAT_MS: Final = 1_000\n")
    read.all_limits.cache_clear()
    with pytest.raises(Problem, match="LINK_BEAT_MS"):
        read.all_limits()


def test_every_code_is_told() -> None:
    page = errors.page()
    codes = (*get_args(answers.Code), *get_args(rejects.Reason), *get_args(problems.Code), *RULES)
    assert [code for code in codes if f"| `{code}` |" not in page] == []


def test_every_topic_is_told_and_who_writes_and_reads_it() -> None:
    page = topics.page()
    assert [topic.name for topic in CATALOG if f"| `{topic.name}` |" not in page] == []
    gateways = next(line for line in page.splitlines() if line.startswith("| gateways |"))
    assert gateways.split("|")[2:4] == [
        " `links`, `sessions`, `relations`, `messages`, `resync`, `link-acks` ",
        " `deliveries`, `answers` ",
    ]


def test_every_command_and_its_options_are_told() -> None:
    page = commands.page()
    assert [name for name in COMMANDS if f"## linkcast {name}\n" not in page] == []
    assert "### linkcast topics create\n" in page
    assert "| `--role <groups\\|users\\|sinks>` |" in page


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copied = tmp_path / "reference"
    shutil.copytree(command.FOLDER, copied)
    monkeypatch.setattr(command, "FOLDER", copied)
    CliRunner().invoke(command.app, [])
    return copied


def test_a_stale_page_is_named_and_written_anew(copy: Path) -> None:
    right = (copy / "limits.md").read_text()
    (copy / "limits.md").write_text(right.replace("LINK_BEAT_MS", "LINK_BEATS"))
    (copy / "gone.md").write_text("of old")
    error = CliRunner().invoke(command.app, ["--check"]).exception
    assert str(error) == "Stale in docs/reference: gone.md, limits.md. Write them anew: linkcast reference"
    assert CliRunner().invoke(command.app, []).exit_code == 0
    assert (copy / "limits.md").read_text() == right
    assert not (copy / "gone.md").exists()


def test_the_page_written_by_hand_stays(copy: Path) -> None:
    assert (copy / "index.md").exists()
