"""A partition without a broker: rows in a dict, records made here, outputs decoded; crash whenever you like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from msgspec import Raw

from streams.groups.core import GroupsCore
from streams.links.core import LinksCore
from streams.users.core import UsersCore
from tables.batch import Core, MakeCore, Outputs, Record
from tables.rows import Changes, Rows
from topics import catalog
from topics.answers import AnswerTo, Applied, Refused
from topics.bindings import Bind, BindingLot
from topics.catalog import Topic
from topics.codec import decode, encode
from topics.deliveries import Bound, DeliveryLot, Unbound
from topics.messages import Message, Send
from topics.policy import Policy, PolicySet
from topics.relations import AddMembers, Command, CreateGroup, DeleteGroup, RemoveMembers
from topics.wire import ToRequester

T = TypeVar("T")


class Memory:
    """Committed rows in a dict."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        return self.rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value) whose key starts with `prefix`, in the order of keys, from the key `start` on."""
        yield from sorted((key, value) for key, value in self.rows.items() if key.startswith(prefix) and key >= start)

    def write(self, changes: Changes) -> None:
        """What a commit does."""
        for key, value in changes.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


def commit(rows: Rows, store: Memory) -> None:
    """Make durable what changed."""
    store.write(rows.take())
    rows.settled()


class Seen:
    """What a batch wrote, decoded."""

    def __init__(self, out: Outputs) -> None:
        self.out = out

    def records(self, topic: Topic) -> list[Any]:
        """The records of a topic, partition by partition."""
        written = sorted((at, records) for (name, at), records in self.out.records.items() if name == topic.name)
        return [decode(topic.name, value) for _, records in written for _, value in records]

    def raw(self, topic: Topic) -> list[bytes]:
        """Their bytes."""
        return [value for (name, _), records in self.out.records.items() if name == topic.name for _, value in records]

    def lots(self, link: str) -> list[DeliveryLot]:
        """The lots for a link."""
        return [lot for lot in self.records(catalog.DELIVERIES) if isinstance(lot, DeliveryLot) and lot.link == link]

    def entries(self, link: str, kind: type[T]) -> list[T]:
        """The entries of a kind for a link."""
        return [entry for lot in self.lots(link) for entry in lot.entries if isinstance(entry, kind)]

    def told(self, kind: type[T]) -> list[T]:
        """The answers of a kind on `answers`."""
        answers: list[AnswerTo] = [entry for lot in self.records(catalog.ANSWERS) for entry in lot.entries]
        return [entry.answer for entry in answers if isinstance(entry.answer, kind)]

    def bindings(self) -> list[Any]:
        """The binds and unbinds."""
        return [entry for lot in self.records(catalog.BINDINGS) for entry in lot.entries]

    def memberships(self) -> list[Any]:
        """The joined and left."""
        return [entry for lot in self.records(catalog.MEMBERSHIPS) for entry in lot.entries]

    def rejected(self) -> list[str]:
        """The reasons of what was rejected."""
        return [reject.reason for reject in self.records(catalog.REJECTS)]


class Partition:
    """One partition of a role."""

    def __init__(self, make: MakeCore, partition: int = 0) -> None:
        self.store = Memory()
        self.now_ms = 1_000_000
        self._make = make
        self._partition = partition
        self._offset = 0
        self.crash()

    def crash(self) -> None:
        """Forget all memory; what was committed is there."""
        self.rows = Rows(self.store)
        self.core: Core = self._make(self.rows, self._partition)

    def record(self, topic: Topic, value: Any, poison: str | None = None) -> Record:
        """A record, as if it stood next."""
        self._offset += 1
        encoded = value if isinstance(value, bytes) else encode(value)
        return Record(topic.name, self._offset, self.now_ms, None, encoded, poison)

    def apply(self, *records: tuple[Topic, Any]) -> Seen:
        """One batch, committed."""
        return self.commit([self.record(topic, value) for topic, value in records])

    def commit(self, records: list[Record]) -> Seen:
        """One batch of these records, committed."""
        out = self.core.apply(records, self.now_ms)
        commit(self.rows, self.store)
        return Seen(out)

    def tick(self, later_ms: int = 0) -> Seen:
        """One batch without records."""
        self.now_ms += later_ms
        return self.commit([])


