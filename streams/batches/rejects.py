"""The share of bad records among the last ones: past a limit it is more likely the worker that is bad."""

from __future__ import annotations

from collections import deque
from typing import Final

from topics import limits

_LEAST: Final = 100  # fewer records say nothing about a share


class RejectShareError(Exception):
    """Too many of the last records were rejected; the batch that crossed the limit must not be committed."""


class RejectShare:
    """Counts over the last `limits.REJECT_SAMPLE` records, batch by batch."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._rejected = 0

    def check(self, records: int, rejected: int) -> None:
        """Would a batch with so many rejected keep the share within the limit?

        Raises:
            RejectShareError: no.
        """
        records, rejected = self._records + records, self._rejected + rejected
        if records >= _LEAST and rejected > limits.REJECT_SHARE * records:
            raise RejectShareError(f"{rejected} of the last {records} records were rejected")

    def add(self, records: int, rejected: int) -> None:
        """A batch was committed."""
        self._batches.append((records, rejected))
        self._records += records
        self._rejected += rejected
        while self._batches and self._records - self._batches[0][0] >= limits.REJECT_SAMPLE:
            old_records, old_rejected = self._batches.popleft()
            self._records -= old_records
            self._rejected -= old_rejected
