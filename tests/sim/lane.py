"""One worker's hold of one partition, one step at a time: the lane's order of steps with a pause before each.

The scheduler runs steps one by one, so a crash, a freeze or a take-over can fall between any two. What is applied, when
it is sent, what is written after the commit and what is forgotten on doubt is in the order of the real lane; merging of
inputs and the partition's clock are the real ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Final

import msgspec

from streams.batches.clock import PartitionClock
from streams.batches.inputs import Fetched, Inputs
from streams.groups.core import INPUTS as GROUPS_INPUTS
from streams.groups.core import GroupsCore
from streams.links.core import INPUTS as LINKS_INPUTS
from streams.links.core import LinksCore
from streams.users.core import INPUTS as USERS_INPUTS
from streams.users.core import UsersCore, index
from tables.batch import Core, Outputs, Record
from tables.rows import LOCAL, Changes, Rows
from tests.sim.broker import Broker, FencedError, Place, Producer
from tests.sim.store import SimStore
from topics import catalog
from topics.catalog import Topic

POISON: Final = b"p-o-i-s-o-n"
_FETCH_ALL_MS: Final = 1_000


class PoisonError(Exception):
    """A handler raised after it had changed things."""


class FragileGroups(GroupsCore):
    """Raises on marked records, after it applied them. Only the groups of the newest batch stay in memory."""

    def __init__(self, rows: Rows, partition: int, partitions: int, links: int) -> None:
        super().__init__(rows, partition, partitions, links, memory_bytes=0)

    def _apply_one(self, record: Record) -> None:
        super()._apply_one(record)
        _break_on(record)


class FragileUsers(UsersCore):
    """Raises on marked records, after it applied them."""

    def _apply_one(self, record: Record) -> None:
        super()._apply_one(record)
        _break_on(record)


def _break_on(record: Record) -> None:
    if POISON in record.value and record.topic in {"messages", "relations", "sessions"}:
        raise PoisonError("on purpose")


@dataclass(frozen=True)
class Kind:
    """What the lanes of a kind have in common."""

    name: str
    group: str
    inputs: tuple[Topic, ...]
    changelog: Topic
    core: Callable[[Rows, int, int, int], Core]


GROUPS = Kind("groups", "groups", GROUPS_INPUTS, catalog.GROUPS_CHANGELOG, FragileGroups)
USERS = Kind("users", "users", USERS_INPUTS, catalog.USERS_CHANGELOG, FragileUsers)
LINKS = Kind("links", "users", LINKS_INPUTS, catalog.LINKS_CHANGELOG, LinksCore)


@dataclass(frozen=True)
class Room:
    """What the lanes of a world share."""

    broker: Broker
    rng: Random
    faults: Counter[str]
    partitions: int
    links: int
    trace: Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Applied:
    """A batch that memory holds and the log does not yet."""

    records: list[Record]
    offsets: dict[str, int]
    outputs: Outputs
    changes: Changes


class FailedError(Exception):
    """A send failed, or nobody knows whether a commit did."""


class SimLane:
    """A lane from its opening until it is closed, fenced or crashed."""

    def __init__(self, room: Room, kind: Kind, partition: int, worker: int, store: SimStore) -> None:
        self.kind = kind
        self.partition = partition
        self.worker = worker
        self.store = store
        self.step_name = "start"
        self.commit_step = ""
        self.closed = ""
        self.fail_commit = ""  # a fault waiting for the next commit: "send" or "unknown"
        self.closing = False
        self.idle = False
        self._room = room
        self._topics = tuple(topic.name for topic in kind.inputs)
        self._steps = self._run()
        self._committing: Iterator[str] | None = None
        self._ticked = False
        self._fetched_ms = 0

    def __repr__(self) -> str:
        return f"{self.kind.name}/{self.partition}@w{self.worker}"

    @property
    def serving(self) -> bool:
        return self.step_name in {"fetch", "apply", "await"}

    @property
    def place(self) -> Place:
        return self.kind.changelog.name, self.partition

    def step(self) -> None:
        """One step: of the commit under way, or of the rest."""
        try:
            if self._committing is not None and (
                self.step_name == "await" or self.closing or self._room.rng.random() < 0.5
            ):
                self._step_commit()
            else:
                self.step_name = next(self._steps)
        except FencedError:
            self.close("fenced")
        except FailedError as error:
            self.close(str(error))

    def walk(self, steps: int) -> None:
        """So many steps, unless it closes or finds nothing to do on the way."""
        for _ in range(steps):
            if self.closed:
                return
            self.idle = False
            self.step()
            if self.idle:
                return

    def finish(self) -> None:
        """The group revokes the partition: the commit under way is finished, nothing else is begun."""
        self.closing = True
        while self.commit_step and not self.closed:
            self.step()
        self.close("revoked")

    def close(self, why: str) -> None:
        """Memory is forgotten; what was sent and not committed stays open until somebody ends it."""
        self._room.trace(f"{self!r} closed: {why} at {self.where}")
        self.closed = why
        self._committing = None

    @property
    def where(self) -> str:
        """The step that would come next."""
        return self.commit_step if self._committing is not None else self.step_name

    def at_rest(self) -> bool:
        """Nothing to read, to commit or to tick."""
        if self.closed or not self.serving or self.step_name != "fetch" or self._committing is not None:
            return False
        logs = {topic: self._room.broker.log(topic, self.partition) for topic in self._topics}
        read = all(self._positions[topic] >= log.stable_end for topic, log in logs.items())
        return read and self.inputs.idle and not self._due()

    def _step_commit(self) -> None:
        if self._committing is not None:
            try:
                self.commit_step = next(self._committing)
            except StopIteration:
                self._committing = None
                self.commit_step = ""

    # -- opening -----------------------------------------------------------------------------------------------------

    #: The order on assignment; before the first step the others read too low.
    OPENING: ClassVar[tuple[str, ...]] = ("_fence", "_read_changelog", "_read_offsets")

    def _run(self) -> Iterator[str]:
        for step in self.OPENING:
            yield from getattr(self, step)()
        yield "core"
        self.rows = Rows(self.store)
        self._make_core()
        self.clock = PartitionClock(lambda: self._room.broker.now_ms() / 1000)
        self.inputs = Inputs(self._positions)
        self._room.trace(f"{self!r} serves from {self._positions}, rows up to {self.store.offset}")
        yield from self._serve()

    def _fence(self) -> Iterator[str]:
        yield "fence"
        self.producer: Producer = self._room.broker.start_producer(f"{self.kind.name}-{self.partition}")

    def _read_offsets(self) -> Iterator[str]:
        yield "offsets"
        committed, group = self._room.broker.committed, self.kind.group
        self._positions = {topic: committed.get((group, topic, self.partition), 0) for topic in self._topics}

    def _read_changelog(self) -> Iterator[str]:
        yield "changelog end"
        end = self._room.broker.log(*self.place).stable_end
        if self.store.offset > end:
            self._room.faults["store discarded"] += 1
            self.store.write(dict.fromkeys(list(self.store.rows)), 0)
        yield from self._recover(end)

    def _recover(self, end: int) -> Iterator[str]:
        log = self._room.broker.log(*self.place)
        while self.store.offset < end:
            yield "recover"
            records, position = log.read(self.store.offset, self._room.rng.randint(1, 40))
            for record in records:
                if record.key is not None:
                    old = self.store.get(record.key)
                    local = index(record.key, old, record.value, self.store.get) if self.kind is USERS else {}
                    self.store.write({**local, record.key: record.value}, record.offset + 1)
            self.store.write({}, min(position, end))
            self._room.faults["rows recovered"] += len(records)

    def _make_core(self) -> None:
        self.core = self.kind.core(self.rows, self.partition, self._room.partitions, self._room.links)

    # -- serving -----------------------------------------------------------------------------------------------------

    def _serve(self) -> Iterator[str]:
        while True:
            yield "fetch"
            if self.closing:
                continue
            self._fetch()
            batch = self._next()
            if batch is None:
                self.idle = self._committing is None
                continue
            yield "apply"
            applied = self._apply(*batch)
            while self._committing is not None:
                yield "await"
            self._committing = self._commit(applied)
            self.commit_step = "begin"

    def _fetch(self) -> None:
        """Topics are fetched in any order, and not all at a time; but none is left out for longer than a second."""
        rng, now_ms = self._room.rng, self._room.broker.now_ms()
        topics = rng.sample(self._topics, len(self._topics))
        if now_ms - self._fetched_ms < _FETCH_ALL_MS:
            topics = topics[: rng.randint(1, len(topics))]
        if len(topics) == len(self._topics):
            self._fetched_ms = now_ms
        for topic in topics:
            log = self._room.broker.log(topic, self.partition)
            since = self._positions[topic]
            records, position = log.read(since, self._room.rng.randint(1, 12))
            for record in records[-1:]:
                self.clock.heard(record.timestamp)
            self.inputs.offer(topic, Fetched(1, records, since, position, log.stable_end))
            self._positions[topic] = position

    def _due(self) -> bool:
        due_ms = self.core.due_ms()
        return due_ms is not None and self.clock.now_ms(idle=self.inputs.idle) >= due_ms

    def _next(self) -> tuple[list[Record], dict[str, int]] | None:
        due = self._due()
        if self.inputs.ready and not (due and not self._ticked):
            self._ticked = False
            batch = self.inputs.take(self._room.rng.randint(1, 10))
            return batch.records, dict(batch.offsets)
        if due:
            self._ticked = True
            return [], {}
        return None

    def _apply(self, records: list[Record], offsets: dict[str, int]) -> Applied:
        if self._committing is not None:
            self._room.faults["apply overlaps a commit"] += 1
        now_ms = self.clock.applied(max((record.at_ms for record in records), default=0))
        while True:
            try:
                outputs = self.core.apply(records, now_ms)
                break
            except PoisonError as error:
                self._room.faults["handler raised"] += 1
                at = self.core.applying
                records = [*records]
                records[at] = msgspec.structs.replace(records[at], poison=repr(error))
                self.rows.discard()
                self._make_core()
        told = Counter({topic: len(sent) for (topic, _), sent in outputs.records.items()})
        self._room.trace(f"{self!r} applies {[(r.topic, r.offset) for r in records]} -> {dict(told)}")
        return Applied(records, offsets, outputs, self.rows.take())

    # -- committing --------------------------------------------------------------------------------------------------

    def _commit(self, applied: Applied) -> Iterator[str]:
        """Outputs, rows and offsets in one transaction; then the local rows; then it is settled."""
        logged = [(key, value) for key, value in applied.changes.items() if not key.startswith(LOCAL)]
        if applied.offsets or logged or applied.outputs.records:
            self.producer.begin()
            sends = list(applied.outputs.records.items())
            while sends:
                yield "send"
                for _ in range(self._room.rng.randint(1, 4)):
                    if sends:
                        self.producer.send(*sends.pop())
            yield "send rows"
            after = self.producer.send(self.place, logged) if logged else self.store.offset
            self._fail_if("send")
            yield "send offsets"
            offsets = {(topic, self.partition): offset for topic, offset in applied.offsets.items()}
            self.producer.send_offsets(self.kind.group, offsets)
            yield "commit"
            self.producer.commit()
            self._room.trace(f"{self!r} committed {applied.offsets}")
            self._fail_if("unknown")
            yield "store"
            self.store.write(applied.changes, after)
        yield "settle"
        self.rows.settled()

    def _fail_if(self, fault: str) -> None:
        if self.fail_commit == fault:
            if fault == "send":
                self.producer.abort()
            raise FailedError(f"{fault} failed")
