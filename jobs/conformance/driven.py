"""The program under test: started, told what to do, and listened to. Never waited for without end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from jobs.conformance import protocol
from jobs.conformance.protocol import Happened, NotUnderstood, OfClient, Tell

_LINE_BYTES: Final = 4 << 20
_KILL_S: Final = 5.0
_LAST_WORDS: Final = 1_500

Event = TypeVar("Event", bound=Happened)


class Ended(Exception):  # noqa: N818 - what it did
    """The program ended, or said something that is no event."""


class Driven:
    """One run of the gateway's program.

    Args:
        command: how it is started.
        log: where its stderr goes.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.events: list[Happened] = []
        self.log = log
        self._command = command
        self._changed = asyncio.Condition()
        self._wrong: str | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        with self.log.open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=_LINE_BYTES,
                start_new_session=True,
            )
        self._reader = asyncio.create_task(self._listen(self._process))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (process := self._process) is None or self._reader is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_KILL_S):
                    await process.wait()
        with contextlib.suppress(ProcessLookupError):  # what it may have started as well
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        await asyncio.wait([self._reader])

    async def tell(self, what: Tell) -> None:
        """Tell it to do something.

        Raises:
            Ended: it is not there any more.
        """
        if self._process is None or self._process.stdin is None:
            raise Ended("the program was not started")
        try:
            self._process.stdin.write(protocol.encode(what) + b"\n")
            await self._process.stdin.drain()
        except ConnectionError:
            raise Ended(self._end()) from None

    async def heard(self, kind: type[Event], matches: Callable[[Event], bool], within_s: float) -> Event | None:
        """The first event of a kind that matches and was not heard before; None if none comes in time.

        Raises:
            Ended: nothing comes any more.
        """
        at = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._changed:
                while True:
                    for i in range(at, len(self.events)):
                        event = self.events[i]
                        if isinstance(event, kind) and matches(event):
                            del self.events[i]
                            return event
                    if self._wrong is not None:
                        raise Ended(self._wrong)
                    at = len(self.events)
                    await self._changed.wait()
        return None

    def seen_of(self, client: int) -> list[OfClient]:
        """What a client said that was not heard yet."""
        return [event for event in self.events if isinstance(event, OfClient) and event.client == client]

    async def ends(self, within_s: float) -> int | None:
        """The exit status; None if it still runs."""
        if self._process is None:
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                return await self._process.wait()
        return None

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        return self.log.read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        try:
            async for line in process.stdout:
                if not line.strip():
                    continue
                event = protocol.decode(line)
                if event is not None:
                    await self._add(event, None)
        except NotUnderstood as error:
            await self._add(None, f"it wrote a line that is no event ({error}): {line[:200]!r}; logs go to stderr")
        except ValueError:
            await self._add(None, f"it wrote a line longer than {_LINE_BYTES} bytes")
        else:
            await process.wait()
            await self._add(None, self._end())

    async def _add(self, event: Happened | None, wrong: str | None) -> None:
        async with self._changed:
            if event is not None:
                self.events.append(event)
            self._wrong = wrong
            self._changed.notify_all()

    def _end(self) -> str:
        status = self._process.returncode if self._process is not None else None
        return f"the program ended with status {status}" if status is not None else "the program closed its stdin"
