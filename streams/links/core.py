"""The deciding core of `links`, a topic of one partition, so that one owner allocates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streams.rejects import each
from tables.batch import NO_BACKLOG, Backlog, Outputs, Record
from tables.links import Link, Links
from tables.outbox import ANSWERS_HEAD, Lots
from tables.rows import Rows
from topics import catalog, limits
from topics.answers import AnswerTo, Refused, Registered
from topics.codec import decode, encode
from topics.keys import partition_of
from topics.links import Beat, Clock, Leave, Register, Void

#: What it reads.
INPUTS: Final = (catalog.LINKS,)


class LinksCore:
    """The owner of `links`. See `tables.batch.Core`."""

    def __init__(self, rows: Rows, partition: int, partitions: int, links: int) -> None:
        self.applying = 0
        self.links = Links(rows, links)
        self._partition = partition
        self._partitions = partitions
        self._answers = Lots(catalog.ANSWERS.name, ANSWERS_HEAD)
        self._dead: list[Link] = []
        self._beat_at = 0

    def apply(self, records: Sequence[Record], now_ms: int, backlog: Backlog = NO_BACKLOG) -> Outputs:  # noqa: ARG002 -- nothing here is shed
        """Apply a batch; then voids, answers, and the owner's own beat, which makes time pass on `links`."""
        out = Outputs()
        for self.applying, record in enumerate(records):
            each(out, self._partition, record, self._apply_one)
        self.applying = len(records)  # whatever raises from here on is no record's fault
        for link in self._dead:
            self._tell(out, link)
        self._dead = []
        self._answers.drain(out)
        if now_ms >= self._beat_at:
            out.send(catalog.LINKS.name, self._partition, None, encode(Clock()))
            self._beat_at = now_ms + limits.LINK_BEAT_MS
        living = self.links.living.values()
        out.gauges |= {"links": len(living), "sessions": sum(link.sessions for link in living)}
        return out

    def due_ms(self) -> int | None:
        """When the owner's next beat is due."""
        return self._beat_at

    def _apply_one(self, record: Record) -> None:
        decoded = decode(record.topic, record.value)
        self.links.pass_time(record.at_ms)
        match decoded:
            case Register():
                self._register(decoded, record.offset)
            case Beat(link=link, epoch=epoch, sessions=sessions):
                self.links.beat(link, epoch, sessions)
            case Leave(link=link, epoch=epoch):
                self._end(link, epoch)
            case Clock():
                for silent in self.links.silent():
                    self._end(silent.link, silent.epoch)

    def _register(self, register: Register, epoch: int) -> None:
        self._end(register.link, epoch)
        registered = self.links.register(register.link, epoch, register.address, register.region)
        answer: Registered | Refused = Refused("no_free_partition")
        if registered is not None:
            answer = Registered(registered.link, epoch, registered.partition, self._partitions)
        to = partition_of(register.requester.encode(), self._partitions)
        self._answers.add(to, encode(AnswerTo(register.requester, answer)))

    def _end(self, link: str, epoch: int) -> None:
        if (ended := self.links.end(link, epoch)) is not None:
            self._dead.append(ended)

    def _tell(self, out: Outputs, dead: Link) -> None:
        void = encode(Void(dead.link, dead.epoch))
        for partition in range(self._partitions):
            out.send(catalog.LINK_VOIDS.name, partition, None, void)
        out.send(catalog.DELIVERIES.name, dead.partition, None, void)
