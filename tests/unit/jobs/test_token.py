"""`linkcast token` mints what the views accept."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.problem import Problem
from streams.web.tokens import Claims, Tokens

ENVIRONMENT = {"LINKCAST_TOKEN_SECRET": "s" * 40}


@pytest.mark.parametrize("role", ["user", "gateway", "admin"])
def test_a_minted_token_names_its_holder(role: str) -> None:
    told = CliRunner().invoke(app, ["token", "acme", "ann", "--role", role], env=ENVIRONMENT)
    assert told.exit_code == 0
    claims = Tokens("s" * 40).read(f"Bearer {told.output.strip()}")
    assert (claims.app, claims.role, claims.sub) == ("acme", role, "ann")
    assert claims == Claims("acme", claims.role, "ann")


def test_workers_tokens_are_not_minted_by_hand() -> None:
    assert CliRunner().invoke(app, ["token", "acme", "ann", "--role", "worker"], env=ENVIRONMENT).exit_code == 2


@pytest.mark.parametrize(("application", "sub"), [("a:b", "ann"), ("acme", "ann smith"), ("", "ann")])
def test_a_name_that_is_no_id_is_a_problem(application: str, sub: str) -> None:
    told = CliRunner().invoke(app, ["token", application, sub], env=ENVIRONMENT)
    assert isinstance(told.exception, Problem)
