"""A partition's owner says where it is found, with its first batch: an old owner can't say so after a new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from tables.batch import NO_BACKLOG, Backlog, Core, Outputs, Record
from topics import catalog
from topics.codec import encode
from topics.owners import Owner

C = TypeVar("C", bound=Core)


class Announced(Generic[C]):
    """A core whose first batch carries the owner's record."""

    def __init__(self, core: C, owner: Owner) -> None:
        self.core = core
        self._owner: Owner | None = owner

    @property
    def applying(self) -> int:
        """See `tables.batch.Core`."""
        return self.core.applying

    def apply(self, records: Sequence[Record], now_ms: int, backlog: Backlog = NO_BACKLOG) -> Outputs:
        """See `tables.batch.Core`."""
        out = self.core.apply(records, now_ms, backlog)
        if (owner := self._owner) is not None:
            out.send(catalog.OWNERS.name, 0, f"{owner.role}/{owner.partition}".encode(), encode(owner))
            self._owner = None
        return out

    def due_ms(self) -> int | None:
        """At once, until it is said."""
        return 0 if self._owner is not None else self.core.due_ms()
