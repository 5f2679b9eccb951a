"""`rejects`: records that could not be applied, with where they stood and why. Nothing is dropped silently."""

from __future__ import annotations

from typing import Final, Literal

from topics.versions import FIRST, RejectsVersion
from topics.wire import U32, Count, Id, Wire

Reason = Literal[
    "undecodable",
    "unknown_version",
    "wrong_partition",
    "record_too_large",
    "bad_address",
    "too_many_sessions",
    "handler_failed",
]

REASONS: Final[dict[Reason, str]] = {
    "undecodable": "The bytes are no record of the topic.",
    "unknown_version": "The record's `v` is newer than what the worker knows. Upgrade the workers, then send it again.",
    "wrong_partition": "The key hashes to another partition: wrong hash, wrong key or wrong partition count.",
    "record_too_large": "The record is larger than the limit.",
    "bad_address": "It names a partition of `deliveries` that does not exist.",
    "too_many_sessions": "The user has as many connections as one user may have.",
    "handler_failed": "Applying it raised; a defect of the pipeline. The record is kept here to be replayed.",
}


class Reject(Wire, tag="reject", frozen=True):
    """One rejected record.

    Attributes:
        topic: where it stood.
        partition: where it stood.
        offset: where it stood.
        reason: why; see REASONS.
        detail: what exactly.
        value: its bytes, base64, cut to fit.
        key: its key, base64, cut to fit, or None.
    """

    topic: Id
    partition: U32
    offset: Count
    reason: Reason
    detail: str
    value: bytes
    key: bytes | None = None
    v: RejectsVersion = FIRST
