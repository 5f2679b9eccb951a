"""A bad record hurts only itself: it goes to `rejects`, with where it stood and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tables.batch import Outputs, Record
from topics import catalog
from topics.codec import Malformed, encode
from topics.rejects import Reason, Reject

#: A rejected value is kept up to this many bytes.
_KEPT_BYTES: Final = 512 * 1024
_KEPT_KEY_BYTES: Final = 1024
_DETAIL_CHARS: Final = 500
#: What a single user can bring about does not count towards the share of bad records that stops a worker.
_USERS_DOING: Final[frozenset[Reason]] = frozenset({"too_many_sessions"})


def reject(out: Outputs, partition: int, record: Record, reason: Reason, detail: str) -> None:
    """Send a record to the reject topic, to the partition it stood on."""
    key = None if record.key is None else record.key[:_KEPT_KEY_BYTES]
    rejected = Reject(
        record.topic,
        partition,
        record.offset,
        reason,
        detail[:_DETAIL_CHARS],
        record.value[:_KEPT_BYTES],
        key,
    )
    out.send(catalog.REJECTS.name, partition, key, encode(rejected))
    out.rejected += reason not in _USERS_DOING
    out.counts[f"rejected:{reason}"] += 1


def each(out: Outputs, partition: int, record: Record, apply: Callable[[Record], None]) -> None:
    """Apply one record of a batch, or reject it: poison, malformed, or on the wrong partition."""
    if record.poison is not None:
        reject(out, partition, record, "handler_failed", record.poison)
        return
    try:
        apply(record)
    except Malformed as error:
        reject(out, partition, record, error.reason, error.detail)
