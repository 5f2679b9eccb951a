"""What a batch of history brings, and how far it says history is stored."""

from __future__ import annotations

from msgspec import Raw

from streams.sinks.core import Keep, SinksCore
from tables.batch import Record
from topics import catalog
from topics.codec import decode, encode
from topics.messages import HistoryLot, Message
from topics.owners import Stored

PARTITION = 3


def message(seq: int, *, group: str = "g", body: bytes = b'{ "text": "hi" }') -> Message:
    return Message("app", group, "main", seq, seq - 1, seq, 1, 1, "ann", "phone", f"c{seq}", 1_000 + seq, Raw(body))


def record(offset: int, *messages: Message, source: int = PARTITION, poison: str | None = None) -> Record:
    lot = HistoryLot(source, list(messages))
    return Record(catalog.HISTORY.name, offset, 5_000 + offset, None, encode(lot), poison)


def applied(core: SinksCore, *records: Record) -> Keep:
    return core.apply(records, 9_000)


def make() -> SinksCore:
    return SinksCore(None, PARTITION)  # type: ignore[arg-type] # it keeps no rows


def written(out: Keep, topic: str) -> list[tuple[bytes | None, bytes]]:
    return out.records.get((topic, PARTITION), [])


def test_messages_are_kept_in_order_as_they_travel() -> None:
    out = applied(make(), record(7, message(1), message(2)), record(9, message(1, group="h")))
    assert [(entry.record, entry.message.group, entry.message.seq) for entry in out.entries] == [
        (0, "g", 1),
        (0, "g", 2),
        (1, "h", 1),
    ]
    assert [entry.encoded for entry in out.entries[:2]] == [encode(message(1)), encode(message(2))]
    assert b'{ "text": "hi" }' in out.entries[0].encoded


def test_stored_reaches_past_the_last_record_of_the_batch() -> None:
    out = applied(make(), record(7, message(1)), record(9, message(2)))
    ((key, value),) = written(out, catalog.STORED.name)
    assert key == b"3"
    assert decode(catalog.STORED.name, value) == Stored(PARTITION, offset=10, at=5_009)


def test_a_batch_without_records_says_nothing() -> None:
    core = make()
    assert applied(core).records == {}
    assert core.due_ms() is None


def test_a_bad_record_is_rejected_and_passed_over() -> None:
    bad = Record(catalog.HISTORY.name, 8, 5_008, None, b'{"t":"history"')
    out = applied(make(), record(7, message(1)), bad, record(9, source=4), record(10, message(2), poison="ValueError"))
    rejects = [decode(catalog.REJECTS.name, value) for _, value in written(out, catalog.REJECTS.name)]
    assert [(reject.offset, reject.reason) for reject in rejects] == [
        (8, "undecodable"),
        (9, "wrong_partition"),
        (10, "handler_failed"),
    ]
    assert out.rejected == 3
    assert [entry.message.seq for entry in out.entries] == [1]
    ((_, value),) = written(out, catalog.STORED.name)
    assert decode(catalog.STORED.name, value).offset == 11
