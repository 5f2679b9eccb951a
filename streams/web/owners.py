"""Who serves a partition, and how far history is stored: what every view knows of the whole cluster."""

from __future__ import annotations

from streams.sinks.patience import AwayError
from topics.owners import Owner, StateStored, Stored, StoredRecord


class Directory:
    """The newest of `owners` and `stored`.

    Attributes:
        complete: has seen all that was there when it began.
        behind: offsets that it had not seen when its follower looked last.
        looked_at: when that was, by the monotonic clock; None: not yet.
        begun_anew: how often all was read again, because the follower found nothing any more.
    """

    def __init__(self) -> None:
        self.complete = False
        self.behind = 0
        self.looked_at: float | None = None
        self.begun_anew = 0
        self._urls: dict[tuple[str, int], str] = {}
        self._stored: dict[int, Stored] = {}
        self._state: dict[tuple[str, int], StateStored] = {}

    def owner(self, record: Owner) -> None:
        """A partition has this owner from here on."""
        self._urls[record.role, record.partition] = record.url

    def stored(self, record: StoredRecord) -> None:
        """History, or the final state, is stored up to here."""
        if isinstance(record, Stored):
            self._stored[record.partition] = record
        else:
            self._state[record.topic, record.partition] = record

    def state_watermarks(self) -> dict[tuple[str, int], StateStored]:
        """How far the final state is stored, by topic and partition."""
        return dict(self._state)

    def url(self, role: str, partition: int) -> str | None:
        """Where a partition's owner was found last."""
        return self._urls.get((role, partition))

    def owners(self) -> dict[tuple[str, int], str]:
        """Where the owner of each kind and partition was found last."""
        return dict(self._urls)

    def offset(self, partition: int) -> int | None:
        """The first offset of a partition of `history` that may not be stored; None if nothing was ever stored.

        Raises:
            AwayError: it is not known yet.
        """
        if not self.complete:
            raise AwayError("kafka", "`stored` is not read to its end yet")
        found = self._stored.get(partition)
        return None if found is None else found.offset

    def watermarks(self) -> dict[int, Stored]:
        """How far each partition of `history` is stored."""
        return dict(self._stored)
