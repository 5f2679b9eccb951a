"""A session with Cassandra: tables made if need be, statements prepared, rows written in bounded runs.

The driver has its own thread; its answers come back through the loop, no query holds a thread. A session whose hosts
are all gone is thrown away and made anew: a restarted Cassandra is found again whatever the driver thinks of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.policies import DCAwareRoundRobinPolicy, FallthroughRetryPolicy, TokenAwarePolicy
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement, tuple_factory

from streams.batches.counters import STEP_BOUNDS_S, Spread
from streams.settings import Settings
from streams.sinks.making import Needed, OneNodePolicy
from streams.sinks.patience import AwayError
from streams.sinks.runs import Run
from topics import limits

T = TypeVar("T")

_REQUEST_S: Final = 5.0
_MAKE_S: Final = 15.0  # a table: the driver waits 10 s until the nodes agree on it
_CONNECT_S: Final = 3.0
_AGAIN_S: Final = 0.5  # after a failed connect nobody tries for so long: one is dear
_MAKING: Final = "making"  # the profile of what makes tables
_YIELD_EVERY: Final = 8  # statements bound before others get their turn on the loop


class Refusal(NamedTuple):
    """A row that Cassandra will never take.

    Attributes:
        at: index of it among those given.
        detail: what it said.
    """

    at: int
    detail: str


class Writing(Generic[T]):
    """What of some rows is still to be written, and what was refused."""

    def __init__(self, left: list[Run[T]]) -> None:
        self.left = left
        self.refused: list[Refusal] = []


#: A row as a statement takes it: which one, and its values as they go over the wire.
Row = tuple[str, Sequence[bytes | None]]


@dataclass(frozen=True, slots=True)
class _Connection:
    cluster: Cluster
    session: Session
    prepared: Mapping[str, PreparedStatement]


class CassandraSession:
    """Connects on first use and whenever the connection was lost.

    Args:
        settings: where Cassandra is.
        tables: what is needed, in the order of making it.
        statements: those used, by name.
    """

    def __init__(self, settings: Settings, tables: Sequence[Needed], statements: Mapping[str, str]) -> None:
        self._settings = settings
        self._tables = tables
        self._statements = statements
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None
        self._failed: tuple[float, str] | None = None
        self._closing = threading.Event()
        self.seconds = {"write": Spread(STEP_BOUNDS_S), "read": Spread(STEP_BOUNDS_S)}  #: of requests answered
        self._in_flight = asyncio.Semaphore(limits.STORE_IN_FLIGHT)

    async def connect(self) -> None:
        """Connect unless it is; the tables are there then.

        Raises:
            AwayError: Cassandra does not answer.
        """
        await self._connected()

    async def write(self, writing: Writing[T], row_of: Callable[[T], Row]) -> None:
        """Write what is left.

        Raises:
            AwayError: some is still left; try again.
        """
        connection = await self._connected()
        tasks: list[tuple[Run[T], asyncio.Task[list[Refusal]]]] = []
        try:
            for at, run in enumerate(writing.left):
                await self._in_flight.acquire()
                task = asyncio.create_task(self._write_run(connection, run, row_of))
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

    async def read(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """The rows that a statement finds.

        Raises:
            AwayError: Cassandra does not answer.
        """
        return (await self.read_all(statement, [values]))[0]

    async def read_all(self, statement: str, asked: Sequence[Sequence[object]]) -> list[list[tuple[Any, ...]]]:
        """The rows that a statement finds with each of these values, side by side.

        Raises:
            AwayError: Cassandra does not answer.
        """
        connection = await self._connected()
        prepared = connection.prepared[statement]
        began = time.perf_counter()
        try:
            found = await asyncio.gather(*(self._ask(connection, prepared.bind(values)) for values in asked))
        except InvalidRequest as error:  # its table was dropped, or is another's by that name
            raise self._lost(connection, error) from error
        self.seconds["read"].add(time.perf_counter() - began)
        return found

    async def close(self) -> None:
        """Disconnect. What is being made is waited for, what is to be made is not."""
        self._closing.set()
        if self._connecting is not None:
            with contextlib.suppress(AwayError):
                await self._connecting
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.to_thread(connection.cluster.shutdown)

    # -- writing -----------------------------------------------------------------------------------------------------

    async def _write_run(self, connection: _Connection, run: Run[T], row_of: Callable[[T], Row]) -> list[Refusal]:
        """Write a run; where it is refused, row by row, to find the bad one."""
        began = time.perf_counter()
        try:
            await self._ask(connection, _statement(connection, run, row_of))
            self.seconds["write"].add(time.perf_counter() - began)
        except (InvalidRequest, ValueError, struct.error) as error:
            if len(run.rows) == 1:
                return await self._write_again(connection, run, row_of, error)
            alone = [await self._write_run(connection, Run([row]), row_of) for row in run.rows]
            return [refusal for refusals in alone for refusal in refusals]
        return []

    async def _write_again(
        self, connection: _Connection, run: Run[T], row_of: Callable[[T], Row], error: Exception
    ) -> list[Refusal]:
        """A row is only given up if the table is there: it may have been dropped, or be another's by that name."""
        if not isinstance(error, InvalidRequest):
            return [Refusal(run.rows[0][0], f"{type(error).__name__}: {error}")]
        try:
            for needed in self._tables:  # all: what is known of them may be older than this error
                await self._ask(connection, needed.statement, _MAKING)
        except InvalidRequest as unmade:
            raise self._lost(connection, unmade) from unmade
        try:
            await self._ask(connection, _statement(connection, run, row_of))
        except InvalidRequest as again:
            return [Refusal(run.rows[0][0], str(again))]
        return []

    async def _ask(
        self,
        connection: _Connection,
        statement: Any,  # Any: the driver's
        profile: object = EXEC_PROFILE_DEFAULT,
    ) -> list[tuple[Any, ...]]:
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
            request = connection.session.execute_async(statement, execution_profile=profile)
            request.add_callbacks(tell, lambda error: tell(None, error))
            return await answer or []
        except InvalidRequest:
            raise
        except NoHostAvailable as error:
            raise self._lost(connection, error) from error
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
        try:
            async with asyncio.timeout(_REQUEST_S):
                return await asyncio.shield(self._connecting)
        except TimeoutError:  # it goes on; but whoever waits is told
            raise AwayError("cassandra", "it is being connected to, or its tables are being made") from None

    async def _connect(self) -> _Connection:
        try:
            given = self._settings, self._tables, self._statements, self._closing
            self._connection = await asyncio.to_thread(_open, *given)
        except Exception as error:
            self._failed = time.monotonic(), _brief(error)
            raise AwayError("cassandra", _brief(error)) from error
        else:
            return self._connection
        finally:
            self._connecting = None

    def _lost(self, connection: _Connection, error: Exception) -> AwayError:
        """All hosts are gone, or a table: the next use connects anew, and makes the tables."""
        if self._connection is connection:
            self._connection = None
            if isinstance(error, InvalidRequest):  # connecting may well succeed, and help nobody
                self._failed = time.monotonic(), _brief(error)
            asyncio.get_running_loop().run_in_executor(None, connection.cluster.shutdown)
        return AwayError("cassandra", _brief(error))


