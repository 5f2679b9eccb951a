"""One page's socket: frames wait in a bounded queue, and are written by one task, many at a time.

A socket too slow for its queue is closed, and pulls when it is back: memory is bounded whatever clients do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aiohttp import WSMsgType, web

from linkcast_gateway import Session

#: Close codes: the page connects again after each of these three.
VOID: Final = 4001
TOO_SLOW: Final = 4002
NOT_REGISTERED: Final = 4003
#: The page has a newer connection, and the same session goes on there.
TAKEN: Final = 4004
#: Another session of the person ended this one: the page stays away.
ENDED: Final = 4005
#: The page made a mistake and must not simply try again.
BAD_HELLO: Final = 4400

_QUEUE_FRAMES: Final = 4_000
_QUEUE_BYTES: Final = 2 << 20
_TOGETHER_BYTES: Final = 64 << 10
_TASKS: Final = 8
_CLOSE_S: Final = 5.0


class Connection:
    """One socket.

    Args:
        socket: where frames go.
        session: whose it is.
        abort: cuts the line to a client that does not even read that it is closed.
    """

    def __init__(self, socket: web.WebSocketResponse, session: Session, abort: Callable[[], None]) -> None:
        self.session = session
        self.groups: set[str] = set()  # those the session is live in
        self.driven: dict[str, str] = {}  # what it hears of groups unasked, where that is not messages
        self.said_goodbye = False  # the client ended it, for good
        self.watching: str | None = None  # the group whose people it is told of
        self._socket = socket
        self._abort = abort
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closing: tuple[int, bytes] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer = asyncio.create_task(self._write())

    def push(self, frame: bytes) -> None:
        """Send a frame, or close the socket if too much waits already."""
        if self._closing is not None:
            return
        if len(self._frames) >= _QUEUE_FRAMES or self._bytes + len(frame) > _QUEUE_BYTES:
            self.close(TOO_SLOW, b"too slow")
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        self._wake.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do something beside what comes next; it ends with the connection. False: too much is being done already."""
        if len(self._tasks) >= _TASKS:
            work.close()
            return False
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def close(self, code: int, why: bytes) -> None:
        """Close the socket; what waits is dropped."""
        if self._closing is None:
            self._closing = (code, why)
            self._frames.clear()
            self._writer.cancel()  # it may be waiting for the client to read

    async def ended(self) -> None:
        """The client is gone, or is being closed: wait until nothing is done for it any more."""
        if self._closing is None:
            self._writer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait([self._writer, *self._tasks])

    async def _write(self) -> None:
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await self._write_frames()
        if self._closing is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._socket.close(code=self._closing[0], message=self._closing[1])
        except (TimeoutError, ConnectionError):
            self._abort()

    async def _write_frames(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames:
                await self._socket.send_frame(self._next(), WSMsgType.TEXT)

    def _next(self) -> bytes:
        """The next frame; or those that wait, as a list, so that a burst costs the page few wake-ups."""
        together: list[bytes] = []
        size = 0
        while self._frames and (not together or size + len(self._frames[0]) <= _TOGETHER_BYTES):
            together.append(self._frames.popleft())
            size += len(together[-1])
        self._bytes -= size
        return together[0] if len(together) == 1 else b"[" + b",".join(together) + b"]"
