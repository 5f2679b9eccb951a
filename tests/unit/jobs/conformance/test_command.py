"""`linkcast conformance` before anything is played."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from jobs.conformance import command
from jobs.conformance.cases import CASES
from jobs.problem import Problem
from streams.settings import load


def problem(*arguments: str) -> str:
    error = CliRunner().invoke(command.app, arguments, obj=load(None)).exception
    assert isinstance(error, Problem)
    return str(error)


def test_the_cases_can_be_listed_without_a_gateway() -> None:
    result = CliRunner().invoke(command.app, ["--list"], obj=load(None))
    assert result.exit_code == 0
    assert all(name in result.stdout for name in CASES)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Say how your gateway's driver is started"),
        (("--", "no-such-program"), "no program 'no-such-program'"),
        (("--only", "nonsense", "--", "true"), "No such case: nonsense"),
    ],
)
def test_what_cannot_be_played_is_told(arguments: tuple[str, ...], told: str) -> None:
    assert told in problem(*arguments)
