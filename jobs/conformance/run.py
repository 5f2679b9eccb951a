"""Plays cases, some at once, each with a run of the gateway's program of its own, and gives a verdict on each."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from jobs.conformance import protocol
from jobs.conformance.case import Case
from jobs.conformance.driven import Driven
from jobs.conformance.played import Played
from jobs.conformance.scene import Scene, Wrong
from jobs.conformance.view import View

Outcome = Literal["kept", "broken", "not checked"]
Told = Callable[["Verdict"], None]
#: Stops the broker, and starts it again after so many seconds.
Bounce = Callable[[float], Awaitable[None]]

#: How long a gateway may take for anything, unless said otherwise.
PATIENCE_S: Final = 10.0
#: Cases that are played at once, unless said otherwise.
AT_ONCE: Final = 4
#: The longest that any case may take, whatever it waits for.
CASE_S: Final = 120.0

_AWAY_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a case found.

    Attributes:
        case: its name.
        rule: the sentence of the contract.
        outcome: whether the gateway keeps it.
        expected: what it should have done; empty when it did.
        seen: what it did instead.
        todo: what a gateway writer may do about it.
        log: the end of what the program wrote to stderr.
        seconds: how long it took.
    """

    case: str
    rule: str
    outcome: Outcome
    expected: str = ""
    seen: str = ""
    todo: str = ""
    log: str = ""
    seconds: float = 0.0


class Kit:
    """Plays cases on one broker.

    Args:
        played: the pipeline.
        folder: for the programs' logs.
        patience_s: how long a gateway may take for anything.
        bounce: stops and starts the broker; None where it is not ours.
    """

    def __init__(
        self,
        played: Played,
        folder: Path,
        patience_s: float = PATIENCE_S,
        bounce: Bounce | None = None,
    ) -> None:
        self._played = played
        self._folder = folder
        self._patience_s = patience_s
        self._bounce = bounce
        self._view = View()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connected to the broker, with a view that is served, for as long as this lasts."""
        async with self._view.served(), self._played.opened():
            yield

    async def judge(
        self, command: Sequence[str], cases: Sequence[Case], at_once: int = AT_ONCE, told: Told | None = None
    ) -> list[Verdict]:
        """Play cases to a gateway; those that restart the broker come last, one by one.

        Args:
            command: starts the gateway's program.
            cases: which.
            at_once: how many at the same time.
            told: hears each verdict as soon as there is one.
        """
        turns = asyncio.Semaphore(at_once)

        async def play(case: Case) -> Verdict:
            async with turns:
                verdict = await self.verdict(command, case)
            if told is not None:
                told(verdict)
            return verdict

        quiet = [case for case in cases if not case.restarts]
        found = {verdict.case: verdict for verdict in await asyncio.gather(*map(play, quiet))}
        for case in cases:
            if case.restarts:
                found[case.name] = await play(case)
        return [found[case.name] for case in cases]

    async def verdict(self, command: Sequence[str], case: Case) -> Verdict:
        """Play one case."""
        if case.restarts and self._bounce is None:
            return Verdict(case.name, case.rule, "not checked", seen="the broker is not the kit's own: left alone")
        began = time.monotonic()
        log = self._folder / f"{case.name}-{uuid.uuid4().hex[:6]}.log"
        wrong: Wrong | None = None
        words = ""
        try:
            async with self._scene(command, log) as scene, asyncio.timeout(CASE_S):
                await case.play(scene)
                scene.refuse_strange()
        except Wrong as found:
            wrong = found
        except TimeoutError:
            wrong = Wrong(f"an end within {CASE_S:.0f} s", "the case still went on")
        seconds = time.monotonic() - began
        if wrong is None:
            return Verdict(case.name, case.rule, "kept", seconds=seconds)
        words = log.read_bytes()[-_LOG_BYTES:].decode(errors="replace").strip() if log.exists() else ""
        return Verdict(case.name, case.rule, "broken", wrong.expected, wrong.seen, case.todo, words, seconds)

    @asynccontextmanager
    async def _scene(self, command: Sequence[str], log: Path) -> AsyncIterator[Scene]:
        """A link of its own, with an app of its own."""
        name = uuid.uuid4().hex[:8]
        link, app = f"link-{name}", f"app-{name}"
        history = self._view.open(app)
        # An epoch before the link's own has to exist.
        await self._played.write("links", 0, {"t": "clock"})
        with self._played.inbox(link, app) as inbox:
            async with Driven(command, log) as gateway:
                start = protocol.Start(self._played.kafka, link, app, self._view.url, history.token)
                scene = Scene(link, app, gateway, self._played, inbox, history, self._patience_s, restart=self._restart)
                await scene.tell(start)
                yield scene

    async def _restart(self) -> None:
        """The broker goes away for a while; the kit's own clients go on by themselves."""
        if self._bounce is not None:
            await self._bounce(_AWAY_S)


_LOG_BYTES: Final = 1_500


def broken(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those in which the gateway did not keep the contract."""
    return [verdict for verdict in verdicts if verdict.outcome == "broken"]
