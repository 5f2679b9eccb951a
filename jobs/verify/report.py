"""The verdict on a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from jobs.verify.findings import KINDS, Findings, Kind

_PERCENTILES: Final = (50, 99)


class Latency(msgspec.Struct, frozen=True):
    """How long something took, in milliseconds, over `count` cases."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, samples_ms: Sequence[int]) -> Latency | None:
        """Of these cases; None if there is none."""
        if not samples_ms:
            return None
        p50, p99 = np.percentile(np.asarray(samples_ms), _PERCENTILES)
        return cls(len(samples_ms), float(p50), float(p99), float(max(samples_ms)))


class Report(msgspec.Struct):
    """What happened in a run, and what was wrong with it.

    Attributes:
        sent: distinct sends.
        resends: further tries of them.
        accepted: distinct sends in history.
        refused: refusing answers to sends, by code.
        silent: sends neither in history nor refused that may be so: under way still, or nobody waited for an answer, or
            the link of who waited died.
        rejected: records in `rejects`.
        signals: signals sent.
        groups: groups that were ever created.
        registrations: of links.
        sessions: that began.
        lots: records of `deliveries` with entries.
        deliveries: messages in them.
        reached: sessions that these messages reached, summed up.
        notices: notices in place of messages.
        stored: messages in Cassandra; None if it was not looked at.
        cached: messages in Redis; None if it was not looked at.
        append_to_append: from a send's append to that of a lot with its message.
        to_notice: from a message, where a session is to hear of it by a notice, to that notice.
        up_to_bound: from a session's beginning (or its user's joining, if later) to the lot that tells its link of it.
        faults: breaches by kind; a good run has none.
        rules: breaches by rule.
        examples: the first breaches of each kind, with where they were seen.
        rejects: the first rejects, with where the record stood and why.
        planned: the faults that were injected on purpose.
    """

    sent: int = 0
    resends: int = 0
    accepted: int = 0
    refused: dict[str, int] = {}
    silent: int = 0
    rejected: int = 0
    signals: int = 0
    groups: int = 0
    registrations: int = 0
    sessions: int = 0
    lots: int = 0
    deliveries: int = 0
    reached: int = 0
    notices: int = 0
    stored: int | None = None
    cached: int | None = None
    append_to_append: Latency | None = None
    up_to_bound: Latency | None = None
    to_notice: Latency | None = None
    faults: dict[Kind, int] = {}
    rules: dict[str, int] = {}
    examples: dict[Kind, list[str]] = {}
    rejects: list[str] = []
    planned: list[str] = []

    @property
    def good(self) -> bool:
        """Whether nothing at all was wrong."""
        return not any(self.faults.values())

    def conclude(self, findings: Findings) -> None:
        """Take over what was found."""
        self.faults = {kind: findings.count(kind) for kind in KINDS}
        self.rules = dict(findings.by_rule.most_common())
        self.examples = {kind: found for kind, found in findings.examples.items() if found}