def _open(
    settings: Settings, tables: Sequence[Needed], statements: Mapping[str, str], closing: threading.Event
) -> _Connection:
    """Connects, makes what is missing, prepares; nothing more once it is `closing`. Blocks."""
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(settings.cassandra_datacenter)),
        retry_policy=FallthroughRetryPolicy(),  # whoever asks knows better whether to ask again
        consistency_level=ConsistencyLevel.name_to_value[settings.cassandra_consistency],
        request_timeout=_REQUEST_S,
        row_factory=tuple_factory,
    )
    making = ExecutionProfile(
        load_balancing_policy=OneNodePolicy(settings.cassandra_datacenter),
        retry_policy=FallthroughRetryPolicy(),  # another node might make it once more
        request_timeout=_MAKE_S,
    )
    cluster = Cluster(
        settings.cassandra_contact_points,
        port=settings.cassandra_port,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile, _MAKING: making},
        protocol_version=5,
        compression=False,
        connect_timeout=_CONNECT_S,
        control_connection_timeout=_CONNECT_S,
    )
    try:
        session = cluster.connect(wait_for_all_pools=True)  # else the first node there is would make tables
        for needed in _until(closing, tables):
            if not needed.is_in(cluster.metadata):
                session.execute(needed.statement, execution_profile=_MAKING)
        prepared = {name: session.prepare(statement) for name, statement in _until(closing, statements.items())}
    except BaseException:
        cluster.shutdown()
        raise
    return _Connection(cluster, session, prepared)


def _until(closing: threading.Event, steps: Iterable[T]) -> Iterator[T]:
    for step in steps:
        if closing.is_set():
            raise InterruptedError("nobody needs it any more")
        yield step


def _statement(connection: _Connection, run: Run[T], row_of: Callable[[T], Row]) -> Any:  # Any: the driver's
    """One statement for a run; one bound statement of each kind carries its rows into the batch."""
    bound: dict[str, BoundStatement] = {}

    def fill(row: T) -> BoundStatement:
        name, values = row_of(row)
        if (found := bound.get(name)) is None:
            found = bound[name] = BoundStatement(connection.prepared[name])
        found.values = values
        return found

    if len(run.rows) == 1:
        return fill(run.rows[0][1])
    batch = BatchStatement(BatchType.UNLOGGED)
    for _, row in run.rows:
        batch.add(fill(row))
    return batch


def _brief(error: Exception) -> str:
    """One line of what happened."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
