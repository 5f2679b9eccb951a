"""Faust's transport with whole record lists as events; the few overrides, each with its reason.

- `getmany` hands the agent what was fetched of a partition as one event (one event a record: 8,500 records/s; so:
  hundreds of thousands). It fetches only partitions whose lane is open and has room, so nothing waits inside Faust
  and one slow lane holds up no other.
- Commit, seek, read offsets and gap handling are the lanes': offsets travel in transactions, and committed offsets
  may be read only after the old owner is fenced, so Faust's seek after a rebalance is a round trip for nothing.
- The consumer reads committed records, is assigned by Faust's own assignor (which Faust uses only with tables) so
  that a partition's topics come together, and never skips by itself when an offset is gone.
- The time of the last successful heartbeat is kept: a view answers only while it is young.
- aiokafka's own tasks are looked after. Its coordination stands still from an error on until somebody asks for it, and
  who reads whole lots never does: without heartbeats the group gives the partitions away, and nobody here knows.

Everything about fetching is done in the consumer's own thread; lanes talk to it through coroutines sent there.
"""

# ruff: noqa: SLF001, ARG002 - overrides reach into what they override and keep its signatures
from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from typing import Any, Final, TypeVar, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
)
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.batches.connections import ended_task, let_go
from streams.batches.errors import ConsumerGoneError
from streams.batches.inputs import Fetched
from topics import limits

log = logging.getLogger(__name__)
T = TypeVar("T")

_LOT_RECORDS: Final = limits.BATCH_RECORDS
_FETCH_WAIT_MS: Final = 20  # aiokafka has one fetch a broker: a partition that wants more waits for the idle ones'
_PREFETCH_BACKOFF_S: Final = 0.01  # how long a partition with unread records holds up the others' fetch; shipped 0.1
_METADATA_AGE_MS: Final = 60_000
_WATCH_S: Final = 1.0

#: What no new membership mends.
_HOPELESS: Final = (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
)


class _NoOffsets(dict[TP, "int | None"]):
    """Faust drops records below the offset it read last; lanes go back on purpose, so it must not remember one."""

    def __getitem__(self, tp: TP) -> None:
        """Never an offset."""

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        """Forget it."""


