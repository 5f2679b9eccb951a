"""What the flows of the users role work with: the tables of one partition, and the trays for what it writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from streams.addresses import Addresses
from streams.users.replies import Replies
from streams.users.told import Told
from tables.asked import Asked, ordered
from tables.batch import Outputs
from tables.deaths import Deaths
from tables.due import Due
from tables.inbox import Inboxes
from tables.outbox import ANSWERS_HEAD, BINDINGS_HEAD, Lots
from tables.policy import Policies
from tables.presence import Presences
from tables.rolls import Rolls
from tables.rows import Rows
from tables.sessions import Session, Sessions
from tables.voids import Voids
from topics import catalog
from topics.answers import AnswerTo, Done, Refused
from topics.bindings import Bind, Grounded, Listen, Unbind, Unlisten
from topics.codec import Malformed, encode
from topics.keys import key_of, partition_of
from topics.subscriptions import Wanted
from topics.wire import Id, LinkAddress, ReplyTo, ToSession

_WATCHES_HEAD: Final = b'{"t":"watches","entries":['


class Desk(Addresses):
    """One users partition.

    Attributes:
        partition: which.
        partitions: how many the cluster has.
        now_ms: the partition's clock.
        touched: users of whom something changed that those who watch them may see, in this batch.
        fresh: of users whom sessions began to watch in this batch, these sessions.
        counts: what the batch did, for whoever watches.
    """

    def __init__(self, rows: Rows, partition: int, partitions: int, links: int) -> None:
        super().__init__(links)
        self.partition = partition
        self.partitions = partitions
        self.now_ms = 0
        self.policies = Policies(rows)
        self.voids = Voids(rows)
        self.deaths = Deaths(rows, self.policies)
        self.due = Due(rows)
        self.sessions = Sessions(rows, self.voids, self.deaths)
        self.rolls = Rolls(rows)
        self.asked = Asked(rows)
        self.presences = Presences(rows, self.voids)
        self.inboxes = Inboxes(rows)
        self.bindings = Lots(catalog.BINDINGS.name, BINDINGS_HEAD)
        self.watches = Lots(catalog.WATCHES.name, _WATCHES_HEAD)
        self.told = Told(self.sessions)
        self.replies = Replies()
        self._answers = Lots(catalog.ANSWERS.name, ANSWERS_HEAD)
        self.touched: dict[tuple[str, str], None] = {}
        self.fresh: dict[tuple[str, str], dict[LinkAddress, list[int]]] = {}
        self.counts: Counter[str] = Counter()

    def bind(self, app: str, user: str, session: Session, group: str, ordinal: int) -> None:
        """Ask the group's owner to let the session hear the group."""
        bind = Bind(app, group, user, ordinal, session.link, session.epoch, session.partition, session.slot)
        self.bindings.add(partition_of_group(app, group, self.partitions), encode(bind))

    def unbind(self, app: str, session: Session, group: str, ordinal: int) -> None:
        """Tell the group's owner that the session hears it no more."""
        unbind = Unbind(app, group, ordinal, session.link, session.epoch, session.slot)
        self.bindings.add(partition_of_group(app, group, self.partitions), encode(unbind))

    def grounded(self, session: Session, partitions: Iterable[int], *, ended: bool = False) -> None:
        """Tell groups partitions whether the session is in the background, or that it is no more."""
        self.counts["turned"] += not ended
        place = session.link, session.epoch, session.partition, session.slot
        entry = encode(Grounded(*place, session.told and not ended, ended))
        for partition in partitions:
            self.bindings.add(partition, entry)

    def listen(
        self,
        app: str,
        user: str,
        session: Session,
        group: str,
        wanted: Iterable[Wanted],
        request: Id | None = None,
        *,
        resumed: bool = False,
    ) -> None:
        """Ask the group's owner to let the session hear this of the group."""
        place = session.link, session.epoch, session.partition, session.slot
        listen = Listen(app, group, user, *place, list(ordered(wanted)), request, resumed)
        self.bindings.add(partition_of_group(app, group, self.partitions), encode(listen))

    def unlisten(
        self, app: str, session: Session, group: str, wanted: Iterable[Wanted], request: Id | None = None
    ) -> None:
        """Tell the group's owner that the session wants to hear this of the group no more; nothing given: anything."""
        place = session.link, session.epoch, session.partition, session.slot
        unlisten = Unlisten(app, group, *place, list(ordered(wanted)), request)
        self.bindings.add(partition_of_group(app, group, self.partitions), encode(unlisten))

    def dead(self, session: Session) -> bool:
        """Whether the session's link is dead: nobody needs to be told of what the session hears there."""
        return self.voids.covers(session.link, session.epoch)

    def answer(self, reply: ReplyTo | None, answer: Done | Refused) -> None:
        """Answer whoever waits: in its link's deliveries, or on `answers`. A dead link's session hears nothing."""
        if isinstance(answer, Refused):
            self.counts[f"refused:{answer.code}"] += 1
        if isinstance(reply, ToSession):
            if not self.voids.covers(reply.link, reply.epoch):
                self.replies.add(LinkAddress(reply.link, reply.epoch, reply.partition), encode(answer))
        elif reply is not None:
            to = partition_of(reply.requester.encode(), self.partitions)
            self._answers.add(to, encode(AnswerTo(reply.requester, answer)))

    def refuse(self, to: LinkAddress, refused: Refused) -> None:
        """Tell a session why what it wants is refused."""
        self.counts[f"refused:{refused.code}"] += 1
        self.replies.add(to, encode(refused))

    def check_user(self, app: str, user: str) -> None:
        """Refuse a record about a user of another partition.

        Raises:
            Malformed: the record is to be rejected.
        """
        if (right := partition_of(key_of(app, user), self.partitions)) != self.partition:
            raise Malformed("wrong_partition", f"{app}:{user} belongs to partition {right}")

    def drain(self, out: Outputs) -> None:
        """Write all that was gathered."""
        for tray in (self.bindings, self.watches, self._answers, self.replies, self.told):
            tray.drain(out)
        out.counts.update(self.counts)
        self.counts.clear()


@lru_cache(maxsize=65_536)
def partition_of_group(app: str, group: str, partitions: int) -> int:
    """The groups partition that a group belongs to."""
    return partition_of(key_of(app, group), partitions)
