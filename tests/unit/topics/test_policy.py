"""An app's policy: the usual limits but for those it sets, each within its range."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tables.policy import NO_POLICIES, Policies
from topics import limits
from topics.policy import TIMES, Policy, read_policies

_LIMITS = Path(__file__).parents[3] / "topics" / "limits.py"


def test_a_policy_has_every_limit_with_a_star_and_no_other() -> None:
    starred = re.findall(r"^([A-Z_]+): Final = .*#.*\*", _LIMITS.read_text(), re.MULTILINE)
    assert {name.lower() for name in starred} == set(Policy.__struct_fields__)


def test_without_a_policy_the_usual_limits_hold() -> None:
    usual = NO_POLICIES.of("app")
    for name in Policy.__struct_fields__:
        assert getattr(usual, name) == getattr(limits, name.upper())


def test_a_policy_holds_for_its_app_and_what_it_names() -> None:
    policies = Policies(read_policies({"app": {"roles": 3}}))
    assert policies.of("app") == Policy(roles=3)
    assert policies.of("other") == Policy()


@pytest.mark.parametrize("name", Policy.__struct_fields__)
def test_a_limit_is_raised_up_to_ten_times(name: str) -> None:
    most = TIMES * getattr(limits, name.upper())
    assert getattr(read_policies({"app": {name: most}})["app"], name) == most
    for wrong in (most + 1, -1):
        with pytest.raises(ValueError, match=f"app `app`: .*{name}"):
            read_policies({"app": {name: wrong}})


def test_a_limit_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="speed"):
        read_policies({"app": {"speed": 1}})
