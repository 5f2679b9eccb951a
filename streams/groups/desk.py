"""What the flows of the groups role work with: a partition's tables, and the trays that a batch's outputs go to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pyroaring import BitMap

from streams.addresses import Addresses
from streams.groups import audiences, changes, flips, notices, subscriptions
from streams.groups.overload import Overload
from streams.groups.refusal import RefusalError
from tables import versions
from tables.batch import Outputs
from tables.bursts import Bursts
from tables.chores import Chores
from tables.drive import joined_of
from tables.eventlog import EventLog
from tables.expiries import Expiries
from tables.ground import Ground
from tables.groups import Group, Groups
from tables.hints import Hints
from tables.outbox import (
    ANSWERS_HEAD,
    MEMBERSHIPS_HEAD,
    NOTICES_HEAD,
    Lots,
    Outbox,
    Outlet,
    channel_members_head,
    history_head,
)
from tables.policy import Policies
from tables.quiet import Quiet
from tables.rows import Rows
from tables.unread import Unreads
from tables.voids import Voids
from topics import catalog, limits
from topics.answers import Accepted, AnswerTo, Applied, Refused
from topics.codec import Malformed, encode
from topics.deliveries import Bound, Drive, Unbound
from topics.events import RelationEvent
from topics.keys import key_of, partition_of, partitions_of
from topics.memberships import Barred, Joined, Left, Unheard
from topics.messages import Send
from topics.policy import Policy
from topics.relations import Asked
from topics.wire import ReplyTo, ToSession, slot_of


class Desk(Addresses):
    """One groups partition.

    Attributes:
        partition: which.
        partitions: how many the cluster has.
        now_ms: the newest append time seen.
        policies: what each app may have.
    """

    def __init__(self, rows: Rows, partition: int, partitions: int, links: int, memory_bytes: int) -> None:
        super().__init__(links)
        self.partition = partition
        self.partitions = partitions
        self.policies = Policies(rows)
        self.now_ms = 0
        self.rows = rows
        self.voids = Voids(rows)
        self.outbox = Outbox(rows, partition, self.voids)
        self.groups = Groups(rows, self.outbox, self.voids, partition, partitions, memory_bytes)
        self.quiet = Quiet(rows)
        self.chores = Chores(rows)
        self.hints = Hints(rows)
        self.ground = Ground(rows)
        self.bursts = Bursts()
        self.unread = Unreads(rows, b"count")
        self.unread_status = Unreads(rows, b"status")
        self.expiries = Expiries(rows)
        self.event_log = EventLog()
        self.history = Lots(catalog.HISTORY.name, history_head(partition))
        self._channel_members = Lots(catalog.CHANNEL_MEMBERS.name, channel_members_head(partition))
        self.notices = Lots(catalog.NOTICES.name, NOTICES_HEAD)
        self._memberships = Lots(catalog.MEMBERSHIPS.name, MEMBERSHIPS_HEAD)
        self._answers = Lots(catalog.ANSWERS.name, ANSWERS_HEAD)
        self._events: list[tuple[bytes, bytes]] = []
        self.overload = Overload()
        self._marked = False
        self.counts: Counter[str] = Counter()

    def answer(self, reply: ReplyTo | None, answer: Accepted | Refused | Applied) -> None:
        """Answer whoever waits: in its link's deliveries, or on `answers`. A dead link's session hears nothing."""
        if isinstance(reply, ToSession):
            if (outlet := self.outbox.outlet(reply.link, reply.epoch, reply.partition)) is not None:
                outlet.urgent.append(encode(answer))
        elif reply is not None:
            to = partition_of(reply.requester.encode(), self.partitions)
            self._answers.add(to, encode(AnswerTo(reply.requester, answer)))

    def refuse(self, asked: Send | Asked, refusal: RefusalError) -> None:
        """Answer whoever asked why it was refused: nothing has changed."""
        refused = Refused(
            refusal.code,
            app=asked.app,
            group=asked.group,
            client_id=asked.client_id if isinstance(asked, Send) else None,
            request=None if isinstance(asked, Send) else asked.request,
            limit=refusal.limit,
            slot=slot_of(asked.reply),
        )
        self.answer(asked.reply, refused)
        self.counts[f"refused:{refusal.code}"] += 1

    def check_source(self, source: int) -> None:
        """Refuse what a gateway says of the deliveries of another groups partition.

        Raises:
            Malformed: the record is to be rejected.
        """
        if source != self.partition:
            raise Malformed("wrong_partition", f"for source {source} on partition {self.partition}")

    def publish(self, group: Group, event: RelationEvent) -> None:
        """Tell what was applied: other services, the persons who took part, and later those who listen."""
        encoded = encode(event)
        self._events.append((group.key, encoded))
        self.event_log.note(group.key, event.version, encoded)
        notices.of_event(self, group, event)
        changes.of_event(self, group, event)
        if group.ruled:
            found = group.take_flips()
            changes.of_flips(self, group, found)
            subscriptions.of_event(self, group, event, found)
            flips.of_event(self, group, event, found, group.take_gone())

    def tell_flips(self, flips: bytes) -> None:
        """Tell the member list of a channel who entered and who left."""
        self._channel_members.add(self.partition, flips)

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

    def tell_user(self, app: str, user: str, entry: Unheard | Barred) -> None:
        """Tell the users role what concerns one user."""
        self._memberships.add(partition_of(key_of(app, user), self.partitions), encode(entry))

    def mark_rows(self) -> None:
        """The rows hold what workers of the release before would misread from here on."""
        if not self._marked:
            versions.GROUPS.mark(self.rows)
            self._marked = True

    def settle(self, group: Group) -> None:
        """Tell the links which of their sessions began or ceased to listen; whatever follows finds them told."""
        policy, members = self.policies.of(group.app), group.members.count
        if group.judged is not policy or group.judged_members != members:
            self._drive(group, policy, members)
        changes = group.map.take_changes()
        heads = self.heads(group) if changes else []
        for outlet, change in changes.items():
            bound, unbound = change.parted()
            self.counts["bound"] += len(bound)
            self.counts["unbound"] += len(unbound)
            for ordinals, slots in _columns(unbound):
                entry = Unbound(group.app, group.group, group.map.version, ordinals, slots)
                outlet.entries.append(encode(entry))
            if group.ruled and group.map.count(outlet) == len(bound):  # none that listened before does so still
                group.audiences.forget(outlet)
            if group.asked:
                group.subscriptions.end(outlet, BitMap([slot for _, slot in unbound]))
                group.subscriptions.join(outlet, {slot: ordinal for ordinal, slot in bound}, group.sees)
            self.tell_bound(group, outlet, bound, heads)
        if group.ruled or group.asked:
            audiences.tell_changes(group)

    def _drive(self, group: Group, policy: Policy, members: int) -> None:
        """Judge what sessions hear unasked: the group's size or its app's policy is another one."""
        group.judged, group.judged_members = policy, members
        joined = joined_of(group.kind, members, policy, group.joined)
        if joined != group.joined:
            group.joined = joined
            entry = encode(Drive(group.app, group.group, group.version, joined))
            for outlet in group.map.outlets:
                outlet.entries.append(entry)

    @staticmethod
    def heads(group: Group) -> list[tuple[str, int]]:
        """The heads that whoever begins to listen is told: each channel's newest seq."""
        channels = group.common_channels() if group.joined != "none" else ()
        return [(channel, group.numbers(channel).seq) for channel in channels]

    def tell_bound(
        self, group: Group, outlet: Outlet, pairs: Sequence[tuple[int, int]], heads: list[tuple[str, int]]
    ) -> None:
        """Tell a link that these sessions, pairs of (ordinal, slot), listen to the group, and its heads."""
        known = group.ruled and group.audiences.known_on(outlet)
        for ordinals, slots in _columns(pairs):
            of_each = [group.audiences.of_ordinal(outlet, ordinal) for ordinal in ordinals] if known else []
            bound = Bound(
                group.app,
                group.group,
                group.map.version,
                ordinals,
                slots,
                heads,
                of_each if any(of_each) else [],
                group.joined,
            )
            outlet.entries.append(encode(bound))

    def flush(self) -> None:
        """Bring the rows up to date with memory."""
        for group in self.groups.touched():
            group.prune(self.voids)  # a link that died after the touch: its rows may be swept already
            self.settle(group)
        self.groups.flush()
        for windows in (self.hints, self.unread, self.unread_status):
            windows.flush(self.now_ms)
        self.ground.flush()

    def drain(self, out: Outputs, now_ms: int, late_ms: int) -> None:
        """Write all trays, at this time of the partition's clock, which is so much behind the present."""
        self.outbox.drain(out, now_ms, late_ms)
        for tray in (self.history, self._channel_members, self.notices, self._memberships, self._answers):
            tray.drain(out)
        for key, event in self._events:
            out.send(catalog.RELATION_EVENTS.name, self.partition, key, event)
        self._events = []
        for counts in (self.counts, self.groups.counts):
            out.counts.update(counts)
            counts.clear()
        out.gauges["groups_cached"] = len(self.groups)
        out.gauges["bursts"] = self.bursts.ongoing(now_ms)


def _columns(pairs: Sequence[tuple[int, int]]) -> Iterator[tuple[list[int], list[int]]]:
    """Ordinals and slots, in runs that leave an entry small."""
    for start in range(0, len(pairs), limits.ENTRY_PAIRS):
        run = pairs[start : start + limits.ENTRY_PAIRS]
        yield [ordinal for ordinal, _ in run], [slot for _, slot in run]
