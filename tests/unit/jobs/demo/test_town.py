"""What the demo tells of its very large group is what the deliveries hold."""

from __future__ import annotations

import io
from typing import Any

from msgspec import Raw
from rich.console import Console

from jobs.demo.play import Import
from jobs.demo.scenario import TOWN
from jobs.demo.town import figures, table
from jobs.verify.world import Row, World
from topics import catalog
from topics.codec import encode
from topics.deliveries import Bound, DeliveryLot, Unbound
from topics.messages import Message


def message(seq: int, group: str = TOWN, app: str = "app") -> Message:
    return Message(app, group, "main", seq, seq - 1, seq, 1, 1, "ann", "phone", f"m{seq}", 1_000, Raw(b'"hello"'))


def lot(link: str, offset: int, at_ms: int, *entries: Any) -> Row:
    """One link has one partition."""
    value = encode(DeliveryLot(link, 1, 0, offset + 1, list(entries)))
    return Row({"L1": 1, "L2": 2}[link], offset, at_ms, None, value)


def world(*rows: Row) -> World:
    return World({catalog.DELIVERIES.name: rows}, 1, 4)


SEEN = world(
    lot("L1", 0, 500, Bound("app", TOWN, 1, [1, 2, 3], [1, 2, 3]), Bound("app", "g1", 1, [1], [1])),
    lot("L1", 1, 1_010, message(1), message(1, "g1"), message(1, TOWN, "other")),
    lot("L1", 2, 1_030, Unbound("app", TOWN, 2, [1], [1]), message(2)),
    lot("L2", 0, 500, Bound("app", TOWN, 1, [9], [1])),
    lot("L2", 1, 1_020, message(1), message(2)),
)


def test_entries_listeners_and_bytes_are_those_of_the_one_group() -> None:
    found = figures(SEEN, "app")
    assert (found.messages, found.entries, found.due, found.links) == (2, 4, 4, 2)
    assert found.reached == 3 + 1 + 2 + 1
    assert found.bytes == 4 * len(encode(message(1)))
    assert found.latency is not None
    assert (found.latency.count, found.latency.max_ms) == (4, 30)


def test_an_entry_too_many_is_seen() -> None:
    rows = SEEN.topics[catalog.DELIVERIES.name]
    found = figures(world(*rows, lot("L2", 2, 1_040, message(2))), "app")
    assert (found.entries, found.due) == (5, 4)
    assert "1.25 for each link and message" in told(found)


def test_the_table_tells_it_in_words() -> None:
    text = told(figures(SEEN, "app"))
    assert "one group of 100,000 members" in text
    assert "20,000 members a second" in text
    assert "1.00 for each link and message" in text
    assert "p99 30 ms" in text


def test_nothing_was_sent() -> None:
    found = figures(world(), "app")
    assert (found.messages, found.entries, found.latency) == (0, 0, None)
    assert "append to append" not in told(found)


def told(found: Any) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table(found, Import(100_000, 5.0, 0.5)))
    return console.export_text()
