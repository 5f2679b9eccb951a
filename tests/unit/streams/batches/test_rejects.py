from __future__ import annotations

import pytest

from streams.batches.rejects import RejectShare, RejectShareError
from topics import limits


def test_a_few_bad_records_say_nothing() -> None:
    RejectShare().check(99, 99)


def test_past_the_share_the_batch_is_refused() -> None:
    share = RejectShare()
    share.check(100, 50)
    with pytest.raises(RejectShareError, match="51 of the last 100"):
        share.check(100, 51)


def test_small_batches_add_up() -> None:
    share = RejectShare()
    for _ in range(99):
        share.check(1, 1)
        share.add(1, 1)
    with pytest.raises(RejectShareError):
        share.check(1, 1)


def test_what_is_long_ago_no_longer_counts() -> None:
    share = RejectShare()
    share.add(400, 200)
    for _ in range(10):
        share.add(limits.REJECT_SAMPLE // 10, 0)
    share.check(1, 1)
    share.check(limits.REJECT_SAMPLE // 2, limits.REJECT_SAMPLE // 2)
