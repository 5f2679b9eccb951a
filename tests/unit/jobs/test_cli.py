from __future__ import annotations

import sys
from importlib import import_module

import pytest
from typer import Typer
from typer.testing import CliRunner

from jobs.cli import COMMANDS, app, main


@pytest.mark.parametrize("module", COMMANDS.values())
def test_every_command_is_a_module_with_an_app(module: str) -> None:
    assert isinstance(import_module(module).app, Typer)


def test_config_masks_the_secret_and_names_origins() -> None:
    environment = {"LINKCAST_TOKEN_KEYS": "k:" + "hidden" * 6, "LINKCAST_KAFKA_PORT": "777", "COLUMNS": "200"}
    told = CliRunner().invoke(app, ["config"], env=environment).output
    assert "hidden" not in told
    (line,) = (line for line in told.splitlines() if line.startswith("kafka_port"))
    assert line.split()[:3] == ["kafka_port", "777", "environment"]


def test_a_problem_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["linkcast", "--settings", "nowhere.toml", "config"])
    with pytest.raises(SystemExit, match="1"):
        main()
    assert capsys.readouterr().err == "the settings file nowhere.toml cannot be read: No such file or directory\n"
