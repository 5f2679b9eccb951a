"""A back end without a session: writes commands and messages, and waits for their answers.

The moment from which a command counts is the broker's append time of its record; the moment of an answer is this
machine's clock when its record was read. Broker and reader share the clock of one machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from jobs.bench.lab import Trial
from jobs.bench.meanwhile import meanwhile, reader
from jobs.bench.world import APP
from jobs.problem import Problem
from topics import catalog
from topics.answers import Accepted, AnswerLot, Applied, Refused
from topics.codec import encode
from topics.keys import key_of, partition_of
from topics.messages import Send
from topics.relations import Asked
from topics.wire import ToRequester

_WITHIN_S: Final = 120.0
_POLL_MS: Final = 1_000
_LOTS: Final = msgspec.json.Decoder(AnswerLot)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that was applied.

    Attributes:
        appended_ms: when its record was appended, by the broker.
        answered_ms: when its answer was read here.
        version: the group's version after it.
        changed: how many users or things it changed.
    """

    appended_ms: float
    answered_ms: float
    version: int
    changed: int


class Caller:
    """See the module; made by `calling`."""

    def __init__(self, trial: Trial, producer: AIOKafkaProducer, requester: str) -> None:
        self._partitions = trial.settings.partitions
        self._producer = producer
        self._reply = ToRequester(requester)
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[tuple[Accepted | Refused | Applied, float]]] = {}

    async def ask(self, command: Asked) -> Done:
        """Write one command and wait for its answer.

        Raises:
            Problem: it was refused, or nobody answers.
        """
        request = f"r{next(self._numbers)}"
        asked = msgspec.structs.replace(command, request=request, reply=self._reply)
        appended_ms, answer, at_ms = await self._asked(catalog.RELATIONS.name, asked, request)
        if not isinstance(answer, Applied):
            raise Problem(f"A command of the benchmark was not applied: {answer}")
        return Done(appended_ms, at_ms, answer.version, answer.changed)

    async def ask_all(self, commands: Iterable[Asked], at_once: int = 1) -> list[Done]:
        """Write commands in order, with so many of them not answered yet; the last one's answer ends it."""
        done: list[Done] = []
        open_: deque[asyncio.Task[Done]] = deque()
        for command in commands:
            open_.append(asyncio.create_task(self.ask(command)))
            await asyncio.sleep(0)  # so that it is written before the next one
            if len(open_) >= at_once:
                done.append(await open_.popleft())
        return done + [await task for task in open_]

    async def say(self, group: str, channel: str, sender: str) -> Accepted:
        """Send a message as a member and wait for its answer.

        Raises:
            Problem: it was refused, or nobody answers.
        """
        client_id = f"c{next(self._numbers)}"
        tried_at = int(time.time() * 1000)
        send = Send(APP, group, sender, "d", client_id, tried_at, msgspec.Raw(b'"hello"'), channel, reply=self._reply)
        _, answer, _ = await self._asked(catalog.MESSAGES.name, send, client_id)
        if not isinstance(answer, Accepted):
            raise Problem(f"A message of the benchmark was not accepted: {answer}")
        return answer

    async def _asked(
        self, topic: str, record: Asked | Send, name: str
    ) -> tuple[float, Accepted | Refused | Applied, float]:
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        key = key_of(record.app, record.group)
        sent = await self._producer.send(topic, encode(record), key, partition_of(key, self._partitions))
        try:
            async with asyncio.timeout(_WITHIN_S):
                appended = await sent
                answer, at_ms = await future
        except TimeoutError:
            raise Problem(f"Nobody answered within {_WITHIN_S:.0f} s: {str(record)[:200]}") from None
        finally:
            del self._waiting[name]
        return float(appended.timestamp), answer, at_ms

    async def read(self, consumer: AIOKafkaConsumer) -> None:
        """Hand each answer to who waits for it, for ever."""
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                at_ms = time.time() * 1000
                for record in records:
                    self._take(record.value or b"", at_ms)

    def _take(self, lot: bytes, at_ms: float) -> None:
        for entry in _LOTS.decode(lot).entries:
            answer = entry.answer
            if entry.requester != self._reply.requester or not isinstance(answer, Accepted | Refused | Applied):
                continue
            name = answer.client_id if isinstance(answer, Accepted) else answer.request
            if name is None and isinstance(answer, Refused):
                name = answer.client_id
            if name is not None and (future := self._waiting.get(name)) is not None and not future.done():
                future.set_result((answer, at_ms))


@contextlib.asynccontextmanager
async def calling(trial: Trial) -> AsyncIterator[Caller]:
    """A caller, for as long as this lasts."""
    requester = f"bench-{uuid.uuid4().hex[:12]}"
    mine = TopicPartition(catalog.ANSWERS.name, partition_of(requester.encode(), trial.settings.partitions))
    async with reader(trial, [mine]) as consumer, trial.producer(linger_ms=0, acks="all") as producer:
        caller = Caller(trial, producer, requester)
        async with meanwhile(caller.read(consumer)):
            yield caller
