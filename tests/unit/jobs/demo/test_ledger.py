"""A session is owed every message, or a notice that covers it; what it pulls it is not owed."""

from __future__ import annotations

import pytest

from jobs.demo.ledger import Ledger

OF = ("g", "main")


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.begins("g", [("main", 4)], [1, 2])
    return ledger


def missed(ledger: Ledger, newest: int = 0) -> list[str]:
    return list(ledger.missed({OF: newest}))


def test_messages_in_a_row_leave_nothing_owed(ledger: Ledger) -> None:
    ledger.message("g", "main", (5, 4), [1, 2])
    ledger.message("g", "main", (6, 5), [1, 2])
    assert not missed(ledger, 6)


def test_a_message_that_is_not_the_next_leaves_a_hole_until_a_notice_covers_it(ledger: Ledger) -> None:
    ledger.message("g", "main", (7, 6), [1])
    ledger.notice("g", "main", 5, [1, 2])
    assert missed(ledger) == ["session 1 lacks messages of g/main up to 6"]
    ledger.notice("g", "main", 6, [1])
    assert not missed(ledger)


def test_the_newest_message_is_owed_too(ledger: Ledger) -> None:
    ledger.message("g", "main", (5, 4), [1])
    assert missed(ledger, 5) == ["session 2 knows g/main up to 4 of 5"]
    ledger.notice("g", "main", 5, [2])
    assert not missed(ledger, 5)


def test_who_pulls_or_listens_no_more_is_owed_nothing_of_before(ledger: Ledger) -> None:
    ledger.message("g", "main", (7, 6), [1, 2])
    ledger.pulls([1])
    ledger.ends("g", [2])
    assert not missed(ledger, 7)
    ledger.message("g", "main", (9, 8), [1])
    assert not missed(ledger, 9)