class Gateway:
    """What a gateway of one registration holds, by the contract and nothing else."""

    def __init__(self, link: str, epoch: int) -> None:
        self.who = link, epoch
        self.number = 0
        self.bound: set[tuple[str, int, int]] = set()
        self.heard: list[tuple[int, frozenset[tuple[str, int, int]]]] = []

    def read(self, lots: list[DeliveryLot]) -> None:
        for lot in lots:
            if (lot.link, lot.epoch) != self.who:
                continue
            assert lot.number == self.number + 1
            self.number = lot.number
            if lot.reset:
                self.bound = set()
            for entry in lot.entries:
                match entry:
                    case Bound():
                        pairs = {(entry.group, o, s) for o, s in zip(entry.ordinals, entry.slots, strict=True)}
                        assert not pairs & self.bound
                        self.bound |= pairs
                    case Unbound():
                        pairs = {(entry.group, o, s) for o, s in zip(entry.ordinals, entry.slots, strict=True)}
                        assert pairs <= self.bound
                        self.bound -= pairs
                    case Message():
                        hears = frozenset(b for b in self.bound if b[0] == entry.group)
                        assert hears
                        self.heard.append((entry.seq, hears))


LINKS = 32


def groups(partitions: int = 1, partition: int = 0) -> Partition:
    """A groups partition."""
    return Partition(lambda rows, at: GroupsCore(rows, at, partitions, LINKS), partition)


def users(partitions: int = 1, partition: int = 0) -> Partition:
    """A users partition."""
    return Partition(lambda rows, at: UsersCore(rows, at, partitions, LINKS), partition)


def links(count: int = LINKS, partitions: int = 2) -> Partition:
    """The owner of `links`."""
    return Partition(lambda rows, at: LinksCore(rows, at, partitions, count))


def ask(kind: type[Command], /, *, group: str = "g", **more: Any) -> tuple[Topic, Any]:
    """A command of any kind, answered on `answers`."""
    fields: dict[str, Any] = {"app": "app", "group": group, "request": "r", "reply": ToRequester("me")} | more
    return catalog.RELATIONS, kind(**fields)


class Outcome(NamedTuple):
    """What became of one command.

    Attributes:
        answer: its answer: how many it changed, or the code of the refusal.
        events: what was told of it.
        seen: all that its batch wrote.
    """

    answer: int | str
    events: list[Any]
    seen: Seen


def do(partition: Partition, kind: type[Command], /, **more: Any) -> Outcome:
    """Apply one command in a batch of its own, again, and after a crash again.

    Twice and late is harmless: the second and third answer that nothing changed, or refuse; nothing is told.
    """
    first = _outcome(partition.apply(ask(kind, **more)))
    before = dict(partition.store.rows)
    for crash in (False, True):
        if crash:
            partition.crash()
        again = _outcome(partition.apply(ask(kind, **more)))
        assert not again.events
        assert isinstance(again.answer, str) or again.answer == 0
        assert partition.store.rows == before
    if isinstance(first.answer, str):
        assert not first.events
        assert again.answer == first.answer
    return first


def _outcome(seen: Seen) -> Outcome:
    assert not seen.rejected()
    answers: list[Applied | Refused] = [*seen.told(Applied), *seen.told(Refused)]
    [answer] = answers
    events = seen.records(catalog.RELATION_EVENTS)
    assert bool(events) == (isinstance(answer, Applied) and answer.changed > 0)
    if isinstance(answer, Applied) and events:
        assert answer.version == events[-1].version
    return Outcome(answer.changed if isinstance(answer, Applied) else answer.code, events, seen)


def policy(app: str = "app", **has: Any) -> tuple[Topic, PolicySet]:
    """What an app has from here on, otherwise than usual."""
    return catalog.POLICIES, PolicySet(app, Policy(**has))


def create(*members: str, group: str = "g", **more: Any) -> tuple[Topic, CreateGroup]:
    """A command."""
    return catalog.RELATIONS, CreateGroup("app", group, members=list(members), **more)


def delete(group: str = "g", **more: Any) -> tuple[Topic, DeleteGroup]:
    """A command."""
    return catalog.RELATIONS, DeleteGroup("app", group, **more)


def add(*members: str, group: str = "g", **more: Any) -> tuple[Topic, AddMembers]:
    """A command."""
    return catalog.RELATIONS, AddMembers("app", group, list(members), **more)


def remove(*members: str, group: str = "g", **more: Any) -> tuple[Topic, RemoveMembers]:
    """A command."""
    return catalog.RELATIONS, RemoveMembers("app", group, list(members), **more)


def bind(user: str, ordinal: int, slot: int, *, link: str = "l", epoch: int = 1, group: str = "g") -> tuple[Topic, Any]:
    """A bind of one session."""
    return catalog.BINDINGS, BindingLot([Bind("app", group, user, ordinal, link, epoch, 3, slot)])


def send(sender: str, client_id: str, tried_at: int, **more: Any) -> tuple[Topic, Send]:
    """A message."""
    given: dict[str, Any] = {"group": "g", "device": "d", "body": b'"hi"'} | more
    body = given.pop("body")
    return catalog.MESSAGES, Send(
        app="app", sender=sender, client_id=client_id, tried_at=tried_at, body=Raw(body), **given
    )
