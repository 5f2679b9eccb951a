"""How far gateways got: acknowledgements in; who does not keep up is told notices, or to begin anew."""

from __future__ import annotations

from streams.groups.desk import Desk
from tables.backlog import LinkBacklog
from topics.acks import Ack
from topics.codec import Malformed


def acknowledge(desk: Desk, ack: Ack) -> None:
    """A gateway applied what this source wrote to it, up to a lot. From its first word on it is judged.

    Raises:
        Malformed: it is meant for another source.
    """
    if ack.source != desk.partition:
        raise Malformed("wrong_partition", f"for source {ack.source} on partition {desk.partition}")
    desk.counts["acks"] += 1
    if (outlet := desk.outbox.find(ack.link, ack.epoch)) is None:
        return
    if outlet.backlog is None:
        outlet.backlog = LinkBacklog()
    outlet.backlog.acknowledged(ack.number)
    outlet.judge(desk.now_ms)
