"""A lane between fakes of the consumer and the producer: what it applies, refuses, repeats and answers."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import pytest
from aiokafka.errors import KafkaConnectionError, ProducerFenced

import tables.batch
from streams.batches import lane as lane_module
from streams.batches.errors import CoreBugError, FencedError, LaneDiedError, UnavailableError
from streams.batches.inputs import Fetched
from streams.batches.kind import Edges, LaneKind
from streams.batches.lane import Lane
from streams.batches.producer import Sends
from streams.batches.rejects import RejectShareError
from streams.batches.store import MemoryStore, Origin, State
from streams.web.health import Facts, judge
from tables import keys
from tables.batch import NO_BACKLOG, Backlog, Outputs, Record
from tables.rows import Rows
from tables.versions import NewerStateError, StateVersion
from topics import limits
from topics.catalog import Count, Topic

IN = Topic("in", Count.PARTITIONS, "any", 1, ("tests",), ("tests",))
LOG = Topic("log", Count.PARTITIONS, "row", None, ("tests",), ("tests",))


@dataclass(frozen=True)
class Raw:
    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None


Ends = dict[tuple[str, int], int]


class Core:
    """Counts into a row and sends what it counts; raises and ticks when told to."""

    def __init__(self, rows: Rows) -> None:
        self.applying = -1
        self.rows = rows
        self.due: int | None = None

    @property
    def count(self) -> int:
        return int(self.rows.get(b"count") or 0)

    def apply(self, records: Sequence[Record], now_ms: int, backlog: Backlog = NO_BACKLOG) -> Outputs:  # noqa: ARG002 -- nothing here is shed
        outputs = Outputs()
        if not records:
            self.due = None
            outputs.send("out", 0, None, b"tick %d" % now_ms)
        for place, record in enumerate(records):
            self.applying = place
            if record.value == b"hopeless":
                raise RuntimeError(record.value)
            if record.poison or record.value == b"bad":
                outputs.rejected += 1
                outputs.send("rejects", 0, None, (record.poison or "bad").encode())
                continue
            self.rows.put(b"count", b"%d" % (self.count + 1))
            if record.value == b"poison":
                raise ValueError("so bad")
            if record.value.startswith(b"due "):
                self.due = int(record.value[4:])
            if record.value == b"no tick":
                self.applying = len(records)
                raise ValueError("outside")
            outputs.send("out", 0, record.key, record.value)
        return outputs

    def due_ms(self) -> int | None:
        return self.due


class Producer:
    """Commits into a list; fails as often as told."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def start(self) -> None:
        self.world.steps.append("start")

    async def send(
        self, sends: Sends, offsets: Mapping[tuple[str, int], int], group: str
    ) -> dict[tuple[str, int], int]:
        assert group == "group"
        await self.world.gate.wait()
        if self.world.errors:
            raise self.world.errors.pop(0)
        self.sends, self.offsets = sends, offsets
        return {tp: 10 * len(self.world.sent) + len(records) for tp, records in sends.items()}

    async def commit(self) -> None:
        self.world.sent.append(self.sends)
        for offset in self.offsets.values():
            self.world.offset = offset

    async def abandon(self) -> None:
        self.world.steps.append("abandon")
        if self.world.abandon_errors:
            raise self.world.abandon_errors.pop(0)


