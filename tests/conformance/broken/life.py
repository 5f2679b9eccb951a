"""Gateways whose link lives otherwise than it must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from linkcast_gateway import Link, Session, kafka, wire
from linkcast_gateway.wire import Void
from tests.conformance.broken.base import (
    fed,
    gateway,
    of_life,
    of_link,
)


def takes_any_answer() -> None:
    async def answer_to(consumer: AIOKafkaConsumer, _: str) -> Any:
        while True:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    return wire.answers(record.value)[0].answer

    of_life.answer_to = answer_to


def registers_under_one_requester() -> None:
    of_life.uuid = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex="always-the-same"))


def waits_for_an_answer_without_end() -> None:
    of_life.TIMEOUT_MS = 1_000_000


def gives_up_when_it_is_refused() -> None:
    of_life._RETRY_S = 1_000.0


def reads_from_the_beginning() -> None:
    listen = kafka.listen

    async def from_beginning(consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        await listen(consumer, partition)
        await consumer.seek_to_beginning(partition)

    of_life.listen = from_beginning


def announces_before_it_listens() -> None:
    later: set[asyncio.Task[None]] = set()
    listen = kafka.listen

    async def in_a_while(consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        consumer.assign([TopicPartition("links", 0)])
        await consumer.seek_to_end()

        async def listens() -> None:
            await asyncio.sleep(18)  # longer than the kit waits for what a client is shown
            await listen(consumer, partition)

        later.add(asyncio.create_task(listens()))

    of_life.listen = in_a_while


def beats_seldom() -> None:
    of_life.BEAT_MS = 6_000


def beats_without_its_sessions() -> None:
    json_of = kafka.json_of
    of_life.json_of = lambda record: json_of({**record, "sessions": 0} if record["t"] == "beat" else record)


def keeps_connections_after_a_void() -> None:
    gateway.on_void = lambda _: None


def knows_voids_of_its_epoch_only() -> None:
    fed(lambda self, record: None if isinstance(record, Void) and record.epoch != self.epoch else record)


def takes_any_void_for_its_own() -> None:
    fed(lambda self, record: Void(self.link, self.epoch) if isinstance(record, Void) else record)


def goes_without_leaving() -> None:
    async def leave(*_: Any) -> None:
        return

    of_link._leave = leave


def keys_sessions_by_user_alone() -> None:
    produce = Link._produce

    async def other_key(self: Link, topic: str, key: str | None, value: bytes, partition: int | None = None) -> Any:
        key = key.split(":")[1] if key is not None and topic == "sessions" else key
        return await produce(self, topic, key, value, partition)

    of_link._produce = other_key


def tells_nobody_that_a_session_ended() -> None:
    async def down(self: Link, session: Session) -> None:
        self.sessions.pop(session.slot, None)

    of_link.down = down


def uses_slots_again() -> None:
    new_session = Link.new_session

    def lowest(self: Link, app: str, user: str, device: str) -> Session:
        self._next_slot = next(slot for slot in range(1_000) if slot not in self.sessions)
        return new_session(self, app, user, device)

    of_link.new_session = lowest


def gives_up_when_a_beat_is_late() -> None:
    beat = Link._beat

    async def hasty(self: Link, registration: Any) -> None:
        async with asyncio.timeout(1):
            await beat(self, registration)

    of_link._beat = hasty


VARIANTS: Final[dict[Callable[[], None], str]] = {
    takes_any_answer: "register",
    registers_under_one_requester: "register_again",
    waits_for_an_answer_without_end: "register_again",
    gives_up_when_it_is_refused: "refused_registration",
    reads_from_the_beginning: "position",
    announces_before_it_listens: "position",
    beats_seldom: "beat",
    beats_without_its_sessions: "beat",
    keeps_connections_after_a_void: "void",
    knows_voids_of_its_epoch_only: "void_of_a_later_epoch",
    takes_any_void_for_its_own: "foreign_void",
    goes_without_leaving: "leave",
    keys_sessions_by_user_alone: "session_up",
    tells_nobody_that_a_session_ended: "session_down",
    uses_slots_again: "slots",
    gives_up_when_a_beat_is_late: "broker_restart",
}
