"""What is known of a run before its deliveries are replayed, in one hand."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

from jobs.verify.drives import Drives
from jobs.verify.findings import Findings
from jobs.verify.history import History
from jobs.verify.links import Registration
from jobs.verify.policies import Policies


@dataclass(frozen=True, slots=True)
class Run:
    """What hearings are judged by.

    Attributes:
        history: what was accepted.
        taken_ms: when the send of each of these messages was appended.
        arrived: of each of them whether it came to a link at all.
        policies: what each app had.
        drives: what is heard unasked.
        findings: where what is wrong goes.
        due_before_ms: what is younger may be under way.
        settle_ms: how long what is on its way may take.
        to_notice: milliseconds from a message to the notice that told a session of it.
    """

    history: History
    taken_ms: list[int]
    arrived: Mapping[Registration, bytearray]
    policies: Policies
    drives: Drives
    findings: Findings
    due_before_ms: int
    settle_ms: int
    to_notice: array[int] = field(default_factory=lambda: array("q"))

    def came(self, registration: Registration, number: int) -> bool:
        """Whether a message came to a link."""
        got = self.arrived.get(registration, b"")
        return number < len(got) and bool(got[number])
