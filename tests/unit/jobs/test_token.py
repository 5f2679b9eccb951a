"""`linkcast token` mints what the views accept."""

from __future__ import annotations

import jwt
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.problem import Problem
from streams.settings import load
from streams.web.tokens import Claims, Tokens

KEYS = {"new": "s" * 40, "old": "o" * 40}
ENVIRONMENT = {"LINKCAST_TOKEN_KEYS": ",".join(f"{name}:{secret}" for name, secret in KEYS.items())}


@pytest.mark.parametrize("role", ["user", "gateway", "admin"])
def test_a_minted_token_names_its_holder(role: str) -> None:
    told = CliRunner().invoke(app, ["token", "acme", "ann", "--role", role], env=ENVIRONMENT)
    assert told.exit_code == 0
    claims = Tokens(KEYS, "linkcast").read(f"Bearer {told.output.strip()}")
    assert (claims.app, claims.role, claims.sub) == ("acme", role, "ann")
    assert claims == Claims("acme", claims.role, "ann")


def test_workers_tokens_are_not_minted_by_hand() -> None:
    assert CliRunner().invoke(app, ["token", "acme", "ann", "--role", "worker"], env=ENVIRONMENT).exit_code == 2


@pytest.mark.parametrize(("application", "sub"), [("a:b", "ann"), ("acme", "ann smith"), ("", "ann")])
def test_a_name_that_is_no_id_is_a_problem(application: str, sub: str) -> None:
    told = CliRunner().invoke(app, ["token", application, sub], env=ENVIRONMENT)
    assert isinstance(told.exception, Problem)


def test_a_token_is_signed_with_the_first_key_or_the_named_one() -> None:
    for options, signer in (([], "new"), (["--key", "old"], "old")):
        told = CliRunner().invoke(app, ["token", "acme", "ann", *options], env=ENVIRONMENT)
        assert jwt.get_unverified_header(told.output.strip())["kid"] == signer
    told = CliRunner().invoke(app, ["token", "acme", "ann", "--key", "gone"], env=ENVIRONMENT)
    assert isinstance(told.exception, Problem)
    assert "new, old" in str(told.exception)


@pytest.mark.parametrize("hours", ["0", "745", "nan"])
def test_a_token_is_good_for_a_bounded_time(hours: str) -> None:
    assert CliRunner().invoke(app, ["token", "acme", "ann", "--hours", hours], env=ENVIRONMENT).exit_code != 0


def test_a_new_key_is_one_that_the_settings_take() -> None:
    made = [CliRunner().invoke(app, ["token-key", name]).output.strip() for name in ("a", "b", "b")]
    assert len({key.partition(":")[2] for key in made}) == 3
    assert list(load(token_keys=made[:2]).signing_keys()) == ["a", "b"]
    assert isinstance(CliRunner().invoke(app, ["token-key", "a:b"]).exception, Problem)