class BatchThread(driver.AIOKafkaConsumerThread):
    """Owns aiokafka's consumer; all its methods but `run` are called in the consumer's thread."""

    def __post_init__(self) -> None:
        """Start with every partition closed."""
        super().__post_init__()
        self.heartbeat_at = 0.0
        self._openings: dict[TP, int] = {}
        self._wanted: set[TP] = set()
        self._told: dict[TP, tuple[int, bool | None]] = {}
        self._news = asyncio.Event()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the consumer's thread. Not through Faust's method queue: its two workers would stall each other."""
        if self.thread_loop.is_closed():
            work.close()
            raise ConsumerGoneError("the consumer's thread has ended")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))

    def tell(self, tp: TP, opening: int) -> None:
        """From any thread: the lane has room for `tp` again."""
        self.thread_loop.call_soon_threadsafe(self._want, tp, opening)

    def _want(self, tp: TP, opening: int) -> None:
        if self._openings.get(tp) == opening:
            self._wanted.add(tp)
            self._news.set()

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        app, conf = cast("Any", self.app), self.app.conf
        self._assignor = app.assignor
        return AIOKafkaConsumer(
            **app.kafka,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=limits.RECORD_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            metadata_max_age_ms=_METADATA_AGE_MS,
        )

    async def on_start(self) -> None:
        """Start the consumer and listen in on its heartbeats and fetches."""
        await super().on_start()
        consumer = self._ensure_consumer()
        coordinator, fetcher = consumer._coordinator, consumer._fetcher
        beat, fetch = coordinator._do_heartbeat, fetcher._proc_fetch_request

        async def heartbeat() -> bool:
            asked = time.monotonic()
            alive: bool = await beat()
            if alive:
                self.heartbeat_at = asked
            return alive

        async def fetched(*args: Any) -> bool:
            await fetch(*args)
            return True  # an empty answer is news too: it shows that a partition is at its end

        coordinator._do_heartbeat = heartbeat
        fetcher._proc_fetch_request = fetched
        fetcher._prefetch_backoff = _PREFETCH_BACKOFF_S
        self._watching = asyncio.create_task(self._watch(consumer), name="watch the consumer's tasks")

    async def on_thread_stop(self) -> None:
        """Let go of the consumer, also of one whose tasks ended before."""
        self._watching.cancel()
        await let_go(self._ensure_consumer())
        await super().on_thread_stop()

    async def _watch(self, consumer: AIOKafkaConsumer) -> None:
        """Hear of what goes wrong in aiokafka's tasks: what can be mended is, of anything else the worker stops."""
        app = cast("Any", self.app)
        try:
            while True:
                await asyncio.sleep(_WATCH_S)
                _look_after(consumer)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else would hear of it
            app.failure.get_loop().call_soon_threadsafe(app.fail, error)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """An assignment says as much as a heartbeat."""
        self.heartbeat_at = time.monotonic()
        await super().on_partitions_assigned(assigned, generation_id)

    async def committed(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Committed offsets; where there is none, the beginning of the log."""
        consumer = self._ensure_consumer()
        wanted = [TopicPartition(*tp) for tp in tps]
        found = dict(zip(wanted, await asyncio.gather(*map(consumer.committed, wanted)), strict=True))
        fresh = [tp for tp, offset in found.items() if offset is None or offset < 0]
        if fresh:
            found |= await consumer.beginning_offsets(fresh)
        return {TP(*tp): cast("int", offset) for tp, offset in found.items()}

    async def counts(self, topics: Iterable[str]) -> dict[str, int]:
        """How many partitions each topic has."""
        client = self._ensure_consumer()._client
        return {topic: len(await client._wait_on_metadata(topic)) for topic in topics}

    async def start_at(self, offsets: Mapping[TP, int], opening: int) -> None:
        """Seek and let be fetched; no await between, so nothing fetched before can pass as this opening's."""
        consumer = self._ensure_consumer()
        for tp, offset in offsets.items():
            consumer.seek(TopicPartition(*tp), offset)
            self._openings[tp] = opening
            self._wanted.add(tp)
            self._told[tp] = offset, None
        self._news.set()

    async def close_for(self, tps: Iterable[TP], opening: int) -> None:
        """Fetch these no longer, unless they were opened anew meanwhile."""
        for tp in tps:
            if self._openings.get(tp) == opening:
                del self._openings[tp]
                self._wanted.discard(tp)

    async def fetch(self, within_s: float) -> dict[TP, Fetched]:
        """What is new for open lanes: records, or the finding that a partition is at its end."""
        consumer = self._ensure_consumer()
        fetcher, subscriptions = consumer._fetcher, consumer._subscription
        until = time.monotonic() + within_s
        with subscriptions.fetch_context():
            while True:
                arrival = fetcher._create_fetch_waiter()
                self._news.clear()
                lots = await self._collect(consumer)
                left = until - time.monotonic()
                if lots or left <= 0 or consumer._closed:
                    arrival.cancel()
                    return lots
                news = asyncio.ensure_future(self._news.wait())
                await asyncio.wait({arrival, news}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                arrival.cancel()
                news.cancel()

    async def _collect(self, consumer: AIOKafkaConsumer) -> dict[TP, Fetched]:
        subscription = consumer._subscription.subscription
        if consumer._subscription.reassignment_in_progress or subscription is None or subscription.assignment is None:
            return {}
        wanted = {TopicPartition(*tp) for tp in self._wanted}
        records: Mapping[TopicPartition, list[Any]] = {}
        if wanted:  # an empty set would mean all; with a time-out of 0 this never gives up control
            records = await consumer._fetcher.fetched_records(wanted, timeout=0, max_records=_LOT_RECORDS)
        lots: dict[TP, Fetched] = {}
        for tp, opening in self._openings.items():
            state = subscription.assignment.state_value(TopicPartition(*tp))
            if state is None or not state.has_valid_position or state.lso is None:
                continue
            found = records.get(TopicPartition(*tp), [])
            told, now = self._told[tp], (state.position, state.position >= state.lso)
            if found or told != now:
                self._told[tp] = now
                lots[tp] = Fetched(opening, found, told[0], state.position, state.lso)
            if found:
                self._wanted.discard(tp)
        return lots


def _look_after(consumer: AIOKafkaConsumer) -> None:
    """Coordination waits until its error was asked for; a new membership begins its heartbeat anew.

    Raises:
        Exception: what would come again.
    """
    if (told := ended_task(consumer)) is not None:
        raise ConsumerGoneError(told)
    try:
        consumer._coordinator.check_errors()
    except _HOPELESS:
        raise
    except Exception as error:  # noqa: BLE001 - also defects: whatever ended the heartbeat, a new one is begun
        log.warning("the worker joins its group anew after %r", error)
        consumer._coordinator.request_rejoin()


class BatchConsumer(driver.Consumer):
    """Yields one event a fetched lot."""

    _thread: BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NoOffsets()

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def thread(self) -> BatchThread:
        """Where fetching happens."""
        return self._thread

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's
        """The lots of one round.

        None is held back for a rebalance: lots carry the opening they were fetched for, and lanes open after it.
        """
        for tp, lot in (await self._thread.run(self._thread.fetch(timeout))).items():
            yield tp, self._event(tp, lot)

    def _event(self, tp: TP, lot: Fetched) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            lot.position,
            time.time(),
            0,
            [],
            None,
            cast("Any", lot),
            None,
            None,
            None,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Lanes seek, after they fenced the old owner: before that, committed offsets read too low."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps are Faust's way to commit; here offsets travel in transactions."""

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Never: a late commit could turn offsets back."""
        return False

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Lanes count their own lag; Faust's watchdog knows nothing of them and would cry every minute."""


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with the consumer above."""

    Consumer = BatchConsumer
