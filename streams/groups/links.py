"""How far gateways got: acknowledgements in; who does not keep up is told notices, or to begin anew."""

from __future__ import annotations

from streams.groups.desk import Desk
from tables.backlog import LinkBacklog
from topics.acks import Ack


def acknowledge(desk: Desk, ack: Ack) -> None:
    """A gateway applied what this source wrote to it, up to a lot. From its first word on it is judged.

    Raises:
        Malformed: it is meant for another source.
    """
    desk.check_source(ack.source)
    desk.counts["acks"] += 1
    if (outlet := desk.outbox.find(ack.link, ack.epoch)) is None:
        return
    if outlet.backlog is None:
        outlet.backlog = LinkBacklog()
    outlet.backlog.acknowledged(ack.number)
    outlet.judge(desk.now_ms)
