"""Whether Cassandra and Redis hold what history holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from jobs.verify.findings import Findings
from jobs.verify.history import ChannelKey, History
from jobs.verify.world import StoredMessage, World, place
from topics import catalog, limits
from topics.codec import Malformed
from topics.owners import Stored


def judge_stores(world: World, history: History, findings: Findings, *, settled: bool) -> None:
    """Cassandra holds history exactly, Redis an unbroken newest part of it; at least up to the `stored` watermark."""
    watermarks = _watermarks(world, findings)

    def stored(number: int) -> bool:
        partition, offset = history.where[number]
        return settled or offset < watermarks.get(partition, 0)

    due = {number for number in range(len(history.messages)) if stored(number)}
    if world.stored is not None:
        held = _compare("Cassandra", world.stored, history, findings)
        for number in sorted(due - held):
            findings.add("not_stored", f"{_name(history, number)}, history at {history.where[number]}")
    if world.cached is not None:
        _compare("Redis", world.cached, history, findings)
        since_ms = max(world.newest_ms() - limits.CACHE_IDLE_S * 1_000, world.cached_since_ms)
        _judge_cache(world.cached, history, {one for one in due if history.at_ms[one] >= since_ms}, findings)


def _watermarks(world: World, findings: Findings) -> dict[int, int]:
    """Partition of history -> the first offset that is not stored."""
    found: dict[int, int] = {}
    for row, record in world.rows(catalog.STORED):
        if isinstance(record, Malformed):
            findings.add("unreadable", place(catalog.STORED, row))
        elif isinstance(record, Stored):
            found[record.partition] = record.offset
    return found


def _compare(store: str, rows: Sequence[StoredMessage], history: History, findings: Findings) -> set[int]:
    """Each row is a message of history, once; gives which messages these are."""
    held: set[int] = set()
    for row in rows:
        channel = history.channels.get((row.app, row.group, row.channel))
        number = channel.by_seq.get(row.seq) if channel else None
        told = f"{store}: {row.app}:{row.group}/{row.channel} seq {row.seq}"
        if number is None:
            findings.add("stored_unknown", told)
            continue
        if number in held:
            findings.add("stored_twice", told)
        held.add(number)
        if row.prev != (prev := history.messages[number].prev):
            findings.add("stored_prev", f"{told}: prev {row.prev}, history {prev}")
        elif row.message is not None and row.message != history.messages[number]:
            findings.add("stored_differs", told)
    return held


def _judge_cache(rows: Sequence[StoredMessage], history: History, due: set[int], findings: Findings) -> None:
    """What a channel has in Redis has no hole and reaches up to what must be stored."""
    seqs: dict[ChannelKey, list[int]] = defaultdict(list)
    for row in rows:
        seqs[row.app, row.group, row.channel].append(row.seq)
    for key, held in seqs.items():
        if (holes := max(held) - min(held) + 1 - len(set(held))) > 0:
            findings.add("cache_hole", ":".join(key), holes)
    for key, channel in history.channels.items():
        tip = max((seq for seq, number in channel.by_seq.items() if number in due), default=0)
        if tip and max(seqs.get(key, [0])) < tip:
            findings.add("not_cached", f"{':'.join(key)} seq {tip}")


def _name(history: History, number: int) -> str:
    message = history.messages[number]
    return f"{message.app}:{message.group}/{message.channel} seq {message.seq}"
