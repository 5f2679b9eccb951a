"""A small, correct run: the real groups cores over logs in memory, and a users side made by hand.

Time goes on by a millisecond a record, and by `wait`. `work` lets every partition take what is new, once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from msgspec import Raw

from jobs.verify.world import Row, StoredMessage, World
from streams.groups.core import GroupsCore
from tables.batch import Record
from tables.rows import Rows
from topics import catalog
from topics.answers import AnswerLot, AnswerTo, Registered
from topics.bindings import Bind, BindingLot, Unbind
from topics.catalog import Topic
from topics.codec import decode, encode
from topics.deliveries import NoticeLot
from topics.keys import key_of, partition_of
from topics.links import Register, Void
from topics.memberships import Joined
from topics.messages import MAIN, Send, Signal
from topics.notices import Kept, Notice, NoticeOut
from topics.owners import Stored
from topics.relations import RelationRecord
from topics.resync import Resync
from topics.sessions import Down, Up
from topics.wire import LinkAddress, ReplyTo, ToRequester, ToSession

APP = "app"


class _Store:
    """Committed rows in a dict."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(row for row in self._rows.items() if row[0].startswith(prefix) and row[0] >= start))

    def take(self, rows: Rows) -> None:
        for key, value in rows.take().items():
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value
        rows.settled()


