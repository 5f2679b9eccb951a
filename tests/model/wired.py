"""The cores of both roles wired together without a broker: what one writes the other reads, in order, when it is let.

Every topic keeps its order; between topics there is none: any may be held back while others go on. A partition's clock
stands still while something that it has not read lies before it, as a lane's does. A crash forgets all memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from jobs.verify.world import Row, World
from streams.groups.core import INPUTS as GROUPS_INPUTS
from streams.users.core import INPUTS as USERS_INPUTS
from tables.batch import Record
from tests import cores
from tests.cores import Partition, Seen
from topics import catalog
from topics.answers import AnswerLot, AnswerTo, Registered
from topics.catalog import Topic
from topics.codec import encode
from topics.keys import key_of, partition_of
from topics.links import Register, Void
from topics.policy import Policy, PolicySet
from topics.wire import LinkAddress, Wire

APP: Final = "app"

Role = Literal["groups", "users"]
_INPUTS: Final[dict[Role, tuple[Topic, ...]]] = {"groups": GROUPS_INPUTS, "users": USERS_INPUTS}


class Batch(NamedTuple):
    """What one partition made of one batch.

    Attributes:
        role: whose.
        partition: which.
        seen: what it wrote.
    """

    role: Role
    partition: int
    seen: Seen


class Lane:
    """One partition of one role, and how far it has read."""

    def __init__(self, role: Role, partition: int, part: Partition) -> None:
        self.role = role
        self.partition = partition
        self.part = part
        self.read: dict[str, int] = defaultdict(int)
        self.held: set[str] = set()


class Wired:
    """A cluster in memory.

    Attributes:
        on_batch: hears of each batch, once it is committed.
    """

    def __init__(self, on_batch: Callable[[Batch], None], partitions: int = 2, links: int = 4) -> None:
        self.now_ms = 1_000_000
        self.partitions = partitions
        self.links = links
        self.on_batch = on_batch
        self.logs: dict[str, list[list[Row]]] = {
            topic.name: [[] for _ in range(topic.partitions(partitions, links))] for topic in catalog.CATALOG
        }
        self.lanes = [Lane("groups", at, cores.groups(partitions, at)) for at in range(partitions)]
        self.lanes += [Lane("users", at, cores.users(partitions, at)) for at in range(partitions)]

    # -- what comes from outside -------------------------------------------------------------------------------------

    def append(self, topic: Topic, partition: int, record: Wire | bytes, key: bytes | None = None) -> int:
        """Write a record; gives its offset."""
        self.now_ms += 1
        value = record if isinstance(record, bytes) else encode(record)
        log = self.logs[topic.name][partition]
        log.append(Row(partition, len(log), self.now_ms, key, value))
        return len(log) - 1

    def of_user(self, record: Any, times: int = 1) -> None:
        """Write a record of `sessions`, perhaps doubled by its producer."""
        self._keyed(catalog.SESSIONS, record, record.user, times)

    def of_group(self, topic: Topic, record: Any, times: int = 1) -> None:
        """Write a record of a group, perhaps doubled by its producer."""
        self._keyed(topic, record, record.group, times)

    def _keyed(self, topic: Topic, record: Any, name: str, times: int) -> None:
        key = key_of(record.app, name)
        for _ in range(times):
            self.append(topic, partition_of(key, self.partitions), record, key)

    def policy(self, policy: Policy) -> None:
        """The app's policy is another one."""
        for partition in range(self.partitions):
            self.append(catalog.POLICIES, partition, PolicySet(APP, policy), APP.encode())

    def register(self, link: str, partition: int) -> LinkAddress:
        """A link registers and is answered."""
        requester = f"{link}-asks-{self.now_ms}"
        epoch = self.append(catalog.LINKS, 0, Register(link, requester))
        answer = AnswerLot([AnswerTo(requester, Registered(link, epoch, partition, self.partitions))])
        self.append(catalog.ANSWERS, partition_of(requester.encode(), self.partitions), encode(answer))
        return LinkAddress(link, epoch, partition)

    def void(self, link: LinkAddress) -> None:
        """A registration dies: every partition is told, and the link itself."""
        for partition in range(self.partitions):
            self.append(catalog.LINK_VOIDS, partition, Void(link.link, link.epoch))
        self.append(catalog.DELIVERIES, link.partition, Void(link.link, link.epoch))

    # -- what the workers do -----------------------------------------------------------------------------------------

    def work(self, lane: Lane, most: int) -> bool:
        """One batch of what is new and not held back, or a tick; whether there was anything to do."""
        records = self._take(lane, most)
        now_ms = self._clock(lane)
        due_ms = lane.part.core.due_ms()
        if not records and (due_ms is None or due_ms > now_ms):
            return False
        lane.part.now_ms = now_ms
        self._write(lane, lane.part.commit(records))
        return True

    def crash(self, lane: Lane, most: int) -> None:
        """The worker takes what is new and crashes before it commits: the next one begins from the rows."""
        read = lane.read.copy()
        records = self._take(lane, most)
        lane.part.core.apply(records, self._clock(lane))
        lane.read = read
        lane.part.crash()

    def settle(self) -> None:
        """Nothing is held back any more; work until nothing follows."""
        for lane in self.lanes:
            lane.held.clear()
        while [lane for lane in self.lanes if self.work(lane, 1 << 30)]:
            pass

    def world(self) -> World:
        """What a judge of topics sees; no stores."""
        rows = {name: [row for log in logs for row in log] for name, logs in self.logs.items()}
        return World(rows, self.partitions, self.links)

    def _unread(self, lane: Lane) -> list[tuple[Topic, Row]]:
        return sorted(
            (
                (topic, row)
                for topic in _INPUTS[lane.role]
                for row in self.logs[topic.name][lane.partition][lane.read[topic.name] :]
            ),
            key=lambda one: one[1].at_ms,
        )

    def _take(self, lane: Lane, most: int) -> list[Record]:
        taken = [(topic, row) for topic, row in self._unread(lane) if topic.name not in lane.held][:most]
        for topic, row in taken:
            lane.read[topic.name] = row.offset + 1
        return [Record(topic.name, row.offset, row.at_ms, row.key, row.value or b"") for topic, row in taken]

    def _clock(self, lane: Lane) -> int:
        left = self._unread(lane)
        return min(left[0][1].at_ms, self.now_ms) if left else self.now_ms

    def _write(self, lane: Lane, seen: Seen) -> None:
        for (topic, to), records in seen.out.records.items():
            for key, value in records:
                self.append(catalog.BY_NAME[topic], to, value, key)
        self.on_batch(Batch(lane.role, lane.partition, seen))
