"""What the flows of the groups role work with: the tables of one partition, and the trays that a batch's outputs go to."""

from __future__ import annotations

from collections.abc import Iterable

from tables.batch import Outputs
from tables.chores import Chores
from tables.groups import Group, Groups
from tables.outbox import ANSWERS_HEAD, MEMBERSHIPS_HEAD, Lots, Outbox, history_head
from tables.quiet import Quiet
from tables.rows import Rows
from tables.voids import Voids
from topics import catalog
from topics.answers import Accepted, AnswerTo, Applied, Refused
from topics.codec import Malformed, encode
from topics.deliveries import Bound, Unbound
from topics.keys import key_of, partition_of, partitions_of
from topics.memberships import Joined, Left
from topics.relations import RelationEvent
from topics.wire import ReplyTo, ToSession


class Desk:
    """One groups partition.

    Attributes:
        partition: which.
        partitions: how many the cluster has.
        links: how many partitions `deliveries` has.
        now_ms: the newest append time seen.
    """

    def __init__(self, rows: Rows, partition: int, partitions: int, links: int) -> None:
        self.partition = partition
        self.partitions = partitions
        self.links = links
        self.now_ms = 0
        self.rows = rows
        self.voids = Voids(rows)
        self.outbox = Outbox(rows, partition, self.voids)
        self.groups = Groups(rows, self.outbox, self.voids, partition, partitions)
        self.quiet = Quiet(rows)
        self.chores = Chores(rows)
        self.history = Lots(catalog.HISTORY.name, history_head(partition))
        self._memberships = Lots(catalog.MEMBERSHIPS.name, MEMBERSHIPS_HEAD)
        self._answers = Lots(catalog.ANSWERS.name, ANSWERS_HEAD)
        self._events: list[tuple[bytes, bytes]] = []

    def answer(self, reply: ReplyTo | None, answer: Accepted | Refused | Applied) -> None:
        """Answer whoever waits: in its link's deliveries, or on `answers`. A dead link's session hears nothing."""
        match reply:
            case ToSession(link=link, epoch=epoch, partition=partition):
                if (outlet := self.outbox.outlet(link, epoch, partition)) is not None:
                    outlet.entries.append(encode(answer))
            case None:
                pass
            case _:
                to = partition_of(reply.requester.encode(), self.partitions)
                self._answers.add(to, encode(AnswerTo(reply.requester, answer)))

    def check_address(self, reply: ReplyTo | None) -> None:
        """Refuse an address that no delivery could be written to.

        Raises:
            Malformed: the record is to be rejected.
        """
        if isinstance(reply, ToSession) and reply.partition >= self.links:
            raise Malformed("bad_address", f"partition {reply.partition} of {self.links}")

    def publish(self, group: Group, event: RelationEvent) -> None:
        """Tell other services what was applied."""
        self._events.append((group.key, encode(event)))

    def tell_users(
        self, kind: type[Joined | Left], app: str, group: str, version: int, users: list[tuple[str, int]]
    ) -> None:
        """Tell the users role whose groups changed, one entry a users partition."""
        by_partition: dict[int, tuple[list[str], list[int]]] = {}
        partitions = partitions_of([key_of(app, user) for user, _ in users], self.partitions)
        for (user, ordinal), partition in zip(users, partitions, strict=True):
            names, ordinals = by_partition.setdefault(partition, ([], []))
            names.append(user)
            ordinals.append(ordinal)
        for partition, (names, ordinals) in by_partition.items():
            self._memberships.add(partition, encode(kind(app, group, version, names, ordinals)))

    def settle(self, group: Group) -> None:
        """Tell the links which of their sessions began or ceased to listen; whatever follows finds them told."""
        for outlet, change in group.map.take_changes().items():
            version = group.map.version
            if change.bound:
                ordinals, slots = _columns(change.bound)
                heads = [(group.channel.name, group.channel.seq)]
                outlet.entries.append(encode(Bound(group.app, group.group, version, ordinals, slots, heads)))
            if change.unbound:
                ordinals, slots = _columns(change.unbound)
                outlet.entries.append(encode(Unbound(group.app, group.group, version, ordinals, slots)))

    def flush(self) -> None:
        """Bring the rows up to date with memory."""
        for group in self.groups.touched():
            self.settle(group)
        self.groups.flush()

    def drain(self, out: Outputs) -> None:
        """Write all trays."""
        self.outbox.drain(out)
        for tray in (self.history, self._memberships, self._answers):
            tray.drain(out)
        for key, event in self._events:
            out.send(catalog.RELATION_EVENTS.name, self.partition, key, event)
        self._events = []


def _columns(pairs: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    ordinals, slots = zip(*pairs, strict=True)
    return list(ordinals), list(slots)


def slot_of(reply: ReplyTo | None) -> int | None:
    """The session an answer is for, as the answer names it."""
    return reply.slot if isinstance(reply, ToSession) else None