class SmallWorld:
    """A cluster in memory."""

    def __init__(self, partitions: int = 2, links: int = 4) -> None:
        self.now_ms = 1_000_000
        self.partitions = partitions
        self.links = links
        self.logs: dict[str, list[list[Row]]] = {
            topic.name: [[] for _ in range(topic.partitions(partitions, links))] for topic in catalog.CATALOG
        }
        self._stores = [_Store() for _ in range(partitions)]
        self._rows = [Rows(store) for store in self._stores]
        self.cores = [GroupsCore(self._rows[i], i, partitions, links) for i in range(partitions)]
        self._read: dict[tuple[str, int], int] = defaultdict(int)
        self._groups_of: dict[str, dict[str, int]] = defaultdict(dict)
        self._sessions: dict[tuple[str, int, int], tuple[str, LinkAddress]] = {}
        self._slots: dict[tuple[str, int], int] = defaultdict(int)
        self._noticed = 0

    def wait(self, ms: int) -> None:
        """Nothing happens for a while."""
        self.now_ms += ms

    def append(self, topic: Topic, partition: int, value: bytes, key: bytes | None = None) -> int:
        """Write a record; gives its offset."""
        self.now_ms += 1
        log = self.logs[topic.name][partition]
        log.append(Row(partition, len(log), self.now_ms, key, value))
        return len(log) - 1

    def of_group(self, topic: Topic, record: Send | Signal | RelationRecord) -> None:
        """Write a record keyed by its group."""
        key = key_of(record.app, record.group)
        self.append(topic, partition_of(key, self.partitions), encode(record), key)

    def register(self, link: str, partition: int) -> LinkAddress:
        """A link registers and is answered."""
        requester = f"{link}-asks-{self.now_ms}"
        epoch = self.append(catalog.LINKS, 0, encode(Register(link, requester)))
        answer = AnswerTo(requester, Registered(link, epoch, partition, self.partitions))
        to = partition_of(requester.encode(), self.partitions)
        self.append(catalog.ANSWERS, to, encode(AnswerLot([answer])))
        return LinkAddress(link, epoch, partition)

    def void(self, link: LinkAddress) -> None:
        """A registration dies."""
        for partition in range(self.partitions):
            self.append(catalog.LINK_VOIDS, partition, encode(Void(link.link, link.epoch)))
        self._sessions = {key: session for key, session in self._sessions.items() if key[:2] != (link.link, link.epoch)}

    def resync(self, link: LinkAddress, source: int) -> None:
        """A gateway lost track of a source."""
        self.append(catalog.RESYNC, source, encode(Resync(link.link, link.epoch, link.partition, source)))

    def up(self, user: str, link: LinkAddress) -> ToSession:
        """A session begins; the users side binds it. Gives its address."""
        slot = self._slots[link.link, link.epoch] = self._slots[link.link, link.epoch] + 1
        self._of_user(user, Up(APP, user, f"device-{slot}", link.link, link.epoch, link.partition, slot))
        self._sessions[link.link, link.epoch, slot] = user, link
        for group, ordinal in self._groups_of[user].items():
            self._bind(group, user, ordinal, link, slot)
        return ToSession(link.link, link.epoch, link.partition, slot)

    def down(self, session: ToSession) -> None:
        """A session ends; the users side unbinds it."""
        user, _ = self._sessions.pop((session.link, session.epoch, session.slot))
        self._of_user(user, Down(APP, user, session.link, session.epoch, session.slot))
        for group, ordinal in self._groups_of[user].items():
            self._binding(group, Unbind(APP, group, ordinal, session.link, session.epoch, session.slot))

    def command(self, record: RelationRecord) -> None:
        """A command on a group."""
        self.of_group(catalog.RELATIONS, record)

    def send(
        self,
        group: str,
        sender: str,
        client_id: str,
        reply: ReplyTo | None = None,
        *,
        tried_at: int | None = None,
        channel: str = MAIN,
    ) -> int:
        """A user sends, or sends again; gives when the first try was."""
        at = self.now_ms if tried_at is None else tried_at
        body = Raw(encode({"text": client_id}))
        self.of_group(catalog.MESSAGES, Send(APP, group, sender, "phone", client_id, at, body, channel, reply=reply))
        return at

    def signal(self, group: str, sender: str, channel: str = MAIN) -> None:
        """A user signals."""
        self.of_group(catalog.MESSAGES, Signal(APP, group, sender, Raw(b'"typing"'), channel))

    def work(self) -> None:
        """Each groups partition takes all that is new as one batch; the users side binds who joined."""
        for partition, core in enumerate(self.cores):
            batch = sorted(self._unread(partition), key=lambda record: record.at_ms)
            out = core.apply(batch, self.now_ms)
            for (topic, to), records in out.records.items():
                for key, value in records:
                    self.append(catalog.BY_NAME[topic], to, value, key)
            self._stores[partition].take(self._rows[partition])
        self._follow_memberships()
        self._follow_notices()

    def crash(self) -> None:
        """The workers forget all memory; others go on from what was committed."""
        self._rows = [Rows(store) for store in self._stores]
        self.cores = [GroupsCore(rows, i, self.partitions, self.links) for i, rows in enumerate(self._rows)]

    def crash_in_work(self) -> None:
        """The workers take what is new, and crash before they commit it: that never happened."""
        read = self._read.copy()
        for partition, core in enumerate(self.cores):
            core.apply(sorted(self._unread(partition), key=lambda record: record.at_ms), self.now_ms)
        self._read = read
        self.crash()

    def settle(self) -> None:
        """Work until nothing follows any more."""
        while any(core.due_ms() == 0 for core in self.cores) or self._news():
            self.work()

    def world(self, **changes: Any) -> World:
        """What the judge sees, with stores that hold all of history."""
        for partition, log in enumerate(self.logs[catalog.HISTORY.name]):
            if log:
                stored = Stored(partition, len(log), self.now_ms)
                self.append(catalog.STORED, partition, encode(stored), str(partition).encode())
        rows = {name: [row for log in logs for row in log] for name, logs in self.logs.items()}
        kept = [
            StoredMessage(entry.app, entry.group, entry.channel, entry.seq, entry.prev, entry)
            for row in rows[catalog.HISTORY.name]
            for entry in decode(catalog.HISTORY.name, row.value).entries
        ]
        given: dict[str, Any] = {"stored": kept, "cached": kept} | changes
        return World(rows, self.partitions, self.links, **given)

    def _of_user(self, user: str, record: Up | Down) -> None:
        key = key_of(APP, user)
        self.append(catalog.SESSIONS, partition_of(key, self.partitions), encode(record), key)

    def _bind(self, group: str, user: str, ordinal: int, link: LinkAddress, slot: int) -> None:
        self._binding(group, Bind(APP, group, user, ordinal, link.link, link.epoch, link.partition, slot))

    def _binding(self, group: str, entry: Bind | Unbind) -> None:
        self.append(catalog.BINDINGS, partition_of(key_of(APP, group), self.partitions), encode(BindingLot([entry])))

    def _unread(self, partition: int) -> Iterator[Record]:
        for topic in (catalog.RELATIONS, catalog.MESSAGES, catalog.BINDINGS, catalog.LINK_VOIDS, catalog.RESYNC):
            log = self.logs[topic.name][partition]
            for row in log[self._read[topic.name, partition] :]:
                yield Record(topic.name, row.offset, row.at_ms, row.key, row.value or b"")
            self._read[topic.name, partition] = len(log)

    def _news(self) -> bool:
        return any(
            len(log) > self._read[topic.name, partition]
            for topic in (catalog.RELATIONS, catalog.MESSAGES, catalog.BINDINGS, catalog.LINK_VOIDS, catalog.RESYNC)
            for partition, log in enumerate(self.logs[topic.name])
        )

    def _follow_memberships(self) -> None:
        for partition, log in enumerate(self.logs[catalog.MEMBERSHIPS.name]):
            for row in log[self._read[catalog.MEMBERSHIPS.name, partition] :]:
                for entry in decode(catalog.MEMBERSHIPS.name, row.value).entries:
                    for user, ordinal in zip(entry.users, entry.ordinals, strict=True):
                        if isinstance(entry, Joined):
                            self._joined(entry.group, user, ordinal)
                        elif self._groups_of[user].get(entry.group) == ordinal:
                            del self._groups_of[user][entry.group]
            self._read[catalog.MEMBERSHIPS.name, partition] = len(log)

    def _follow_notices(self) -> None:
        for partition, log in enumerate(self.logs[catalog.NOTICES.name]):
            for row in log[self._read[catalog.NOTICES.name, partition] :]:
                for notice in decode(catalog.NOTICES.name, row.value).entries:
                    for user in notice.users:
                        self._tell(notice, user)
            self._read[catalog.NOTICES.name, partition] = len(log)

    def _tell(self, notice: Notice, user: str) -> None:
        """Each session of the user is told by itself, without merging, under a number of the world."""
        for (_, _, slot), (owner, link) in self._sessions.items():
            if owner == user:
                self._noticed += 1
                kept = Kept(self._noticed, notice.group, notice.version, notice.at, notice.kind, by=notice.by)
                lot = NoticeLot(link.link, link.epoch, [NoticeOut(APP, user, [slot], kept)])
                self.append(catalog.DELIVERIES, link.partition, encode(lot))

    def _joined(self, group: str, user: str, ordinal: int) -> None:
        self._groups_of[user][group] = ordinal
        for (_, _, slot), (owner, link) in self._sessions.items():
            if owner == user:
                self._bind(group, user, ordinal, link, slot)


def requester(name: str) -> ToRequester:
    """Answers to a caller without a session."""
    return ToRequester(name)
