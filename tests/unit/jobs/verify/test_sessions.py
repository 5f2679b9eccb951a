"""Which of a user's sessions the verifier takes for living."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.verify.sessions import UserSessions
from topics.policy import Policy
from topics.sessions import Lost, Resume, Up
from topics.wire import SessionId


def _up(link: str, slot: int) -> Up:
    return Up("app", "ann", "phone", link, 1, 0, slot)


def _resume(link: str, slot: int, *was: Any) -> Resume:
    return Resume("app", "ann", "phone", link, 1, 0, slot, SessionId(*was))


@pytest.mark.parametrize(
    ("records", "living"),
    [
        ([_up("l", 7), _resume("m", 9, "l", 1, 7)], ("m", 9)),
        ([_resume("m", 9, "l", 1, 7), _up("l", 7), Lost("app", "ann", "l", 1, 7)], ("m", 9)),
        ([_up("l", 7), _resume("l", 8, "m", 1, 9), _resume("m", 9, "l", 1, 7)], ("l", 8)),
        ([_resume("m", 9, "l", 1, 7), _resume("n", 4, "m", 1, 9), _up("l", 7)], ("n", 4)),
        ([_resume("m", 9, "l", 1, 7), _resume("l", 7, "l", 1, 7)], ("l", 7)),
        ([_resume("m", 9, "m", 1, 9), _up("l", 7)], ("l", 7)),
    ],
)
def test_what_is_said_late_of_a_connection_that_its_client_has_left_begins_nothing(
    records: list[Any], living: tuple[str, int]
) -> None:
    sessions = UserSessions()
    for at_ms, record in enumerate(records):
        sessions.take(at_ms, record, Policy())
    link, slot = living
    assert [session.at for session in sessions.living()] == [SessionId(link, 1, slot)]
