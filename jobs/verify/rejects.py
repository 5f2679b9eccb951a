"""Whether just the bad records were rejected."""

from __future__ import annotations

from typing import Any, Final

from jobs.verify.findings import Findings
from jobs.verify.world import Row, World, place, read
from topics import catalog
from topics.catalog import Topic
from topics.codec import Malformed
from topics.keys import key_of, partition_of
from topics.links import Void
from topics.messages import Send
from topics.resync import Resync
from topics.sessions import Down, Up
from topics.wire import ToSession

#: Records of these come from outside, so they may be bad.
_FROM_OUTSIDE: Final = (catalog.MESSAGES, catalog.RELATIONS, catalog.SESSIONS, catalog.RESYNC, catalog.LINKS)
_SHOWN: Final = 20


class Rejects:
    """All rejects of a run.

    Attributes:
        count: how many there are.
        shown: the first of them, for people.
    """

    def __init__(self, world: World, findings: Findings, due_before_ms: int) -> None:
        self.count = 0
        self.shown: list[str] = []
        self._named: set[tuple[str, int, int]] = set()
        for row, reject in world.rows(catalog.REJECTS):
            where = place(catalog.REJECTS, row)
            if isinstance(reject, Malformed):
                findings.add("unreadable", where)
                continue
            self.count += 1
            named = reject.topic, reject.partition, reject.offset
            if named in self._named:
                findings.add("rejected_twice", f"{where} names {named}")
            self._named.add(named)
            if len(self.shown) < _SHOWN:
                self.shown.append(f"{named[0]}[{named[1]}]@{named[2]}: {reject.reason}: {reject.detail}")
        self._check(world, findings, due_before_ms)

    def names(self, topic: Topic, row: Row) -> bool:
        """Whether this record was rejected."""
        return (topic.name, row.partition, row.offset) in self._named

    def _check(self, world: World, findings: Findings, due_before_ms: int) -> None:
        unknown = set(self._named)
        for topic in catalog.CATALOG:
            if topic not in _FROM_OUTSIDE and not any(name == topic.name for name, _, _ in self._named):
                continue
            for row in world.topics.get(topic.name, ()):
                named = self.names(topic, row)
                unknown.discard((topic.name, row.partition, row.offset))
                bad = is_bad(topic, row, read(topic, row), world)
                if named and not bad:
                    findings.add("rejected_wrongly", place(topic, row))
                elif bad and not named and topic in _FROM_OUTSIDE and row.at_ms < due_before_ms:
                    findings.add("dropped", place(topic, row))
        for name, partition, offset in sorted(unknown):
            findings.add("reject_unknown", f"{name}[{partition}]@{offset}")


def is_bad(topic: Topic, row: Row, record: Any, world: World) -> bool:
    """Whether a record has to be rejected."""
    if isinstance(record, Malformed):
        return True
    match record:
        case Resync():
            return record.partition >= world.links or record.source != row.partition
        case Up() | Down():
            wrong = partition_of(key_of(record.app, record.user), world.partitions) != row.partition
            return wrong or (isinstance(record, Up) and record.partition >= world.links)
        case Void():
            return False
    if topic in {catalog.MESSAGES, catalog.RELATIONS}:
        reply = None if topic is catalog.MESSAGES and not isinstance(record, Send) else record.reply
        wrong = partition_of(key_of(record.app, record.group), world.partitions) != row.partition
        return wrong or (isinstance(reply, ToSession) and reply.partition >= world.links)
    return False
