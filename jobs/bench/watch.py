"""All links' deliveries, read as they are committed: when a change of an audience was in force everywhere.

One reader stands for all gateways, so what it measures holds its own work for a hundred links, on the cores that broker
and workers use too. What it reads is looked into only for changes of audiences; who they name is counted afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from jobs.bench.lab import Trial
from jobs.bench.meanwhile import meanwhile, reader
from jobs.problem import Problem
from jobs.verify.bitmaps import ordinals_of
from topics import catalog

_POLL_MS: Final = 1_000
_WITHIN_S: Final = 60.0
_QUIET_S: Final = 0.25  # nothing more comes of a change once the reader had nothing for so long
_MARK: Final = b'"audience'


class _Changed(msgspec.Struct, tag_field="t", tag="audience_delta"):
    group: str
    audience: int
    version: int
    entered: str = ""
    left: str = ""
    ended: bool = False


class _Lot(msgspec.Struct):
    entries: list[msgspec.Raw] = []


_LOT: Final = msgspec.json.Decoder(_Lot)
_CHANGED: Final = msgspec.json.Decoder(_Changed)
_ENTRY: Final = b'{"t":"audience_delta"'


@dataclass(slots=True)
class Told:
    """What the links were told of one version of a group.

    Attributes:
        links: the links' partitions that heard of it.
        deltas: how many changes of audiences they heard.
        ended: how many of them said that an audience is used no more.
        seen_ms: when the last of them was read here.
        appended_ms: when the last of them was appended, by the broker.
        bytes: of the records that held them.
    """

    links: set[int] = field(default_factory=set)
    deltas: int = 0
    ended: int = 0
    seen_ms: float = 0.0
    appended_ms: float = 0.0
    bytes: int = 0
    _changes: list[_Changed] = field(default_factory=list)

    def add(self, partition: int, change: _Changed, seen_ms: float, appended_ms: float) -> None:
        """One more."""
        self.links.add(partition)
        self.deltas += 1
        self.ended += change.ended
        self.seen_ms, self.appended_ms = max(self.seen_ms, seen_ms), max(self.appended_ms, appended_ms)
        self._changes.append(change)

    def flips(self) -> tuple[int, int]:
        """How many entered and how many left, over all audiences and links."""
        changes = self._changes
        return _count([one.entered for one in changes]), _count([one.left for one in changes])


class Watch:
    """See the module; made by `watching`."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._told: dict[tuple[str, int], Told] = {}
        self._changed = asyncio.Event()

    async def told(self, group: str, version: int, links: int) -> Told:
        """Wait until so many links were told of changes at a version of a group, and no more of them come.

        Raises:
            Problem: it takes too long.
        """
        key, before = (group, version), -1
        try:
            async with asyncio.timeout(_WITHIN_S):
                while len((told := self._told.get(key, Told())).links) < links or told.deltas != before:
                    before = told.deltas
                    self._changed.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_QUIET_S):
                            await self._changed.wait()
        except TimeoutError:
            raise Problem(
                f"Version {version} of {group} was told to {len(told.links)} of {links} links after {_WITHIN_S:.0f} s; "
                f"the newest that were told: {sorted(self._told)[-5:]}"
            ) from None
        return self._told.pop(key)

    async def read(self) -> None:
        """Read, for ever."""
        while True:
            found = await self._consumer.getmany(timeout_ms=_POLL_MS)
            for tp, records in found.items():
                for record in records:
                    if record.value is not None and _MARK in record.value:
                        self._take(tp.partition, record.value, float(record.timestamp))
            if found:
                self._changed.set()

    def _take(self, partition: int, value: bytes, appended_ms: float) -> None:
        seen_ms = time.time() * 1000
        for raw in _LOT.decode(value).entries:
            if bytes(raw).startswith(_ENTRY):
                change = _CHANGED.decode(raw)
                told = self._told.setdefault((change.group, change.version), Told())
                told.add(partition, change, seen_ms, appended_ms)
                told.bytes += len(raw)


@contextlib.asynccontextmanager
async def watching(trial: Trial) -> AsyncIterator[Watch]:
    """A reader of all links from their ends, for as long as this lasts."""
    tps = [TopicPartition(catalog.DELIVERIES.name, number) for number in range(trial.settings.links)]
    async with reader(trial, tps) as consumer:
        watch = Watch(consumer)
        async with meanwhile(watch.read()):
            yield watch


def _count(bitmaps: list[str]) -> int:
    return sum(len(ordinals_of(one) or ()) for one in bitmaps)
