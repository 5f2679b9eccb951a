"""An app's policy: the usual limits but for those it sets, each within its range."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from topics import limits
from topics.codec import encode
from topics.policy import CHOICES, TIMES, Policy, changed, named

_LIMITS = Path(__file__).parents[3] / "topics" / "limits.py"
_NUMBERS = [name for name, choice in CHOICES.items() if isinstance(choice.allowed, range)]


def test_a_policy_has_every_limit_with_a_star_and_no_other_number() -> None:
    starred = re.findall(r"^([A-Z_]+): Final = .*#.*\*", _LIMITS.read_text(), re.MULTILINE)
    assert [name.lower() for name in starred] == _NUMBERS


@pytest.mark.parametrize("name", _NUMBERS)
def test_a_limit_is_raised_up_to_ten_times(name: str) -> None:
    usual = getattr(limits, name.upper())
    assert getattr(Policy(), name) == CHOICES[name].usual == usual
    assert getattr(changed(Policy(), {name: str(TIMES * usual)}), name) == TIMES * usual
    for wrong in (str(TIMES * usual + 1), "-1", "many", "1.5", ""):
        with pytest.raises(ValueError, match=f"`{name}` may be .* to {TIMES * usual}, not `{re.escape(wrong)}`"):
            changed(Policy(), {name: wrong})


def test_a_word_is_one_of_those_there_are() -> None:
    assert changed(Policy(), {"drive_room": "session"}).drive_room == "session"
    with pytest.raises(ValueError, match="`drive_room` may be `message`, `session`, `subscription`, not `loud`"):
        changed(Policy(), {"drive_room": "loud"})


def test_what_is_not_named_stays_as_it_was() -> None:
    before = Policy(roles=3, sessions="any")
    assert changed(before, {"roles": "4"}) == Policy(roles=4, sessions="any")
    assert named(before) == {"roles": 3, "sessions": "any"}


def test_what_is_as_usual_again_is_not_told() -> None:
    usual = changed(Policy(channels=3, sessions="any"), {"channels": "500", "sessions": "one_per_device"})
    assert encode(usual) == b"{}"


def test_a_name_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="speed"):
        changed(Policy(), {"speed": "1"})
