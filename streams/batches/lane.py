"""The life of one partition: opened, served batch by batch, closed; begun again whenever anything is in doubt.

One batch is one transaction: outputs, changed rows and input offsets become visible together or not at all. Opening
goes in one order only, because before the first step the others read too low:

1. the producer starts, which fences the old owner and ends what it left open;
2. the changelog is read into the local rows up to its end;
3. committed offsets are read;
4. rows of an older version are brought to the one that is known here;
5. a new core is made from the rows, and only now anything is fetched and served.

Memory is the truth while a lane serves; it is forgotten on every doubt: a failed or unknown commit, a lost lot, a
closed partition. A lane never opens itself against a newer owner: it waits for a heartbeat that says the group still
counts on it, and after being fenced for a new assignment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, thread_time
from typing import Final, TypeVar

import msgspec
from structlog.contextvars import bind_contextvars

from streams.batches.changelog import indexed
from streams.batches.clock import PartitionClock
from streams.batches.connections import cancelled_here
from streams.batches.counters import Counters, abort_reason
from streams.batches.errors import (
    FATAL,
    CoreBugError,
    FencedError,
    LaneDiedError,
    NotOwnerError,
    UnavailableError,
    said,
    where_raised,
)
from streams.batches.inputs import Batch, Fetched, Inputs
from streams.batches.kind import Edges, LaneKind
from streams.batches.producer import FENCED, Producer
from streams.batches.rejects import RejectShare
from streams.batches.size import BatchSize
from streams.batches.store import LocalStore, MemoryStore, State, StoreError
from tables.batch import Core, Outputs, Record
from tables.rows import LOCAL, Changes, Rows
from tables.versions import NewerStateError
from topics import limits

log = logging.getLogger(__name__)
T = TypeVar("T")

_START_S: Final = 15.0
_OFFSETS_S: Final = 15.0
_TRANSACTION_S: Final = 8.0  # shorter than the broker's 10 s: a doubt is ours to resolve, never a fence by time-out
_CLOSE_S: Final = 3.0
_FENCED_S: Final = 90.0  # longer than two rebalances, for the one that was under way may have to be begun again
_BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_NUDGE_S: Final = 1.0


@dataclass(frozen=True, eq=False)
class Applied:
    """A batch that memory holds and the log does not yet."""

    records: Sequence[Record]
    offsets: Mapping[str, int]
    outputs: Outputs
    changes: Changes
    now_ms: int
    settled: asyncio.Future[bool]


@dataclass
class _Memory:
    """All of a partition that is forgotten at once."""

    opening: int
    store: LocalStore
    rows: Rows
    core: Core
    inputs: Inputs
    clock: PartitionClock
    newest: asyncio.Future[bool] | None = None
    pending: list[Applied] = field(default_factory=list)
    full: set[str] = field(default_factory=set)
    failure: Exception | None = None
    ticked: bool = False
    began_s: float = -math.inf  # when the newest batch with records was taken


class Lane:
    """One partition of one kind."""

    def __init__(self, kind: LaneKind, partition: int, edges: Edges) -> None:
        self.kind = kind
        self.partition = partition
        self.counters = Counters()
        self.state = "closed"
        self.paused_for: str | None = None
        self.opening_since = -math.inf  #: when it ceased to serve, or was assigned; by the monotonic clock
        self._edges = edges
        self._topics = tuple(topic.name for topic in kind.inputs)
        self._producer: Producer | None = None
        self._memory: _Memory | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._news = asyncio.Event()
        self._serving = asyncio.Event()
        self._generation = -1
        self._failures = 0
        self._rejects = RejectShare()
        self._size = BatchSize()

    def __repr__(self) -> str:
        return f"{self.kind.name}/{self.partition}"

    @property
    def assigned(self) -> bool:
        """Whether the group gave the partition to this worker."""
        return self._task is not None

    # -- from outside ------------------------------------------------------------------------------------------------

    def open(self, generation: int) -> None:
        """The group assigned the partition: begin from nothing.

        Raises:
            LaneDiedError: it was closed, and does not end.
        """
        if self._task is not None:
            raise LaneDiedError(f"{self!r} does not end")
        self._generation = generation
        self._closing.clear()
        self._failures = 0
        self.opening_since = self.counters.progressed_at = self._edges.monotonic()
        self._task = asyncio.create_task(self._run(), name=f"lane {self}")
        self._task.add_done_callback(self._ended)

    async def close(self, within_s: float = _CLOSE_S) -> None:
        """Take no further batch, let the running commit finish for at most so long, forget everything.

        One at a time: who calls it while another closes would find the lane still at work.
        """
        self._closing.set()
        self._news.set()
        task = self._task
        if task is None:
            return
        if not self._serving.is_set():
            task.cancel()
        await asyncio.wait({task}, timeout=within_s)
        if not task.done():
            log.warning("%r: did not finish its commit within %.1f s; a new owner begins before it", self, within_s)
            task.cancel()
            await asyncio.wait({task}, timeout=within_s)
        if task.done():
            self._task = None

    def offer(self, topic: str, fetched: Fetched) -> None:
        """Records for this lane; what an earlier opening asked for is dropped."""
        memory = self._memory
        if memory is None or fetched.opening != memory.opening:
            return
        if not self._failures and self.oldest_ms() is None:
            self.counters.progressed_at = self._edges.monotonic()
        try:
            memory.inputs.offer(topic, fetched)
        except Exception as error:  # noqa: BLE001 - it is the lane's to handle, not Faust's
            memory.failure = error
        if fetched.records:
            memory.clock.heard(fetched.records[-1].timestamp)
            memory.full.add(topic)
        self._make_room(memory)
        self._news.set()

    async def read(self, fn: Callable[[Core], T], within_s: float = 5.0) -> T:
        """An answer from memory, given only when all that it rests on is committed.

        Args:
            fn: computes the answer; called again if a batch it saw was aborted.
            within_s: how long to wait for commits and for a lane that begins anew.

        Raises:
            UnavailableError: this worker may not own the partition, or did not get there in time.
        """
        try:
            async with asyncio.timeout(within_s):
                while True:
                    memory = self._require_owner()
                    answer = fn(memory.core)
                    newest = memory.newest
                    if newest is None or await asyncio.shield(newest):
                        self._require_owner()
                        return answer
                    await self._serving.wait()
        except TimeoutError:
            raise UnavailableError(f"{self!r}: no commit within {within_s} s") from None

    def _require_owner(self) -> _Memory:
        memory = self._memory
        if memory is None:
            raise UnavailableError(f"{self!r} is {self.state}")
        age_s = self._edges.monotonic() - self._edges.source.heartbeat_at
        if age_s > self._edges.session_s / 2:
            raise UnavailableError(f"{self!r}: the group last answered {age_s:.1f} s ago")
        return memory

    def lag(self) -> dict[str, int]:
        """Offsets not yet applied, by topic."""
        return {} if self._memory is None else self._memory.inputs.lag()

    def oldest_ms(self) -> int | None:
        """When the oldest record here was appended that is not committed yet; None if there is none."""
        memory = self._memory
        if memory is None:
            return None
        applied = [batch.records[0].at_ms for batch in memory.pending if batch.records]
        return min(applied, default=None) if applied else memory.inputs.oldest_ms()

    @property
    def failures(self) -> int:
        """How often it began anew since its last commit."""
        return self._failures

    @property
    def heartbeat_at(self) -> float:
        """When the group last answered, by the monotonic clock."""
        return self._edges.source.heartbeat_at

    # -- opening -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        bind_contextvars(kind=self.kind.name, partition=self.partition, generation=self._generation)
        while not self._closing.is_set():
            began = self._edges.monotonic()
            try:
                await self._open()
                self.counters.opening_s = self._edges.monotonic() - began
                self.counters.openings_s.add(self.counters.opening_s)
                await self._serve()
            except asyncio.CancelledError as error:
                if cancelled_here():
                    raise
                self._begins_anew(error)  # what it waited for was cancelled under it: a doubt like any other
            except FATAL as error:
                self._stop_worker(error)
                return
            except FENCED as error:
                self.counters.abort_reasons[abort_reason(error)] += 1
                await self._fenced(error)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing is lost by beginning anew
                if isinstance(error, TimeoutError):
                    self._size.took_too_long()
                self._begins_anew(error)
            finally:
                await self._forget()
            await self._back_off()

    def _begins_anew(self, error: BaseException) -> None:
        self.counters.aborts += 1
        self.counters.abort_reasons[abort_reason(error)] += 1
        self.paused_for = said(error)
        told = None if isinstance(error, OSError) else error
        log.warning("%r: begins anew after %s", self, self.paused_for, exc_info=told)

    async def _open(self) -> None:
        """The numbered order of the module's docstring; the generation is checked after every wait."""
        self.state = "opening"
        edges = self._edges
        await self._heartbeat_after(edges.monotonic() - edges.session_s / 2)
        self._producer = edges.make_producer()
        async with asyncio.timeout(_START_S):
            await self._producer.start()
        self._check_generation()
        began = perf_counter()
        store: LocalStore = MemoryStore() if edges.open_store is None else await edges.open_store()
        self.counters.recoveries.add(perf_counter() - began)
        try:
            self._check_generation()
            async with asyncio.timeout(_OFFSETS_S):
                offsets = await edges.source.committed(self._topics)
            self._check_generation()
            rows = Rows(store)
            await self._bring_up(rows, store)
            core = self._make_core(rows)
        except BaseException:
            store.close()
            raise
        clock = PartitionClock(edges.monotonic, store.state.clock_ms if store.state else 0)
        patient = [topic.name for topic in self.kind.patient]
        inputs = Inputs({topic: offsets[topic] for topic in self._topics}, patient=patient)
        self._memory = memory = _Memory(edges.openings(), store, rows, core, inputs, clock)
        await edges.source.start_at(offsets, memory.opening)
        self._check_generation()
        self.counters.openings += 1
        if not self._failures:
            self.counters.progressed_at = edges.monotonic()
        self.state = "serving"
        self.paused_for = None
        self._serving.set()

    def _make_core(self, rows: Rows) -> Core:
        if self.kind.version is not None:
            self.kind.version.stamp(rows)
        return self.kind.make_core(rows, self.partition)

    async def _bring_up(self, rows: Rows, store: LocalStore) -> None:
        """Bring older rows to the version known here: piece by piece, each a transaction of its own."""
        while (told := self._bring_up_a_piece(rows)) is not None:
            if told != self.paused_for:
                log.info("%r: %s", self, told)
            self.paused_for = told
            self._check_generation()
            changes = rows.take()
            if self.kind.index is not None:
                changes = indexed(changes, store, self.kind.index)
            clock_ms = store.state.clock_ms if store.state else 0
            piece = Applied([], {}, Outputs(), changes, clock_ms, asyncio.get_running_loop().create_future())
            async with asyncio.timeout(_TRANSACTION_S):
                ends = await self._send(piece)
                await self._end()
            self._keep(store, piece, ends)
            rows.settled()

    def _bring_up_a_piece(self, rows: Rows) -> str | None:
        if self.kind.version is None:
            return None
        try:
            return self.kind.version.bring_up(rows)
        except NewerStateError as error:
            raise NewerStateError(f"{self!r}: {error}") from None
        except StoreError:
            raise
        except Exception as error:
            raise CoreBugError(f"{self!r}: older rows cannot be brought up: {where_raised(error)}") from error

    def _check_generation(self) -> None:
        if self._edges.source.generation != self._generation:
            raise NotOwnerError(f"generation {self._generation} is over")

    async def _heartbeat_after(self, moment: float) -> None:
        """Wait until the group is known to have counted on this worker after `moment`.

        A worker that was frozen or cut off must not fence the partition's new owner.
        """
        while self._edges.source.heartbeat_at < moment:
            self.paused_for = "waiting for a heartbeat"
            await asyncio.sleep(0.05)

    async def _back_off(self) -> None:
        if self._closing.is_set():
            return
        self.state = "waiting"
        failed_at = self._edges.monotonic()
        pause = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._failures += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), pause)
            return
        waits = asyncio.ensure_future(self._heartbeat_after(failed_at))
        closes = asyncio.ensure_future(self._closing.wait())
        await asyncio.wait({waits, closes}, return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
        closes.cancel()

    async def _fenced(self, error: Exception) -> None:
        """Another owns the partition. Only a new assignment may open it here again."""
        log.warning("%r: fenced by a newer producer (%r); closed until the group assigns it again", self, error)
        self.state = "fenced"
        await self._forget()
        self.state = "fenced"
        try:
            await asyncio.wait_for(self._closing.wait(), _FENCED_S)
        except TimeoutError:
            self._stop_worker(FencedError(f"{self!r} was fenced {_FENCED_S:.0f} s ago and the group did not rebalance"))

    def _stop_worker(self, error: Exception, cause: BaseException | None = None) -> None:
        log.critical("%r: stops the worker: %s", self, error, exc_info=cause or error)
        self._edges.crash(error)

    async def _forget(self) -> None:
        """Drop all memory of the partition; what was applied and not committed never happened."""
        self.state = "closed"
        if self._serving.is_set():
            self.opening_since = self._edges.monotonic()
        self._serving.clear()
        memory, self._memory = self._memory, None
        producer, self._producer = self._producer, None
        if memory is not None:
            for applied in memory.pending:
                applied.settled.set_result(False)
            memory.pending.clear()
            memory.store.close()  # before anything is awaited: who is cancelled here must not keep it locked
        try:
            if memory is not None:
                with contextlib.suppress(Exception):  # the rebalance that closes us may have taken the partitions
                    await self._edges.source.stop(self._topics, memory.opening)
        finally:
            if producer is not None:
                await self._abandon(producer)

    async def _abandon(self, producer: Producer) -> None:
        """Let go of a producer; whatever goes wrong with it is no longer the lane's concern."""
        try:
            await producer.abandon()
        except asyncio.CancelledError:
            if cancelled_here():
                raise
            log.warning("%r: its old producer's tasks were cancelled under it", self)
        except Exception:
            log.warning("%r: its old producer did not close cleanly", self, exc_info=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A lane ends when it is closed, or having stopped the worker; never of itself and in silence."""
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and not self._closing.is_set():
            self._stop_worker(LaneDiedError(f"{self!r} ended by itself: {error!r}"), error)

    # -- serving -----------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Apply the next batch while the last one commits; one commit at a time, in order.

        A small batch is not begun while the last one commits: applied early, it would only wait, and what comes
        meanwhile would wait for the one after it. Nor one with a large record: while it is applied nothing is sent, so
        the last one's commit would wait for it.
        """
        memory = self._memory
        if memory is None:
            raise RuntimeError("serving needs memory")
        commit: asyncio.Task[None] | None = None
        try:
            while (batch := await self._next(memory, commit)) is not None:
                applied = await self._apply(memory, batch)
                if commit is not None:
                    await commit
                commit = asyncio.create_task(self._commit(memory, applied), name=f"commit {self}")
            if commit is not None:
                await commit
            self._touch(memory)
        except Exception:
            if commit is not None:
                await asyncio.wait({commit}, timeout=_TRANSACTION_S)  # better a known outcome than a doubt
            raise
        finally:
            if commit is not None:
                commit.cancel()
                await asyncio.gather(commit, return_exceptions=True)

    async def _next(self, memory: _Memory, commit: asyncio.Task[None] | None) -> Batch | None:
        """The next batch; one without records is a tick; None when closing."""
        while True:
            await asyncio.sleep(0)
            if self._closing.is_set():
                return None
            if memory.failure is not None:
                raise memory.failure
            if commit is not None and commit.done():
                await commit
                commit = None
            self._news.clear()
            due_in_s = self._due_in_s(memory)
            early_s = self._early_s(memory) if memory.inputs.ready else 0.0
            size = self._size.records, self._size.bytes(self.kind.batch_bytes)
            beside = memory.inputs.plenty(*size) and not memory.inputs.large
            gathers = early_s > 0 or (commit is not None and not beside)
            if memory.inputs.ready and not gathers and (memory.ticked or due_in_s != 0):
                memory.ticked = False
                memory.began_s = self._edges.monotonic()
                batch = memory.inputs.take(*size)
                self._make_room(memory)
                return batch
            if due_in_s == 0:
                memory.ticked = True
                return Batch([], {})
            news = asyncio.ensure_future(self._news.wait())
            waits = {news} if commit is None else {news, commit}
            limit = min(wait_s for wait_s in (due_in_s, early_s or None, _NUDGE_S) if wait_s is not None)
            done, _ = await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
            if not done and early_s <= 0:
                memory.full.update(self._topics)  # in case a lot got lost on its way: the next one shows the hole
                self._make_room(memory)

    def _early_s(self, memory: _Memory) -> float:
        """How long the next batch still gathers; the first after a pause never does."""
        gap_s = limits.PATIENT_GAP_MS / 1000 if memory.inputs.patient else self._edges.gap_s
        return max(0.0, memory.began_s + gap_s - self._edges.monotonic())

    @staticmethod
    def _due_in_s(memory: _Memory) -> float | None:
        """Seconds until a tick is wanted, 0 if it is due; None if none is or the clock stands still before it."""
        due_ms = memory.core.due_ms()
        if due_ms is None:
            return None
        idle = memory.inputs.idle
        now_ms = memory.clock.now_ms(idle=idle)
        if now_ms >= due_ms:
            return 0
        return (due_ms - now_ms) / 1000 if idle else None

    def _make_room(self, memory: _Memory) -> None:
        """Let topics be fetched again that brought records and have room for more."""
        for topic in [topic for topic in memory.full if memory.inputs.has_room(topic)]:
            memory.full.remove(topic)
            self._edges.source.tell(topic, memory.opening)

    async def _apply(self, memory: _Memory, batch: Batch) -> Applied:
        """Let the core decide; a record it raises on is set aside and the batch begun anew from the rows."""
        records = batch.records
        now_ms = memory.clock.applied(max((record.at_ms for record in records), default=0))
        poisoned = 0
        began, worked = perf_counter(), thread_time()
        while True:
            try:
                outputs = memory.core.apply(records, now_ms, batch.backlog)
                break
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - any handler's error concerns its record only
                records = self._set_aside(records, memory.core.applying, error)
                poisoned += 1
                self.counters.poisoned += 1
                memory.rows.discard()
                memory.core = self._make_core(memory.rows)
                self._rejects.check(len(records), poisoned)
                await asyncio.sleep(0)
        self._rejects.check(len(records), outputs.rejected)
        if records:
            self._size.wrote(len(records), outputs.size())
            size = sum([len(record.value) for record in records])
            self._size.applied(size, thread_time() - worked, batch.backlog.late_ms)
        settled = asyncio.get_running_loop().create_future()
        applied = Applied(records, batch.offsets, outputs, memory.rows.take(), now_ms, settled)
        self.counters.steps["apply"].add(perf_counter() - began)
        memory.pending.append(applied)
        memory.newest = settled
        return applied

    def _set_aside(self, records: list[Record], place: int, error: Exception) -> list[Record]:
        """The batch with the record that the core raised on marked as poison."""
        if not 0 <= place < len(records):
            raise CoreBugError(f"{self!r}: raised outside of a record: {where_raised(error)}") from error
        record = records[place]
        where = f"{record.topic}/{self.partition} at {record.offset}"
        if record.poison is not None:
            told = f"{self!r}: raised on a record that was set aside, {where}: {where_raised(error)}"
            raise CoreBugError(told) from error
        log.error("%r: sets %s aside: %s", self, where, where_raised(error))
        poisoned = msgspec.structs.replace(record, poison=f"{type(error).__name__}: {error}")
        return [*records[:place], poisoned, *records[place + 1 :]]

    # -- committing --------------------------------------------------------------------------------------------------

    async def _commit(self, memory: _Memory, applied: Applied) -> None:
        """1. effects on other stores 2. one transaction 3. the local rows 4. whoever waited for it."""
        steps = self.counters.steps
        if self.kind.store_effects is not None and (applied.records or applied.outputs.records):
            self.paused_for = "store effects"
            began = perf_counter()
            await self.kind.store_effects(applied.outputs, applied.records)
            steps["effects"].add(perf_counter() - began)
            self.paused_for = None
        if applied.offsets or applied.changes or applied.outputs.records:
            began = perf_counter()
            self._check_generation()
            async with asyncio.timeout(_TRANSACTION_S):
                ends = await self._send(applied)
                sent = perf_counter()
                await self._end()
            committed = perf_counter()
            self._keep(memory.store, applied, ends)
            steps["send"].add(sent - began)
            steps["commit"].add(committed - sent)
            steps["keep"].add(perf_counter() - committed)
            self.counters.transactions.add(committed - began)
        memory.rows.settled()
        memory.pending.remove(applied)
        applied.settled.set_result(True)
        self._failures = 0
        self._size.committed()
        self.counters.progressed_at = self._edges.monotonic()
        self._count(applied)

    async def _send(self, applied: Applied) -> dict[tuple[str, int], int]:
        """Begin the transaction and write all of it."""
        sends: dict[tuple[str, int], Sequence[tuple[bytes | None, bytes | None]]] = {**applied.outputs.records}
        if logged := [row for row in applied.changes.items() if not row[0].startswith(LOCAL)]:
            if self.kind.changelog is None:
                raise CoreBugError(f"{self!r} has no changelog, and its core changed rows")
            sends[self.kind.changelog.name, self.partition] = logged
        offsets = {(topic, self.partition): offset for topic, offset in applied.offsets.items()}
        return await self._running_producer.send(sends, offsets, self._edges.group)

    async def _end(self) -> None:
        """Commit the transaction."""
        await self._running_producer.commit()

    @property
    def _running_producer(self) -> Producer:
        if self._producer is None:
            raise NotOwnerError(f"{self!r} has no producer")
        return self._producer

    def _keep(self, store: LocalStore, applied: Applied, ends: Mapping[tuple[str, int], int]) -> None:
        """Write the committed rows and the changelog offset after them into the local copy."""
        state = store.state
        if state is None or self.kind.changelog is None:
            return
        offset = ends.get((self.kind.changelog.name, self.partition), state.offset)
        store.write(applied.changes, State(state.origin, offset, self._edges.wall_ms(), applied.now_ms))

    def _touch(self, memory: _Memory) -> None:
        """Up to now nothing was missed: the local copy is as young as this."""
        state = memory.store.state
        if state is not None:
            memory.store.write({}, msgspec.structs.replace(state, written_ms=self._edges.wall_ms()))

    def _count(self, applied: Applied) -> None:
        counters = self.counters
        counters.records += len(applied.records)
        counters.batches += bool(applied.records)
        if applied.records:
            counters.batch_sizes.add(len(applied.records))
        counters.ticks += not applied.records
        counters.rejects += applied.outputs.rejected
        counters.counts.update(applied.outputs.counts)
        counters.gauges |= applied.outputs.gauges
        self._rejects.add(len(applied.records), applied.outputs.rejected)
        for (topic, _), records in applied.outputs.records.items():
            counters.outputs[topic] += len(records)
            counters.bytes[topic] += sum(len(value) for _, value in records)
