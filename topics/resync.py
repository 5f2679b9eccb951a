"""`resync`: a gateway lost track of a source and asks for its bindings again. Sent to the partition of that source."""

from __future__ import annotations

from topics.versions import FIRST, ResyncVersion
from topics.wire import U32, Count, Id, Wire


class Resync(Wire, tag="resync", frozen=True):
    """The source answers with its next lot(s): `reset`, then every binding of the link it holds.

    Attributes:
        link: who asks.
        epoch: its registration; anything but the living one is ignored.
        partition: that registration's partition of `deliveries`.
        source: the groups partition asked; also the record's partition.
        have: the number of the last lot the gateway applied; 0 if none.
    """

    link: Id
    epoch: Count
    partition: U32
    source: U32
    have: Count = 0
    v: ResyncVersion = FIRST
