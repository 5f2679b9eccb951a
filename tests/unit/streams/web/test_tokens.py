"""Keys are changed without refusing a good token; a worker asks on behalf of who asked it."""

from __future__ import annotations

import time

import jwt
import pytest

from streams.web.problems import ProblemError
from streams.web.tokens import Claims, Tokens
from topics import limits

ANN = Claims("app", "user", "ann")
A, B = {"a": "a" * 40}, {"b": "b" * 40}


def test_every_key_is_accepted_and_the_first_signs() -> None:
    old, added, turned, new = (Tokens(keys, "c") for keys in (A, A | B, B | A, B))
    by_old, by_added, by_turned = (f"Bearer {one.mint(ANN, 60)}" for one in (old, added, turned))
    assert [jwt.get_unverified_header(one.split()[1])["kid"] for one in (by_old, by_added, by_turned)] == [
        "a",
        "a",
        "b",
    ]
    for reader in (added, turned):
        assert all(reader.read(one) == ANN for one in (by_old, by_added, by_turned))
    assert new.read(by_turned) == ANN
    with pytest.raises(ProblemError):
        new.read(by_old)
    assert old.read(f"Bearer {turned.mint(ANN, 60, 'a')}") == ANN


def test_a_worker_asks_on_behalf_of_its_caller() -> None:
    one = Tokens(A, "c")
    assert one.read(f"Bearer {one.for_worker(ANN)}") == Claims("app", "worker", "ann", "user")


@pytest.mark.parametrize(("ago_s", "good"), [(-3, True), (3, True), (-60, False), (3_600, False)])
def test_clocks_may_be_a_little_apart(monkeypatch: pytest.MonkeyPatch, ago_s: int, good: bool) -> None:
    one, now = Tokens(A, "c"), time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now - ago_s)
        token = one.mint(ANN, limits.TOKEN_LEEWAY_S)
    if good:
        assert one.read(f"bearer {token}") == ANN
        return
    with pytest.raises(ProblemError) as caught:
        one.read(f"bearer {token}")
    assert caught.value.detail == (
        "It expired. Get a new token." if ago_s > 0 else "It is not valid yet. Set the clocks."
    )
