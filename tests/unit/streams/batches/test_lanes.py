"""Partitions are dealt and taken away in quick succession: a lane is open only while its worker holds the partition."""

from __future__ import annotations

import asyncio

import pytest
from faust.types import TP

from streams.batches import lane as lane_module
from streams.batches.errors import LaneDiedError
from streams.batches.kind import LaneKind
from streams.batches.lanes import Lanes
from streams.batches.store import MemoryStore
from tests.unit.streams.batches.test_lane import IN, LOG, Core, Producer, World, edges_in, feed, until

HELD = {TP(IN.name, 0)}


class SlowProducer(Producer):
    """Takes its time to let go."""

    async def abandon(self) -> None:
        await asyncio.sleep(0.05)
        await super().abandon()


class DeafProducer(Producer):
    """Does not let go, whoever asks."""

    async def abandon(self) -> None:
        until_s = asyncio.get_running_loop().time() + 0.5
        while (left_s := until_s - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left_s)
            except asyncio.CancelledError:
                continue


def lanes_in(world: World, producer: type[Producer] = SlowProducer) -> Lanes:
    edges = edges_in(world, producer=producer)
    return Lanes([LaneKind("kind", (IN,), LOG, lambda rows, _: Core(rows))], lambda *_: edges)


async def dealt(lanes: Lanes, world: World, generation: int) -> None:
    world.generation = generation
    lanes.given(generation)
    await lanes.open(HELD, generation)


async def serve(lanes: Lanes) -> None:
    await until(lambda: [lane.state for lane in lanes] == ["serving"])


async def test_what_was_dealt_is_opened_and_ends_when_it_is_taken_away() -> None:
    world = World()
    lanes = lanes_in(world)
    await dealt(lanes, world, 1)
    await serve(lanes)
    await lanes.close()
    assert [(lane.state, lane.assigned) for lane in lanes] == [("closed", False)]
    assert (world.steps[-1], world.crashed) == ("abandon", [])


async def test_partitions_that_are_being_taken_away_are_not_opened() -> None:
    world = World()
    lanes = lanes_in(world)
    lanes.given(1)
    closing = asyncio.create_task(lanes.close())
    await asyncio.sleep(0)
    await lanes.open(HELD, 1)  # it comes late
    await closing
    assert list(lanes) == []


async def test_an_opening_that_waits_for_lanes_to_end_finds_that_its_partitions_were_taken_away() -> None:
    world = World()
    lanes = lanes_in(world)
    await dealt(lanes, world, 1)
    await serve(lanes)
    lanes.given(2)
    opening = asyncio.create_task(lanes.open(HELD, 2))
    await asyncio.sleep(0.01)
    await lanes.close()
    await opening
    assert [lane.assigned for lane in lanes] == [False]


@pytest.mark.parametrize("doubts", [False, True])
async def test_a_lane_opens_when_that_of_before_has_ended_and_only_then(*, doubts: bool) -> None:
    world = World()
    lanes = lanes_in(world)
    await dealt(lanes, world, 1)
    await serve(lanes)
    (lane,) = lanes
    if doubts:  # it is letting go of its producer when it is closed
        world.errors = [ValueError("a doubt")]
        feed(world, lane, b"a")
        await until(lambda: lane.state == "closed")
    closing = asyncio.create_task(lanes.close())
    await asyncio.sleep(0.01)
    await dealt(lanes, world, 2)
    await closing
    await serve(lanes)
    feed(world, lane, b"b", b"c")
    await until(lambda: world.out == [b"b", b"c"])
    assert world.crashed == []
    await lanes.close()


async def test_a_lane_that_does_not_end_is_not_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module.Lane.close, "__defaults__", (0.01,))
    world = World()
    lanes = lanes_in(world, DeafProducer)
    await dealt(lanes, world, 1)
    await serve(lanes)
    with pytest.raises(LaneDiedError, match="kind/0 does not end"):
        await dealt(lanes, world, 2)
    await until(lambda: [lane.state for lane in lanes] == ["closed"])


class SlowToStop(World):
    """Its consumer's thread takes its time, and its stores say whether they are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = 0

    async def stop(self, *_: object) -> None:
        await super().stop()
        await asyncio.sleep(0.05)

    async def open_store(self) -> MemoryStore:
        store = await super().open_store()
        store.close = self._closes  # type: ignore[method-assign]
        return store

    def _closes(self) -> None:
        self.closed += 1


async def test_a_lane_closed_as_it_begins_anew_lets_go_of_its_store_and_its_producer() -> None:
    world = SlowToStop()
    lanes = lanes_in(world)
    await dealt(lanes, world, 1)
    await serve(lanes)
    (lane,) = lanes
    world.errors = [OSError("the broker is away")]
    feed(world, lane, b"a")
    await until(lambda: world.steps[-1] == "stop")
    await lanes.close()
    assert (world.closed, world.steps[-2:]) == (1, ["stop", "abandon"])
