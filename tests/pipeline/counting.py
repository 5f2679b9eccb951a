"""A small core whose every mistake shows: each record becomes one output that names its place in the count."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tables.batch import NO_BACKLOG, Backlog, Outputs, Record
from tables.rows import Rows
from topics.catalog import Count, Topic

DAY_MS = 86_400_000


def topic(name: str, *, compacted: bool = False, count: Count = Count.PARTITIONS) -> Topic:
    return Topic(name, count, "any", None if compacted else DAY_MS, ("tests",), ("tests",))


class CountingCore:
    """Numbers the records of a partition; the number is a row, so a lost or doubled batch breaks the sequence."""

    def __init__(self, rows: Rows, partition: int, out: str, rejects: str, tick_ms: int | None = None) -> None:
        self.applying = -1
        self._rows, self._partition, self._out, self._rejects = rows, partition, out, rejects
        self._count = int(rows.get(b"count") or 0)
        self._tick_ms = tick_ms
        self._due_ms: int | None = None

    def apply(self, records: Sequence[Record], now_ms: int, backlog: Backlog = NO_BACKLOG) -> Outputs:  # noqa: ARG002 -- nothing here is shed
        outputs = Outputs()
        for self.applying, record in enumerate(records):
            if record.poison is not None:
                outputs.rejected += 1
                told = {"topic": record.topic, "offset": record.offset, "why": record.poison}
                outputs.send(self._rejects, self._partition, None, json.dumps(told).encode())
                continue
            if record.value.startswith(b"poison"):
                raise ValueError(record.value.decode())
            self._count += 1
            outputs.send(self._out, self._partition, record.key, b"%d %s" % (self._count, record.value))
            self._rows.put(b"last:" + (record.key or b""), record.value)
        if records:
            self._rows.put(b"count", b"%d" % self._count)
        if self._tick_ms is not None:
            if not records:
                outputs.send(self._out, self._partition, b"tick", b"%d tick" % now_ms)
            self._due_ms = now_ms + self._tick_ms
        return outputs

    def due_ms(self) -> int | None:
        return self._due_ms

    @property
    def count(self) -> int:
        return self._count
