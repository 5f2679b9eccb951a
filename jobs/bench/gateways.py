"""Links that are registered, as gateways register them: each beats until it leaves or registers anew."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from jobs.bench.lab import Trial
from jobs.bench.meanwhile import meanwhile, reader
from jobs.problem import Problem
from topics import catalog, limits
from topics.answers import AnswerLot, Registered
from topics.codec import encode
from topics.keys import partition_of
from topics.links import Beat, Leave, LinkRecord, Register
from topics.wire import LinkAddress

_WITHIN_S: Final = 60.0
_LOTS: Final = msgspec.json.Decoder(AnswerLot)


class Gateways:
    """See the module; made by `gateways`."""

    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, requester: str) -> None:
        self._producer = producer
        self._consumer = consumer
        self._requester = requester
        self._living: dict[str, LinkAddress] = {}

    async def register(self, link: str) -> tuple[LinkAddress, float]:
        """A link is there, or there again; and when it asked for that, by the broker's clock.

        Raises:
            Problem: it was refused, or nobody answers.
        """
        appended_ms = await self._tell(Register(link, self._requester))
        try:
            async with asyncio.timeout(_WITHIN_S):
                self._living[link] = await self._answer(link)
        except TimeoutError:
            raise Problem(f"Nobody registered the link {link} within {_WITHIN_S:.0f} s") from None
        return self._living[link], appended_ms

    async def leave(self, link: str) -> None:
        """A link is gone: its void follows."""
        address = self._living.pop(link)
        await self._tell(Leave(address.link, address.epoch))

    async def beat(self) -> None:
        """Keep them alive, for ever."""
        while True:
            for address in [*self._living.values()]:
                await self._tell(Beat(address.link, address.epoch))
            await asyncio.sleep(limits.LINK_BEAT_MS / 1000)

    async def _tell(self, record: LinkRecord) -> float:
        sent = await self._producer.send_and_wait(catalog.LINKS.name, encode(record), partition=0)
        return float(sent.timestamp)

    async def _answer(self, link: str) -> LinkAddress:
        known = self._living.get(link)
        while True:
            record = await self._consumer.getone()
            for entry in _LOTS.decode(record.value or b"").entries:
                answer = entry.answer
                if entry.requester != self._requester:
                    continue
                if not isinstance(answer, Registered):
                    raise Problem(f"The link {link} was not registered: {answer}")
                if answer.link == link and (known is None or answer.epoch > known.epoch):
                    return LinkAddress(link, answer.epoch, answer.partition)


@contextlib.asynccontextmanager
async def gateways(trial: Trial) -> AsyncIterator[Gateways]:
    """Links, for as long as this lasts."""
    requester = f"bench-{uuid.uuid4().hex[:12]}"
    mine = TopicPartition(catalog.ANSWERS.name, partition_of(requester.encode(), trial.settings.partitions))
    async with reader(trial, [mine]) as consumer, trial.producer(linger_ms=0, acks="all") as producer:
        links = Gateways(producer, consumer, requester)
        async with meanwhile(links.beat()):
            yield links
