"""The lanes of one worker: opened and closed as the group assigns, fed by the agents, asked by views."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from faust.types import TP

from streams.batches.inputs import Fetched
from streams.batches.kind import Edges, LaneKind
from streams.batches.lane import Lane

log = logging.getLogger(__name__)


class SplitError(Exception):
    """The topics of one partition went to different workers."""


class Lanes:
    """Every lane that this worker was ever assigned; those it has now are open."""

    def __init__(
        self, kinds: Sequence[LaneKind], edges: Callable[[LaneKind, int], Edges], lane_class: type[Lane] = Lane
    ) -> None:
        """Prepare.

        Args:
            kinds: the kinds of the role.
            edges: what a lane of this kind and partition touches.
            lane_class: what lanes are made of.
        """
        self._lane_class = lane_class
        self._kinds = {topic.name: kind for kind in kinds for topic in kind.inputs}
        self._edges = edges
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._held: int | None = None  # the generation whose partitions this worker has
        self._turn = asyncio.Lock()
        self.rebalances = 0

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def of(self, kind: str, partition: int) -> Lane | None:
        """The lane, if the partition is or was this worker's."""
        return self._lanes.get((kind, partition))

    def offer(self, tp: TP, fetched: Fetched) -> None:
        """Records for the lane of a partition."""
        lane = self.of(self._kinds[tp.topic].name, tp.partition)
        if lane is not None:
            lane.offer(tp.topic, fetched)

    def given(self, generation: int) -> None:
        """The group gave this worker partitions: they may be opened until they are taken away, which `close` says."""
        self._held = generation

    async def open(self, assigned: Iterable[TP], generation: int) -> None:
        """Open a lane for each assigned partition, unless they were taken away again before they could be.

        What is still open from before is closed first, and nothing is opened beside a lane that has yet to end.

        Raises:
            LaneDiedError: a lane from before does not end.
            SplitError: the group gave this worker some of a partition's topics and not the others.
        """
        async with self._turn:
            await self._close()
            if self._held != generation:
                return
            self.rebalances += 1
            for (name, partition), kind in self._whole(assigned).items():
                lane = self._lanes.get((name, partition))
                if lane is None:
                    lane = self._lane_class(kind, partition, self._edges(kind, partition))
                    self._lanes[name, partition] = lane
                lane.open(generation)

    def _whole(self, assigned: Iterable[TP]) -> Mapping[tuple[str, int], LaneKind]:
        found: dict[tuple[str, int], set[str]] = {}
        kinds: dict[tuple[str, int], LaneKind] = {}
        for topic, partition in assigned:
            kind = self._kinds[topic]
            found.setdefault((kind.name, partition), set()).add(topic)
            kinds[kind.name, partition] = kind
        for (name, partition), topics in found.items():
            inputs = kinds[name, partition].inputs
            if inputs[0].name not in topics:
                # Older workers take part, which do not know all of its topics: one of them owns it.
                log.warning("%s/%s: only %s came here; it is another worker's", name, partition, sorted(topics))
                del kinds[name, partition]
            elif missing := {topic.name for topic in inputs} - topics:
                raise SplitError(f"{name}/{partition} was assigned here without {sorted(missing)}")
        return kinds

    async def close(self) -> None:
        """The partitions are taken away: close every lane, in bounded time, and open none until others are given."""
        self._held = None
        async with self._turn:
            await self._close()

    async def _close(self) -> None:
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))


def numbering() -> Callable[[], int]:
    """Numbers openings: each call one more."""
    return itertools.count(1).__next__
