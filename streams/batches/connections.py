"""aiokafka's connections on uvloop: one that broke under a write is an error of Kafka's, as on asyncio's own loop.

asyncio drops what is written to a connection that is gone; uvloop raises RuntimeError, which aiokafka catches nowhere:
the task that wrote dies, be it the heartbeat, the fetching of records or the refreshing of metadata, and its client
stands still for good, without a word. Importing this module mends it for every client in the process.
"""

# ruff: noqa: SLF001 - overrides reach into what they override
from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

log = logging.getLogger(__name__)

_STOP_S: Final = 5.0

_send = AIOKafkaConnection.send


def send(self: Any, request: Any, expect_response: bool = True) -> Any:
    """As aiokafka's, whatever the event loop makes of a connection that is gone."""
    try:
        return _send(self, request, expect_response)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


AIOKafkaConnection.send = send


def ended_task(consumer: AIOKafkaConsumer) -> str | None:
    """Which of the tasks that a started consumer lives by has ended, and of what; None if none has.

    aiokafka tells nobody: without them, a consumer finds no records, or no new leaders, for ever.
    """
    tasks = {
        "fetch task": consumer._fetcher._fetch_task,
        "coordination task": getattr(consumer._coordinator, "_coordination_task", None),  # only with a group
        "sync task": consumer._client._sync_task,
    }
    for name, task in tasks.items():
        if task is not None and task.done():
            return f"the consumer's {name} has ended: {None if task.cancelled() else task.exception()!r}"
    return None


def cancelled_here() -> bool:
    """Whether it is the running task that is cancelled.

    aiokafka also raises CancelledError on its own account: that of a task of its own, which it ended.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def let_go(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, in whatever state it is; what aiokafka then leaves open is closed."""
    try:
        async with asyncio.timeout(_STOP_S):
            await consumer.stop()
    except (Exception, asyncio.CancelledError) as error:  # it raises what its tasks died of
        for connection in consumer._client._conns.values():
            connection.close()
        if isinstance(error, asyncio.CancelledError) and cancelled_here():
            raise
        log.warning("a consumer did not stop cleanly: %r", error)
