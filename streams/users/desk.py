"""What the flows of the users role work with: the tables of one partition, and the trays for what it writes."""

from __future__ import annotations

from functools import lru_cache

from streams.users.told import Told
from tables.inbox import Inboxes
from tables.outbox import BINDINGS_HEAD, Lots
from tables.policy import Policies
from tables.rolls import Rolls
from tables.rows import Rows
from tables.sessions import Session, Sessions
from tables.voids import Voids
from topics import catalog
from topics.bindings import Bind, Unbind
from topics.codec import encode
from topics.keys import key_of, partition_of


class Desk:
    """One users partition.

    Attributes:
        partition: which.
        partitions: how many the cluster has.
        links: how many partitions `deliveries` has.
        policies: what each app may have.
    """

    def __init__(self, rows: Rows, partition: int, partitions: int, links: int) -> None:
        self.partition = partition
        self.partitions = partitions
        self.links = links
        self.policies = Policies(rows)
        self.voids = Voids(rows)
        self.sessions = Sessions(rows, self.voids)
        self.rolls = Rolls(rows)
        self.inboxes = Inboxes(rows)
        self.bindings = Lots(catalog.BINDINGS.name, BINDINGS_HEAD)
        self.told = Told(self.sessions)

    def bind(self, app: str, user: str, session: Session, group: str, ordinal: int) -> None:
        """Ask the group's owner to let the session hear the group."""
        bind = Bind(app, group, user, ordinal, session.link, session.epoch, session.partition, session.slot)
        self.bindings.add(_partition_of_group(app, group, self.partitions), encode(bind))

    def unbind(self, app: str, link: str, epoch: int, slot: int, group: str, ordinal: int) -> None:
        """Tell the group's owner that the session hears it no more."""
        unbind = Unbind(app, group, ordinal, link, epoch, slot)
        self.bindings.add(_partition_of_group(app, group, self.partitions), encode(unbind))


@lru_cache(maxsize=65_536)
def _partition_of_group(app: str, group: str, partitions: int) -> int:
    return partition_of(key_of(app, group), partitions)
