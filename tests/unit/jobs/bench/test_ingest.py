from __future__ import annotations

from dataclasses import dataclass

import pytest

from jobs.bench.ingest import Capture, Window, ratios
from topics import catalog


@dataclass(frozen=True)
class Read:
    partition: int
    offset: int
    timestamp: int = 0
    value: bytes | None = b""
    key: bytes | None = None


def test_the_first_lot_of_a_partition_is_not_counted() -> None:
    window = Window()
    window.history(Read(0, 0, 1_000), 500)
    window.history(Read(1, 0, 1_100), 700)
    window.history(Read(0, 2, 2_000), 400)
    window.history(Read(1, 2, 3_000), 600)
    assert window.seconds == 2
    assert window.messages_per_s == 500


def test_the_clock_ends_with_the_last_output_of_any_kind() -> None:
    window = Window()
    window.history(Read(0, 0, 1_000), 1)
    window.history(Read(0, 2, 2_000, b"x" * 50), 9)
    window.output(Read(3, 0, 4_000, b"x" * 40, b"k" * 10))
    assert (window.seconds, window.messages_per_s, window.bytes) == (3, 3, 100)


def test_transactions_are_put_together_again() -> None:
    capture = Capture()
    for offset, value in ((0, b"h0"), (2, b"h1")):
        capture.history(Read(1, offset, value=value))
    for partition, offset, source in ((5, 0, 1), (5, 2, 0), (5, 4, 1), (6, 9, 1)):
        value = b'{"source":%d,"at":%d}' % (source, offset)
        capture.output(catalog.DELIVERIES, Read(partition, offset, value=value))
    for offset in (10, 11, 13, 14, 15):
        capture.output(catalog.GROUPS_CHANGELOG, Read(1, offset, value=b"r%d" % offset))
    ((first, second),) = capture.lanes()
    assert first == [
        ("history", 1, [(None, b"h0")]),
        ("deliveries", 5, [(None, b'{"source":1,"at":0}')]),
        ("deliveries", 6, [(None, b'{"source":1,"at":9}')]),
        ("groups-changelog", 1, [(None, b"r10"), (None, b"r11")]),
    ]
    assert second == [
        ("history", 1, [(None, b"h1")]),
        ("deliveries", 5, [(None, b'{"source":1,"at":4}')]),
        ("groups-changelog", 1, [(None, b"r13"), (None, b"r14"), (None, b"r15")]),
    ]


def test_a_ratio_is_that_of_neighbours() -> None:
    assert ratios([2, 9], [1, 3]) == (2, 3)
    with pytest.raises(ValueError, match="longer"):
        ratios([1], [1, 2])
