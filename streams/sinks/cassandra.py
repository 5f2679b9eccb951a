"""Messages in Cassandra: written in batches of one partition each, read by seq.

The driver has its own thread; its answers come back through the loop, no query holds a thread. A session whose hosts
are all gone is thrown away and made anew: a restarted Cassandra is found again whatever the driver thinks of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.policies import DCAwareRoundRobinPolicy, FallthroughRetryPolicy, TokenAwarePolicy
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement, tuple_factory

from streams.batches.counters import STEP_BOUNDS_S, Spread
from streams.settings import Settings
from streams.sinks import schema
from streams.sinks.patience import AwayError
from topics import limits
from topics.codec import encode
from topics.messages import USUAL_KIND, Message

log = logging.getLogger(__name__)

_REQUEST_S: Final = 5.0
_CONNECT_S: Final = 3.0
_AGAIN_S: Final = 0.5  # after a failed connect nobody tries for so long: one is dear
_YIELD_EVERY: Final = 8  # statements bound before others get their turn on the loop
_ROW_OVERHEAD: Final = 340  # a row's bytes as Cassandra counts them, besides its texts


class Refusal(NamedTuple):
    """A message that Cassandra will never take.

    Attributes:
        at: index of it among those given.
        detail: what it said.
    """

    at: int
    detail: str


@dataclass(slots=True)
class Run:
    """Messages that are written together.

    Attributes:
        messages: (index among those given, message).
        size: their bytes, about.
    """

    messages: list[tuple[int, Message]] = field(default_factory=list)
    size: int = 0

    def add(self, message: tuple[int, Message], size: int) -> None:
        """Take one more."""
        self.messages.append(message)
        self.size += size


@dataclass(frozen=True, slots=True)
class _Connection:
    cluster: Cluster
    session: Session
    insert: PreparedStatement
    select: PreparedStatement


class Writing:
    """What of some messages is still to be written, and what was refused."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.left = runs(messages)
        self.refused: list[Refusal] = []