class World:
    """What is outside of the lane: a broker's memory, a consumer, a clock."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: list[BaseException] = []
        self.abandon_errors: list[BaseException] = []
        self.sent: list[Sends] = []
        self.offset = 0
        self.steps: list[str] = []
        self.crashed: list[Exception] = []
        self.generation = 1
        self.heartbeat_at = 1e12
        self.opening = 0
        self.now = 1_000.0
        self.fed = {0: 0}
        self.stores: list[MemoryStore] = []

    async def committed(self, topics: Sequence[str]) -> dict[str, int]:
        self.steps.append("offsets")
        return dict.fromkeys(topics, self.offset)

    async def start_at(self, offsets: Mapping[str, int], opening: int) -> None:
        self.steps.append("seek")
        self.opening = opening
        self.fed = {opening: offsets["in"]}

    async def stop(self, *_: object) -> None:
        self.steps.append("stop")

    def tell(self, *_: object) -> None:
        pass

    async def open_store(self) -> MemoryStore:
        self.steps.append("recover")
        store = MemoryStore()
        rows: dict[bytes, bytes | None] = {}
        for sends in self.sent:
            rows.update({key or b"": value for key, value in sends.get(("log", 0), ())})
        store.write(rows, State(Origin("id", 1), 0, 0, 0))
        self.stores.append(store)
        return store

    @property
    def out(self) -> list[bytes | None]:
        return [value for sends in self.sent for _, value in sends.get(("out", 0), ())]

    @property
    def rejects(self) -> list[bytes | None]:
        return [value for sends in self.sent for _, value in sends.get(("rejects", 0), ())]


def edges_in(world: World, gap_s: float = 0.0, producer: type[Producer] = Producer) -> Edges:
    return Edges(
        source=world,
        make_producer=lambda: producer(world),
        open_store=world.open_store,
        crash=world.crashed.append,
        openings=itertools.count(1).__next__,
        monotonic=lambda: world.now,
        wall_ms=lambda: 0,
        group="group",
        session_s=6.0,
        gap_s=gap_s,
    )


def make_lane(
    world: World,
    effects: Callable[[Outputs, Sequence[Record]], Awaitable[None]] | None = None,
    gap_s: float = 0.0,
    version: StateVersion | None = None,
    patient: tuple[Topic, ...] = (),
) -> Lane:
    kind = LaneKind("kind", (IN,), LOG, lambda rows, _: Core(rows), effects, version=version, patient=patient)
    return Lane(kind, 0, edges_in(world, gap_s))


async def until(check: Callable[[], object], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not check():  # noqa: ASYNC110 - the lane has no event for everything a test waits for
            await asyncio.sleep(0.001)


def feed(world: World, lane: Lane, *values: bytes, at_ms: int = 1, key: bytes | None = None) -> None:
    """Offer records from the position the world committed or was last offered."""
    since = world.fed[world.opening]
    records = [Raw(since + n, at_ms + n, value, key) for n, value in enumerate(values)]
    after = since + len(values)
    world.fed[world.opening] = after
    lane.offer("in", Fetched(world.opening, records, since, after, after))


@asynccontextmanager
async def serving(world: World, **kwargs: object) -> AsyncIterator[Lane]:
    lane = make_lane(world, **kwargs)  # type: ignore[arg-type]
    lane.open(1)
    await until(lambda: lane.state == "serving")
    try:
        yield lane
    finally:
        await lane.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "_BACKOFF_S", (0.0,))
    monkeypatch.setattr(lane_module, "_FENCED_S", 0.2)


async def test_opening_fences_first_then_recovers_then_reads_offsets_then_fetches() -> None:
    world = World()
    async with serving(world):
        assert world.steps == ["start", "recover", "offsets", "seek"]


async def test_rows_outputs_and_offsets_go_in_one_transaction() -> None:
    world = World()
    async with serving(world) as lane:
        feed(world, lane, b"a", b"b")
        await until(lambda: world.sent)
    (sends,) = world.sent
    assert sends == {("out", 0): [(None, b"a"), (None, b"b")], ("log", 0): [(b"count", b"2")]}
    assert world.offset == 2
    store = world.stores[-1]
    assert (store.get(b"count"), store.state and store.state.offset) == (b"2", 1)


def hundredfold(rows: Rows, after: bytes) -> bytes | None:
    """Two rows, one a piece."""
    key = b"other" if after else b"count"
    rows.put(key, (rows.get(key) or b"") + b"00")
    return None if after else key


async def test_older_rows_are_brought_up_in_transactions_of_their_own_before_anything_is_served() -> None:
    world = World()
    world.sent.append({("log", 0): [(b"count", b"7"), (b"other", b"1")]})
    world.errors = [KafkaConnectionError("gone in between")]
    async with serving(world, version=StateVersion(2, {2: hundredfold})) as lane:
        assert [[key for key, _ in sends["log", 0]] for sends in world.sent[1:]] == [
            [b"count", keys.STAMP],
            [b"other", keys.STAMP],
        ]
        assert (lane.counters.aborts, lane.counters.openings, world.offset) == (1, 1, 0)
        feed(world, lane, b"a")
        await until(lambda: world.out)
    assert world.sent[-1]["log", 0] == [(b"count", b"701")]
    assert world.steps.count("seek") == 1


async def test_rows_of_a_later_version_stop_the_worker() -> None:
    world = World()
    async with serving(world, version=StateVersion(3, {3: hundredfold})) as lane:
        feed(world, lane, b"a")
        await until(lambda: world.out)
    sent = list(world.sent)
    assert [key for key, _ in sent[0]["log", 0]] == [keys.STAMP, b"count"], "said with the first change"
    lane = make_lane(world, version=StateVersion(2, {2: hundredfold}))
    lane.open(1)
    await until(lambda: world.crashed)
    assert isinstance(world.crashed[0], NewerStateError)
    assert str(world.crashed[0]) == "kind/0: state of version 3, this worker knows 2: upgrade this worker"
    await lane.close()
    assert world.sent == sent


async def test_a_step_that_raises_stops_the_worker_and_changes_nothing() -> None:
    def broken(rows: Rows, _: bytes) -> bytes | None:
        rows.delete(b"count")
        raise ValueError("secret")

    world = World()
    world.sent.append({("log", 0): [(b"count", b"7")]})
    lane = make_lane(world, version=StateVersion(2, {2: broken}))
    lane.open(1)
    await until(lambda: world.crashed)
    assert isinstance(world.crashed[0], CoreBugError)
    await lane.close()
    assert len(world.sent) == 1


async def test_the_version_is_said_again_when_the_core_is_made_anew() -> None:
    world = World()
    async with serving(world, version=StateVersion()) as lane:
        feed(world, lane, b"poison", b"a")
        await until(lambda: world.sent)
    assert [key for key, _ in world.sent[0]["log", 0]] == [keys.STAMP, b"count"]


async def test_a_record_the_core_raises_on_is_set_aside_and_hurts_no_other() -> None:
    world = World()
    async with serving(world) as lane:
        feed(world, lane, b"a", b"poison", b"b", b"poison")
        await until(lambda: world.sent)
        assert lane.counters.poisoned == 2
    assert world.out == [b"a", b"b"]
    assert world.rejects == [b"ValueError: so bad"] * 2
    assert world.sent[0][("log", 0)] == [(b"count", b"2")], "what the failed handler changed is gone"
    assert world.offset == 4


async def test_a_core_made_anew_sees_rows_whose_commit_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BATCH_RECORDS", 4)
    world = World()
    async with serving(world) as lane:
        world.gate.clear()
        feed(world, lane, b"a")
        await until(lambda: lane._memory and lane._memory.pending)
        feed(world, lane, b"poison", b"b")
        await until(lambda: lane.counters.poisoned)
        world.gate.set()
        await until(lambda: len(world.sent) == 2)
    assert world.sent[1][("log", 0)] == [(b"count", b"2")]


async def test_the_first_batch_goes_at_once_and_the_next_gathers_for_a_while() -> None:
    world = World()
    async with serving(world, gap_s=0.02) as lane:
        feed(world, lane, b"a")
        await until(lambda: len(world.sent) == 1)
        feed(world, lane, b"b")
        feed(world, lane, b"c")
        await asyncio.sleep(0.05)
        assert len(world.sent) == 1, "the lane's clock stands still"
        world.now += 0.02
        await until(lambda: len(world.sent) == 2)
    assert world.out == [b"a", b"b", b"c"]


async def test_a_batch_of_nothing_but_what_may_wait_gathers_for_longer() -> None:
    world = World()
    async with serving(world, patient=(IN,)) as lane:
        feed(world, lane, b"a")
        await until(lambda: len(world.sent) == 1)
        feed(world, lane, b"b")
        world.now += limits.PATIENT_GAP_MS / 1000 - 0.1
        feed(world, lane, b"c")
        await asyncio.sleep(0.05)
        assert len(world.sent) == 1
        world.now += 0.1
        await until(lambda: len(world.sent) == 2)
    assert world.out == [b"a", b"b", b"c"]


@pytest.mark.parametrize("value", [b"hopeless", b"no tick"])
async def test_a_core_that_raises_where_it_must_not_stops_the_worker(value: bytes) -> None:
    world = World()
    async with serving(world) as lane:
        feed(world, lane, b"a", value)
        await until(lambda: world.crashed)
    assert isinstance(world.crashed[0], CoreBugError)
    assert (world.sent, world.offset) == ([], 0)


async def test_too_many_rejects_stop_the_worker_and_the_batch_is_not_committed() -> None:
    world = World()
    async with serving(world) as lane:
        feed(world, lane, *[b"a"] * 60)
        await until(lambda: world.sent)
        feed(world, lane, *[b"bad"] * 61)
        await until(lambda: world.crashed)
    assert isinstance(world.crashed[0], RejectShareError)
    assert (world.rejects, world.offset) == ([], 60)


async def test_a_batch_of_poison_stops_the_worker_too() -> None:
    world = World()
    async with serving(world) as lane:
        feed(world, lane, *[b"poison"] * 200)
        await until(lambda: world.crashed)
    assert isinstance(world.crashed[0], RejectShareError)
    assert world.offset == 0


async def test_a_failed_transaction_never_happened_and_the_lane_begins_anew() -> None:
    world = World()
    async with serving(world) as lane:
        feed(world, lane, b"a")
        await until(lambda: world.sent)
        world.errors.append(KafkaConnectionError("gone"))
        feed(world, lane, b"b")
        await until(lambda: lane.counters.openings == 2)
        assert world.steps[-6:] == ["stop", "abandon", "start", "recover", "offsets", "seek"]
        feed(world, lane, b"b", b"c")
        await until(lambda: len(world.sent) == 2)
    assert world.out == [b"a", b"b", b"c"]
    assert world.sent[1][("log", 0)] == [(b"count", b"3")]


async def test_a_lost_lot_makes_the_lane_begin_anew() -> None:
    world = World()
    async with serving(world) as lane:
        lane.offer("in", Fetched(world.opening, [Raw(5, 1, b"x")], 5, 6, 6))
        await until(lambda: lane.counters.openings == 2)
    assert world.sent == []


async def test_what_an_older_opening_asked_for_is_dropped() -> None:
    world = World()
    async with serving(world) as lane:
        lane.offer("in", Fetched(world.opening - 1, [Raw(0, 1, b"x")], 0, 1, 1))
        feed(world, lane, b"a")
        await until(lambda: world.sent)
    assert world.out == [b"a"]


async def test_a_fenced_lane_stays_closed_until_it_is_assigned_again() -> None:
    world = World()
    async with serving(world) as lane:
        world.errors.append(ProducerFenced())
        feed(world, lane, b"a")
        await until(lambda: lane.state == "fenced")
        await asyncio.sleep(0.05)
        assert world.steps.count("start") == 1
        await lane.close()
        world.generation = 2
        lane.open(2)
        await until(lambda: lane.state == "serving")
        feed(world, lane, b"a")
        await until(lambda: world.sent)
    assert world.crashed == []
    assert world.out == [b"a"]


async def test_a_fenced_lane_that_nobody_assigns_stops_the_worker() -> None:
    world = World()
    async with serving(world) as lane:
        world.errors.append(ProducerFenced())
        feed(world, lane, b"a")
        await until(lambda: world.crashed)
    assert isinstance(world.crashed[0], FencedError)


async def test_a_worker_without_heartbeats_fences_nobody() -> None:
    world = World()
    world.heartbeat_at = world.now - 100
    lane = make_lane(world)
    lane.open(1)
    await asyncio.sleep(0.1)
    assert world.steps == []
    assert lane.paused_for == "waiting for a heartbeat"
    await lane.close()


async def test_a_tick_comes_when_it_is_due_by_the_partitions_clock() -> None:
    world = World()
    async with serving(world) as lane:
        feed(world, lane, b"due 5000", at_ms=1_000)
        await until(lambda: world.sent)
        await asyncio.sleep(0.02)
        assert world.out == [b"due 5000"]
        world.now += 4
        lane._news.set()
        await until(lambda: len(world.sent) == 2)
    assert world.out == [b"due 5000", b"tick 5000"]


async def test_a_large_batch_is_applied_while_the_last_commits_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BATCH_RECORDS", 4)
    world = World()
    async with serving(world) as lane:
        world.gate.clear()
        feed(world, lane, b"0", b"1")
        await until(lambda: lane._memory and lane._memory.pending)
        for n in range(2, 8, 2):
            feed(world, lane, b"%d" % n, b"%d" % (n + 1))
            await asyncio.sleep(0.01)
        assert lane._memory is not None
        assert [len(one.records) for one in lane._memory.pending] == [2, 2]
        world.gate.set()
        await until(lambda: world.offset == 8)
    assert world.out == [b"%d" % n for n in range(8)]


async def test_a_small_batch_gathers_while_the_last_commits() -> None:
    world = World()
    async with serving(world) as lane:
        world.gate.clear()
        for n in range(4):
            feed(world, lane, b"%d" % n)
            await asyncio.sleep(0.01)
        assert lane._memory is not None
        assert [len(one.records) for one in lane._memory.pending] == [1]
        world.gate.set()
        await until(lambda: world.offset == 4)
    assert len(world.sent) == 2
    assert world.out == [b"0", b"1", b"2", b"3"]


async def test_a_large_record_is_not_applied_while_the_last_batch_commits_nor_with_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "BATCH_RECORDS", 4)
    large = [b"%d" % n * limits.LARGE_RECORD_BYTES for n in range(2)]
    world = World()
    async with serving(world) as lane:
        world.gate.clear()
        feed(world, lane, b"0", b"1")
        await until(lambda: lane._memory and lane._memory.pending)
        feed(world, lane, b"2", *large, b"3", key=b"server")
        await asyncio.sleep(0.01)
        assert lane._memory is not None
        assert [len(one.records) for one in lane._memory.pending] == [2]
        world.gate.set()
        await until(lambda: world.offset == 6)
    assert [len(sends["out", 0]) for sends in world.sent] == [2, 2, 1, 1]


async def test_closing_lets_the_running_commit_finish() -> None:
    world = World()
    async with serving(world) as lane:
        world.gate.clear()
        feed(world, lane, b"a")
        await until(lambda: lane._memory and lane._memory.pending)
        closing = asyncio.create_task(lane.close())
        await asyncio.sleep(0.01)
        world.gate.set()
        await closing
    assert world.out == [b"a"]
    assert world.steps[-2:] == ["stop", "abandon"]


async def test_store_effects_come_before_the_transaction_and_failing_ones_are_tried_again() -> None:
    world = World()
    calls: list[int] = []

    async def effects(*_: object) -> None:
        calls.append(len(world.sent))
        if len(calls) == 1:
            raise ConnectionError("away")

    async with serving(world, effects=effects) as lane:
        feed(world, lane, b"a")
        await until(lambda: lane.counters.openings == 2)
        feed(world, lane, b"a")
        await until(lambda: world.sent)
    assert calls == [0, 0]
    assert world.out == [b"a"]


async def test_a_view_is_answered_when_what_it_saw_is_committed() -> None:
    world = World()
    async with serving(world) as lane:
        assert await lane.read(lambda core: core.count) == 0  # type: ignore[attr-defined]
        world.gate.clear()
        feed(world, lane, b"a")
        await until(lambda: lane._memory and lane._memory.pending)
        answer = asyncio.create_task(lane.read(lambda core: core.count))  # type: ignore[attr-defined]
        await asyncio.sleep(0.02)
        assert not answer.done()
        world.gate.set()
        assert await answer == 1


async def test_a_view_of_an_aborted_batch_is_computed_again() -> None:
    world = World()
    async with serving(world) as lane:
        world.gate.clear()
        world.errors.append(KafkaConnectionError("gone"))
        feed(world, lane, b"a")
        await until(lambda: lane._memory and lane._memory.pending)
        seen: list[int] = []

        def look(core: tables.batch.Core) -> int:
            seen.append(cast("Core", core).count)
            return seen[-1]

        answer = asyncio.create_task(lane.read(look))
        await asyncio.sleep(0.02)
        world.gate.set()
        assert await answer == 0
        assert seen == [1, 0]


async def test_a_view_is_refused_without_a_young_heartbeat() -> None:
    world = World()
    async with serving(world) as lane:
        world.heartbeat_at = world.now - 3.5
        with pytest.raises(UnavailableError, match="last answered"):
            await lane.read(lambda core: core)
        world.heartbeat_at = world.now
        await lane.close()
        with pytest.raises(UnavailableError, match="closed"):
            await lane.read(lambda core: core)


async def test_a_kind_without_changelog_commits_offsets_and_outputs_and_may_not_change_rows() -> None:
    world = World()
    lane = make_lane(world)
    lane.kind = dataclasses.replace(lane.kind, changelog=None)
    lane._edges = dataclasses.replace(lane._edges, open_store=None)
    lane.open(1)
    await until(lambda: lane.state == "serving")
    feed(world, lane, b"bad")
    await until(lambda: world.sent)
    assert (world.rejects, world.offset) == ([b"bad"], 1)
    feed(world, lane, b"a")
    await until(lambda: world.crashed)
    assert isinstance(world.crashed[0], CoreBugError)
    await lane.close()


@pytest.mark.parametrize("error", [KeyError("a batch"), asyncio.InvalidStateError(), asyncio.CancelledError()])
async def test_a_producer_that_does_not_close_cleanly_does_not_end_the_lane(error: BaseException) -> None:
    world = World()
    async with serving(world) as lane:
        world.errors.append(KafkaConnectionError("gone"))
        world.abandon_errors.append(error)
        feed(world, lane, b"a")
        await until(lambda: lane.counters.openings == 2)
        feed(world, lane, b"a")
        await until(lambda: world.sent)
    assert world.out == [b"a"]
    assert world.crashed == []


async def test_a_send_that_is_cancelled_under_the_lane_is_a_doubt_like_any_other() -> None:
    world = World()
    async with serving(world) as lane:
        world.errors.append(asyncio.CancelledError())
        feed(world, lane, b"a")
        await until(lambda: lane.counters.openings == 2)
        feed(world, lane, b"a")
        await until(lambda: world.sent)
    assert (world.out, world.offset, world.crashed) == ([b"a"], 1, [])


async def test_a_lane_that_ends_by_itself_stops_the_worker() -> None:
    world = World()
    async with serving(world) as lane:
        assert lane._task is not None
        lane._task.cancel()
        await until(lambda: world.crashed)
    assert isinstance(world.crashed[0], LaneDiedError)


def status_of(world: World, lane: Lane) -> str:
    """What the lane is called, from what it tells."""
    facts = Facts(
        "kind",
        0,
        lane.state,
        lane.paused_for,
        lane.lag(),
        None if lane.oldest_ms() is None else 1.0,
        world.now - lane.opening_since,
        world.now - lane.counters.progressed_at,
        lane.failures,
    )
    return judge(facts, 6.0).status


async def test_a_lane_held_up_by_a_lock_is_stuck_until_it_is_released() -> None:
    world, lock = World(), asyncio.Lock()

    async def effects(*_: object) -> None:
        async with lock:
            pass

    async with serving(world, effects=effects) as lane:
        world.now += 1_000
        assert status_of(world, lane) == "serving"  # with nothing to do, however long
        await lock.acquire()
        feed(world, lane, b"a", b"b", at_ms=7)
        await until(lambda: lane.paused_for)
        assert (lane.oldest_ms(), status_of(world, lane)) == (7, "serving")
        world.now += limits.STUCK_MS / 1000 + 10
        assert status_of(world, lane) == "stuck"
        lock.release()
        await until(lambda: world.sent)
        await until(lambda: lane.oldest_ms() is None)
        assert status_of(world, lane) == "serving"


async def test_a_lane_whose_every_try_fails_is_stuck_however_often_it_opens() -> None:
    world = World()
    async with serving(world) as lane:
        world.errors += [TimeoutError(f"try {n}") for n in range(3)]
        for openings in (2, 3):
            feed(world, lane, b"a")
            await until(lambda: lane.counters.openings == openings)  # noqa: B023 - it is awaited here
            world.now += 0.6 * limits.STUCK_MS / 1000
        assert (lane.failures, status_of(world, lane)) == (2, "stuck")
        assert lane.counters.abort_reasons == {"timeout": 2}
        world.errors.clear()
        feed(world, lane, b"a")
        await until(lambda: world.sent)
        await until(lambda: lane.failures == 0)
        assert status_of(world, lane) == "serving"


async def test_steps_are_timed_once_a_batch() -> None:
    world = World()
    async with serving(world) as lane:
        for value in (b"a", b"b"):
            feed(world, lane, value, b"more")
            await until(lambda: lane.oldest_ms() is None and lane.counters.batches)
        await until(lambda: lane.counters.records == 4)
    timed = {step: spread.cumulative()[-1][1] for step, spread in lane.counters.steps.items()}
    assert timed == {"apply": 2, "effects": 0, "send": 2, "commit": 2, "keep": 2}
    assert (lane.counters.batch_sizes.total, lane.counters.batch_sizes.cumulative()[-1][1]) == (4, 2)
    assert lane.counters.openings_s.cumulative()[-1][1] == lane.counters.recoveries.cumulative()[-1][1] == 1
