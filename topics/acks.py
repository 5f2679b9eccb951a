"""`link-acks`: how far gateways got. Sent to the partition of the source that an ack is about."""

from __future__ import annotations

from topics.versions import FIRST, AcksVersion
from topics.wire import U32, Count, Id, Wire


class Ack(Wire, tag="ack", frozen=True):
    """A gateway applied all lots of a source up to this one. What it did not acknowledge is its backlog.

    Sent once a second at most while there is something new; a link that never sent one is not judged.

    Attributes:
        link: who says so.
        epoch: its registration; anything but the living one is ignored.
        source: the groups partition; also the record's partition.
        number: of the last lot applied.
    """

    link: Id
    epoch: Count
    source: U32
    number: Count
    v: AcksVersion = FIRST
