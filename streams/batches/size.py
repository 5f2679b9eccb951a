"""How much the next batch takes, so that what follows from it fits one short transaction.

A message to ten links writes 4 kB, one to a hundred links 45 kB: bounding the input alone would let a batch grow until
its transaction takes longer than it may, be aborted, and be tried again as it was, for ever. And some records are much
more work than others: a lot of 10,000 members is as long as a thousand messages, so a batch of such lots takes few, and
others' messages behind it go out between them.
"""

from __future__ import annotations

from typing import Final

from topics import limits

_MOST_BYTES: Final = max(limits.BATCH_BYTES, limits.SINK_BATCH_BYTES)


class BatchSize:
    """Learns from what batches wrote. Kept over re-openings of a lane."""

    def __init__(self) -> None:
        self._ceiling = limits.BATCH_RECORDS
        self._bytes_per_record = 0.0
        self._bytes = _MOST_BYTES

    @property
    def records(self) -> int:
        """As many as the next batch may take; at least one."""
        fit = limits.BATCH_OUTPUT_BYTES / max(1.0, self._bytes_per_record)
        return max(1, min(self._ceiling, int(fit)))

    def bytes(self, most: int) -> int:
        """How many bytes the next batch may take of the most that it may at all."""
        return min(most, self._bytes)

    def applied(self, input_bytes: int, work_s: float, late_ms: int = 0) -> None:
        """A batch of so many bytes was applied; by how much CPU time that took the next one takes fewer, or more.

        Args:
            input_bytes: of its records.
            work_s: CPU time.
            late_ms: by how much the partition is behind. Who waits for a second anyway waits less for few large batches
                than for many small ones: a group that is touched costs once a batch.
        """
        most_ms = max(limits.BATCH_WORK_MS, min(late_ms // 4, limits.LATE_BATCH_WORK_MS))
        if work_s * 1000 > most_ms:
            self._bytes = max(limits.LEAST_BATCH_BYTES, int(input_bytes * most_ms / (work_s * 1000)))
        elif input_bytes > self._bytes // 2:
            self._bytes = min(_MOST_BYTES, self._bytes * 2)

    def wrote(self, records: int, output_bytes: int) -> None:
        """A batch was applied; a larger share a record counts at once, a smaller one half."""
        share = output_bytes / records
        self._bytes_per_record = max(share, (self._bytes_per_record + share) / 2)

    def committed(self) -> None:
        """A batch was committed in time."""
        self._ceiling = min(limits.BATCH_RECORDS, self._ceiling * 2)

    def took_too_long(self) -> None:
        """A transaction did not end in time: whatever the reason, the next is half as large."""
        self._ceiling = max(1, self.records // 2)
