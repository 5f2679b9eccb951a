"""The rows that the sinks and the driver are measured on."""

from __future__ import annotations

from jobs.bench.history import Rows, Sizes, lots
from topics import catalog
from topics.codec import decode
from topics.keys import key_of, partition_of
from topics.messages import HistoryLot

_PARTITIONS = 4


def test_rows_of_a_channel_go_on_without_a_hole_over_several_takes() -> None:
    rows = Rows(Sizes(groups=7), _PARTITIONS)
    heads: dict[str, int] = {}
    for _ in range(3):
        for partition, messages in rows.take(200, 1).items():
            for message in messages:
                assert partition == partition_of(key_of(message.app, message.group), _PARTITIONS)
                assert (message.prev, message.seq) == (heads.get(message.group, 0), heads.get(message.group, 0) + 1)
                heads[message.group] = message.seq
    assert sum(heads.values()) == 600
    assert len(heads) == 7


def test_lots_hold_all_rows_in_their_order() -> None:
    by_partition = Rows(Sizes(groups=50), _PARTITIONS).take(3_000, 1)
    read: dict[int, list[int]] = {}
    for partition, _, value in lots(by_partition):
        lot: HistoryLot = decode(catalog.HISTORY.name, value)
        assert lot.source == partition
        read.setdefault(partition, []).extend(message.seq for message in lot.entries)
    assert read == {partition: [message.seq for message in of] for partition, of in by_partition.items()}