class HistoryTable:
    """The table of history. It connects on first use and whenever the connection was lost."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None
        self._failed: tuple[float, str] | None = None
        self.seconds = {"write": Spread(STEP_BOUNDS_S), "read": Spread(STEP_BOUNDS_S)}  #: of requests answered
        self._in_flight = asyncio.Semaphore(limits.STORE_IN_FLIGHT)

    async def write(self, writing: Writing) -> None:
        """Write what is left.

        Raises:
            AwayError: some is still left; try again.
        """
        connection = await self._connected()
        tasks: list[tuple[Run, asyncio.Task[list[Refusal]]]] = []
        try:
            for at, run in enumerate(writing.left):
                await self._in_flight.acquire()
                task = asyncio.create_task(self._write_run(connection, run))
                task.add_done_callback(lambda _: self._in_flight.release())
                tasks.append((run, task))
                if at % _YIELD_EVERY == _YIELD_EVERY - 1:
                    await asyncio.sleep(0)
            if tasks:
                await asyncio.wait([task for _, task in tasks])
        except BaseException:
            for _, task in tasks:
                task.cancel()
            raise
        failed = [(run, error) for run, task in tasks if (error := task.exception()) is not None]
        writing.refused += [refusal for _, task in tasks if task.exception() is None for refusal in task.result()]
        writing.left = [run for run, _ in failed]
        if failed:
            raise failed[0][1]

    async def read(self, app: str, group: str, channel: str, low: int, high: int) -> dict[int, bytes]:
        """Those of a channel's messages from `low` up to `high` that are here, encoded as they travel.

        Raises:
            AwayError: Cassandra does not answer.
        """
        connection = await self._connected()
        buckets = range(schema.bucket_of(low), schema.bucket_of(high) + 1)
        asked = ((app, group, channel, bucket, low, high) for bucket in buckets)
        began = time.perf_counter()
        found = await asyncio.gather(*(self._ask(connection, connection.select.bind(values)) for values in asked))
        self.seconds["read"].add(time.perf_counter() - began)
        return {row[3]: _encoded(row) for rows in found for row in rows}

    async def close(self) -> None:
        """Disconnect."""
        if self._connecting is not None:
            with contextlib.suppress(AwayError):
                await self._connecting
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.to_thread(connection.cluster.shutdown)

    # -- writing -----------------------------------------------------------------------------------------------------

    async def _write_run(self, connection: _Connection, run: Run) -> list[Refusal]:
        """Write a run; where it is refused, row by row, to find the bad one."""
        began = time.perf_counter()
        try:
            await self._ask(connection, _statement(connection.insert, run))
            self.seconds["write"].add(time.perf_counter() - began)
        except (InvalidRequest, ValueError, struct.error) as error:
            if len(run.messages) == 1:
                return await self._write_again(connection, run, error)
            alone = [await self._write_run(connection, Run([message])) for message in run.messages]
            return [refusal for refusals in alone for refusal in refusals]
        return []

    async def _write_again(self, connection: _Connection, run: Run, error: Exception) -> list[Refusal]:
        """A row is only given up if the table is there: it may have been dropped, or be another's by that name."""
        if not isinstance(error, InvalidRequest):
            return [Refusal(run.messages[0][0], f"{type(error).__name__}: {error}")]
        for statement in schema.create(self._settings.keyspace, self._settings.cassandra_replication):
            await self._ask(connection, statement)
        try:
            await self._ask(connection, _statement(connection.insert, run))
        except InvalidRequest as again:
            return [Refusal(run.messages[0][0], str(again))]
        return []

    async def _ask(self, connection: _Connection, statement: Any) -> list[tuple[Any, ...]]:  # Any: the driver's
        """One request's rows.

        Raises:
            AwayError: the same may succeed later.
            InvalidRequest: it never will.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[tuple[Any, ...]] | None] = loop.create_future()

        def settle(rows: list[tuple[Any, ...]] | None, error: Exception | None) -> None:
            if answer.done():  # its waiter was cancelled
                return
            if error is None:
                answer.set_result(rows)
            else:
                answer.set_exception(error)

        def tell(rows: list[tuple[Any, ...]] | None, error: Exception | None = None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before its answer
                loop.call_soon_threadsafe(settle, rows, error)

        try:
            request = connection.session.execute_async(statement)
            request.add_callbacks(tell, lambda error: tell(None, error))
            return await answer or []
        except InvalidRequest:
            raise
        except NoHostAvailable as error:
            self._drop(connection)
            raise AwayError("cassandra", _brief(error)) from error
        except Exception as error:  # whatever the driver or the node met: a time-out, a lost connection, overload
            raise AwayError("cassandra", _brief(error)) from error

    # -- connecting --------------------------------------------------------------------------------------------------

    async def _connected(self) -> _Connection:
        if self._connection is not None:
            return self._connection
        if self._failed is not None and time.monotonic() < self._failed[0] + _AGAIN_S:
            raise AwayError("cassandra", self._failed[1])
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, if by no one
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Connection:
        try:
            self._connection = await asyncio.to_thread(_open, self._settings)
        except Exception as error:
            self._failed = time.monotonic(), _brief(error)
            raise AwayError("cassandra", _brief(error)) from error
        else:
            return self._connection
        finally:
            self._connecting = None

    def _drop(self, connection: _Connection) -> None:
        """All hosts are gone: the next use connects anew."""
        if self._connection is connection:
            self._connection = None
            asyncio.get_running_loop().run_in_executor(None, connection.cluster.shutdown)


def _open(settings: Settings) -> _Connection:
    """Connects, makes the table if need be, prepares. Blocks."""
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(settings.cassandra_datacenter)),
        retry_policy=FallthroughRetryPolicy(),  # whoever asks knows better whether to ask again
        consistency_level=ConsistencyLevel.name_to_value[settings.cassandra_consistency],
        request_timeout=_REQUEST_S,
        row_factory=tuple_factory,
    )
    cluster = Cluster(
        settings.cassandra_contact_points,
        port=settings.cassandra_port,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        protocol_version=5,
        compression=False,
        connect_timeout=_CONNECT_S,
        control_connection_timeout=_CONNECT_S,
    )
    try:
        session = cluster.connect()
        for statement in schema.create(settings.keyspace, settings.cassandra_replication):
            session.execute(statement)
        insert = session.prepare(schema.insert(settings.keyspace))
        select = session.prepare(schema.select(settings.keyspace))
    except BaseException:
        cluster.shutdown()
        raise
    return _Connection(cluster, session, insert, select)


def _statement(insert: PreparedStatement, run: Run) -> Any:  # Any: the driver's
    """One statement for a run, its values serialized here; one bound statement carries each row into the batch."""
    bound = BoundStatement(insert)
    if len(run.messages) == 1:
        bound.values = schema.serialized(run.messages[0][1])
        return bound
    batch = BatchStatement(BatchType.UNLOGGED)
    for _, message in run.messages:
        bound.values = schema.serialized(message)
        batch.add(bound)
    return batch


def _encoded(row: tuple[Any, ...]) -> bytes:
    app, group, channel, seq, prev, counter, version, map_, sender, device, client_id, at, body, kind, *rest = row
    kind = USUAL_KIND if kind == USUAL_KIND else kind
    return encode(
        Message(
            *(app, group, channel, seq, prev, counter, version, map_, sender, device, client_id, at),
            msgspec.Raw(body),
            kind,
            *rest,
        )
    )


def runs(messages: Iterable[Message]) -> list[Run]:
    """Messages in the runs to write: those of a partition together, in order, and lone ones of several partitions."""
    whole: list[Run] = []
    open_: dict[tuple[str, str, str, int], Run] = {}
    for index, message in enumerate(messages):
        key = message.app, message.group, message.channel, schema.bucket_of(message.seq)
        size = _size(message)
        run = open_.get(key)
        if run is None or len(run.messages) == limits.STORE_BATCH_ROWS or run.size + size > limits.STORE_BATCH_BYTES:
            open_[key] = run = Run()
            whole.append(run)
        run.add((index, message), size)
    return _packed(whole)


def _size(m: Message) -> int:
    """A row's bytes, rather too many."""
    ids = len(m.app) + len(m.group) + len(m.channel) + len(m.sender) + len(m.device) + len(m.client_id)
    return _ROW_OVERHEAD + ids + len(m.kind) + len(bytes(m.body))


def _packed(whole: Iterable[Run]) -> list[Run]:
    """Small runs of several partitions as one: a request costs the driver ten times what a row does."""
    packed: list[Run] = []
    last, partitions = Run(), limits.STORE_PACK_PARTITIONS
    for run in whole:
        if run.size > limits.STORE_PACK_BYTES:
            packed.append(run)
            continue
        if partitions == limits.STORE_PACK_PARTITIONS or last.size + run.size > limits.STORE_PACK_BYTES:
            last, partitions = Run(), 0
            packed.append(last)
        last.messages += run.messages
        last.size += run.size
        partitions += 1
    return packed


def _brief(error: Exception) -> str:
    """One line of what happened."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
