"""What the Cassandra driver allows: given rows, grouped as well as can be beforehand, with nothing else to do.

It tries several shapes on a part of the rows and writes all of them in the best: unlogged batches of prepared
statements, each of one partition's rows, so many at once.

python -m jobs.bench.baselines.bare_driver 127.0.0.1 9042 bare rows.json
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

import msgspec
from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.concurrent import execute_concurrent
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import BatchStatement, BatchType, PreparedStatement

from streams.sinks import schema
from topics.messages import Message

_BATCH_ROWS: Final = (16, 64)
_AT_ONCE: Final = (8, 32, 128)
_TRIED_ROWS: Final = 6_000
_REQUEST_S: Final = 30.0
_TRIES: Final = 10


def main(host: str, port: int, keyspace: str, messages: Sequence[Message]) -> dict[str, Any]:
    """Rows a second of the best shape over all of the rows, and what every shape reached on the first of them."""
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy("datacenter1")),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=_REQUEST_S,
    )
    cluster = Cluster([host], port=port, execution_profiles={EXEC_PROFILE_DEFAULT: profile}, protocol_version=5)
    try:
        session = cluster.connect()
        for needed in schema.create(keyspace, 1):
            session.execute(needed.statement)
        insert = session.prepare(schema.insert(keyspace))
        _write(session, insert, messages[:_TRIED_ROWS], _BATCH_ROWS[0], _AT_ONCE[0])  # the first meets a cold store
        tried = {
            shape: _write(session, insert, messages[:_TRIED_ROWS], *shape) for shape in product(_BATCH_ROWS, _AT_ONCE)
        }
        best = max(tried, key=lambda shape: tried[shape])
        return {
            "rows_per_s": _write(session, insert, messages, *best),
            "batch_rows": best[0],
            "at_once": best[1],
            "tried": {f"{rows} rows, {at_once} at once": rate for (rows, at_once), rate in tried.items()},
        }
    finally:
        cluster.shutdown()


def _write(
    session: Session, insert: PreparedStatement, messages: Sequence[Message], batch_rows: int, at_once: int
) -> float:
    """Rows a second, from values to the last answer."""
    channels: dict[tuple[str, str, str, int], list[Message]] = {}
    for message in messages:
        key = message.app, message.group, message.channel, schema.bucket_of(message.seq)
        channels.setdefault(key, []).append(message)
    runs: Iterator[Sequence[Message]] = (
        rows[start : start + batch_rows] for rows in channels.values() for start in range(0, len(rows), batch_rows)
    )
    began = time.monotonic()
    for _ in range(_TRIES):
        if not (left := _failed(session, insert, runs, at_once)):
            return len(messages) / (time.monotonic() - began)
        runs = iter(left)  # timed out: again, as anybody would
    raise TimeoutError(f"{len(left)} batches of {batch_rows} rows, {at_once} at once, were not written")


def _failed(
    session: Session, insert: PreparedStatement, runs: Iterator[Sequence[Message]], at_once: int
) -> list[Sequence[Message]]:
    """Write each run as a batch, so many at once; gives those that were not written."""
    given: list[Sequence[Message]] = []

    def statements() -> Iterator[tuple[BatchStatement, None]]:
        for run in runs:
            given.append(run)
            yield _batch(insert, run), None

    results = execute_concurrent(session, statements(), concurrency=at_once, raise_on_first_error=False)
    return [run for run, result in zip(given, results, strict=True) if not result.success]


def _batch(insert: PreparedStatement, messages: Sequence[Message]) -> BatchStatement:
    batch = BatchStatement(BatchType.UNLOGGED)
    for message in messages:
        batch.add(insert, schema.values(message))
    return batch


if __name__ == "__main__":
    _, host_, port_, keyspace_, file = sys.argv
    print(
        json.dumps(main(host_, int(port_), keyspace_, msgspec.json.decode(Path(file).read_bytes(), type=list[Message])))
    )
