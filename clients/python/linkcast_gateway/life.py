"""The life of a link on Kafka: one registration after the other, each read until it is void.

What it guarantees: its position is fixed before anybody hears of the registration; beats go on whatever is read; on a
schema version that came later it ends, and says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError

from linkcast_gateway import wire
from linkcast_gateway.asks import Asks
from linkcast_gateway.errors import (
    GatewayError,
    KafkaAwayError,
    NotRegisteredError,
    StoppedError,
    UnknownVersionError,
)
from linkcast_gateway.handler import UNSAID, Handler, Registration, Session
from linkcast_gateway.kafka import (
    READ_MS,
    answer_to,
    cancelled_here,
    consumer_of,
    error_of,
    json_of,
    listen,
    listen_for_answer,
    log_failure,
    partition_of,
    producer_of,
    refuse_ended,
    started,
)
from linkcast_gateway.state import (
    Answered,
    Closed,
    Deliver,
    Driven,
    Event,
    Forgotten,
    Gone,
    Granted,
    Grounded,
    LinkState,
    Live,
    Mentioned,
    Missed,
    Noticed,
    Resync,
    Told,
)
from linkcast_gateway.wire import Changed, Ended, Head, Message, PresenceOut, Resumed, Signal, Unread

log = logging.getLogger(__name__)

# The contract's limits.
BEAT_MS: Final = 1_000
TIMEOUT_MS: Final = 10_000

_RETRY_S: Final = 1.0
_ENDS: Final = {"lost", "down"}
_OF_SESSION: Final = ("app", "user", "link", "epoch", "slot")


class Life:
    """Registers, beats, reads and hands on, again and again until stopped.

    Args:
        link: the link's id.
        kafka: brokers to ask first.
        handler: hears what happens.
        about: what the pipeline is told of the link.
    """

    def __init__(self, link: str, kafka: str, handler: Handler, about: dict[str, str]) -> None:
        self.id = link
        self.registration: Registration | None = None
        self.state: LinkState | None = None
        self.sessions: dict[int, Session] = {}
        self.failure: GatewayError | None = None
        self._kafka = kafka
        self._handler = handler
        self._about = about
        self._producer: AIOKafkaProducer | None = None
        self._asks = Asks()
        self._held: dict[int, int] = {}  # slots of lost sessions -> until when they may go on here
        self._unsaid: dict[int, tuple[Session, dict[str, Any]]] = {}  # by slot: ends that Kafka did not take
        self._order: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)  # by partition of `sessions`
        self._next_slot = 0
        self._changed = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin to live; does not wait for the registration."""
        self.failure = None
        self._life = asyncio.create_task(self._live(), name=f"link-{self.id}")

    async def registered(self) -> Registration:
        """Wait for a living registration.

        Raises:
            StoppedError: the link is not started.
            UnknownVersionError: it has given up.
        """
        while self.registration is None:
            if self.failure is not None:
                raise self.failure
            if self._life is None:
                raise StoppedError("the link is not started: call start, or use `async with`")
            self._changed.clear()
            await self._changed.wait()
        return self.registration

    async def closed(self) -> None:
        """Wait until the link is stopped, or gives up.

        Raises:
            UnknownVersionError: it has given up.
        """
        while self.failure is None and self._life is not None:
            self._changed.clear()
            await self._changed.wait()
        if self.failure is not None:
            raise self.failure

    async def stop(self) -> None:
        """Leave, so that the pipeline need not wait for silence, and let go of Kafka. What was sent goes out first."""
        if self._life is None:
            return
        life, self._life = self._life, None
        if self.registration is not None:
            await self._leave(self.registration)
        for _ in range(2):  # the second one also ends a producer that waits for a broker that is away
            life.cancel()
            await asyncio.wait([life], timeout=TIMEOUT_MS / 2000)
        self._changed.set()

    # One registration after the other.

    async def _live(self) -> None:
        """Live until stopped. A producer is kept for as long as it is sound."""
        while self._life is not None:
            try:
                producer = producer_of(self._kafka, f"link-{self.id}")
                async with started(producer):
                    self._producer = producer
                    await self._register_and_serve(producer)
            except wire.LaterVersion as later:
                self._fail(UnknownVersionError(later.version, wire.SCHEMA))
                return
            except (KafkaError, TimeoutError) as error:
                log.warning("link %s: %s %s; registers anew", self.id, type(error).__name__, error)
            except asyncio.CancelledError:
                if cancelled_here():
                    raise
                log.warning("link %s: what it waited for was cancelled under it; registers anew", self.id)
            except Exception:
                log.exception("link %s: a defect, here or in the handler; registers anew", self.id)
            await asyncio.sleep(_RETRY_S)

    async def _register_and_serve(self, producer: AIOKafkaProducer) -> None:
        while self._life is not None:
            consumer = consumer_of(self._kafka, f"link-{self.id}")
            async with started(consumer):
                try:
                    # One that took longer might have been void before its partition was listened to.
                    async with asyncio.timeout(TIMEOUT_MS / 2000):
                        registration = await self._register(producer, consumer)
                except TimeoutError:
                    log.warning("link %s: no answer yet; registers anew", self.id)
                    continue
                if registration is None:
                    await asyncio.sleep(_RETRY_S)
                    continue
                try:
                    self._begin(registration)
                    await self._serve(registration, consumer)
                finally:
                    self._end()

    async def _register(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> Registration | None:
        """Ask, wait for the answer, and fix the position in the partition given; None if refused."""
        requester = uuid.uuid4().hex  # fresh, so that no old answer is taken for this one's
        await listen_for_answer(consumer, len(await producer.partitions_for("answers")), requester)
        register = {"t": "register", "link": self.id, "requester": requester, **self._about}
        await producer.send_and_wait("links", json_of(register), key=self.id.encode())
        answer = await answer_to(consumer, requester)
        if not isinstance(answer, wire.Registered):
            log.warning("link %s is refused: %s", self.id, getattr(answer, "code", answer))
            return None
        await listen(consumer, TopicPartition("deliveries", answer.partition))
        return Registration(answer.epoch, answer.partition, answer.partitions)

    async def _serve(self, registration: Registration, consumer: AIOKafkaConsumer) -> None:
        """Beat until the registration is dead; read, and say what else there is to say, beside it."""
        state = self.state = LinkState(self.id, registration.epoch)
        beside = [
            asyncio.create_task(self._read(state, consumer)),
            asyncio.create_task(self._tend(state, registration)),
        ]
        try:
            while not any(task.done() for task in beside):
                if self._life is not None:  # whoever stops says `leave`, and after it nothing on `links`
                    await self._beat(registration)
                await asyncio.wait(beside, timeout=BEAT_MS / 1000, return_when=asyncio.FIRST_COMPLETED)
            for task in beside:
                if task.done():
                    task.result()
        except wire.LaterVersion:
            await self._leave(registration)
            raise
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _read(self, state: LinkState, consumer: AIOKafkaConsumer) -> None:
        while not state.closed:
            await self._handler.room()
            refuse_ended(consumer)
            for records in (await consumer.getmany(timeout_ms=READ_MS)).values():
                read = [known for record in records if (known := wire.delivery(record.value)) is not None]
                await self._act(state.ahead(read))
                for record in read:
                    await self._act(state.feed(record, _now_ms()))

    async def _tend(self, state: LinkState, registration: Registration) -> None:
        """What is said once a second; a partition that takes nothing holds it up, and no beat."""
        while True:
            await self._act(state.tick(_now_ms()))
            await self._acknowledge(state, registration)
            await self._say_ends()
            self._let_go()
            await asyncio.sleep(BEAT_MS / 1000)

    async def _acknowledge(self, state: LinkState, registration: Registration) -> None:
        """Say how far the sources' lots got, so that the pipeline knows what waits for this link."""
        due = state.acks()
        for place, ack in enumerate(due):
            record = {"t": "ack", "link": self.id, "epoch": registration.epoch, **asdict(ack)}
            try:
                sent = await self._produce("link-acks", None, json_of(record), partition=ack.source)
            except KafkaAwayError:
                state.not_acknowledged(*[left.source for left in due[place:]])
                return
            sent.add_done_callback(partial(_unless_taken, partial(state.not_acknowledged, ack.source)))

    def _let_go(self) -> None:
        """Forget lost sessions that nobody resumed here in time."""
        now_ms = _now_ms()
        for slot in [slot for slot, until_ms in self._held.items() if until_ms <= now_ms]:
            self._end_session(slot)

    async def _say_of(self, session: Session, record: dict[str, Any]) -> None:
        """Write what a session says of itself.

        An end that Kafka does not take is said again until it does. With anything else that it took and lost the
        session ends: the pipeline does not know it as it is.

        Raises:
            KafkaAwayError: the producer's memory stayed full, and this is no end.
        """
        key = f"{session.app}:{session.user}"
        async with self._order[partition_of(key, self._living().partitions)]:  # a full partition keeps no order itself
            try:
                sent = await self._produce("sessions", key, json_of(record))
            except KafkaAwayError:
                if record["t"] not in _ENDS:
                    raise
                self._lost(session, record)
                return
        sent.add_done_callback(partial(_unless_taken, partial(self._lost, session, record)))

    def _lost(self, session: Session, record: dict[str, Any]) -> None:
        """Kafka did not take a record of a session, or lost it."""
        slot = session.slot
        if self.registration is None or self.registration.epoch != record["epoch"]:
            return
        known, held = self.sessions.get(slot) is session, slot in self._held
        if record["t"] in _ENDS:
            if held or not known:  # else it came back meanwhile
                self._unsaid[slot] = session, record
        elif known:
            self._end_session(slot)
            self._unsaid[slot] = session, {"t": "down", **{name: record[name] for name in _OF_SESSION}}
            if not held:
                self._handler.on_ended(slot, UNSAID)

    async def _say_ends(self) -> None:
        """Say the ends that Kafka did not take, until it is away again."""
        while self._unsaid:
            slot = next(iter(self._unsaid))
            await self._say_of(*self._unsaid.pop(slot))
            if slot in self._unsaid:
                return

    def _end_session(self, slot: int) -> None:
        self.sessions.pop(slot, None)
        self._held.pop(slot, None)
        if self.state is not None:
            self.state.ended(slot)

    async def _beat(self, registration: Registration) -> None:
        """Say that the link lives. While the broker is away no link dies of silence, so neither do we give up."""
        sessions = len(self.sessions) - len(self._held)
        beat = {"t": "beat", "link": self.id, "epoch": registration.epoch, "sessions": sessions}
        try:
            if self._producer is not None:
                await self._producer.send_and_wait("links", json_of(beat), key=self.id.encode())
        except KafkaError as error:
            if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise
            log.warning("link %s: a beat was not sent: %s", self.id, error)

    async def _leave(self, registration: Registration) -> None:
        leave = {"t": "leave", "link": self.id, "epoch": registration.epoch}
        if self._producer is None:
            return
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_MS / 1000):
                await self._producer.flush()
                await self._producer.send_and_wait("links", json_of(leave), key=self.id.encode())

    def _begin(self, registration: Registration) -> None:
        self.registration = registration
        self._next_slot = 0
        self._changed.set()
        log.info("link %s lives: epoch %s, partition %s", self.id, registration.epoch, registration.partition)
        self._handler.on_registered(registration)

    def _end(self) -> None:
        self.registration = self.state = None
        self.sessions, self._held, self._unsaid = {}, {}, {}
        self._asks.end(NotRegisteredError("the registration ended before the answer came: send it again elsewhere"))
        self._handler.on_void()

    def _fail(self, error: GatewayError) -> None:
        log.error("link %s gives up: %s", self.id, error)
        self.failure = error
        self._changed.set()
        self._handler.on_failed(error)

    # What follows from what is read.

    async def _act(self, events: Sequence[Event]) -> None:
        """Hand events on, in order."""
        for event in events:
            if isinstance(event, Resync):
                await self._ask(event.source, event.have)
            else:
                self._tell(event)

    def _tell(self, event: Event) -> None:
        match event:
            case Deliver():
                self._deliver(event)
            case Answered(slot, answer):
                if not self._asks.answered(slot, answer):
                    self._handler.on_answer(slot, answer)
            case Mentioned(message, slots):
                self._handler.on_mention(message, slots)
            case Noticed(app, user, notice, slots):
                self._handler.on_notice(app, user, notice, slots)
            case Granted(slot, subscribed):
                self._handler.on_subscribed(slot, subscribed)
            case Told(entry):
                self._tell_session(entry)
            case Closed():
                log.warning("link %s: epoch %s is void; registers anew", self.id, event.epoch)
            case _:
                self._tell_listening(event)

    def _tell_listening(self, event: Event) -> None:
        """Who listens to what is another thing."""
        handler = self._handler
        match event:
            case Live(group, slots, heads, joined):
                handler.on_drive(group, joined, slots)
                handler.on_live(group, slots, heads)
            case Gone(group, slots):
                handler.on_gone(group, slots)
            case Driven(group, joined, slots):
                handler.on_drive(group, joined, slots)
            case Grounded(slots, on):
                handler.on_ground(slots, background=on)
            case Forgotten(source, bindings):
                handler.on_forgotten(source, bindings)
            case Missed(group, slots):
                handler.on_missed(group, slots)

    def _tell_session(self, entry: Resumed | Ended | PresenceOut) -> None:
        match entry:
            case Resumed():
                self._handler.on_resumed(entry)
            case Ended(slot, why):
                self._end_session(slot)
                self._handler.on_ended(slot, why)
            case PresenceOut(app, slots, users):
                self._handler.on_presence(app, users, slots)

    def _deliver(self, event: Deliver) -> None:
        match event.entry:
            case Unread() as unread:
                self._handler.on_unread(event.group, unread, event.slots)
            case Message() as message:
                self._handler.on_message(event.group, message, event.slots)
            case Signal() as signal:
                self._handler.on_signal(event.group, signal, event.slots)
            case Head() as head:
                self._handler.on_head(event.group, head, event.slots)
            case Changed() as changed:
                self._handler.on_changed(event.group, changed, event.slots)

    async def _ask(self, source: int, have: int) -> None:
        log.warning("link %s: lost track of source %s after lot %s; asks it to begin anew", self.id, source, have)
        record = {"t": "resync", **self._address(self._living()), "source": source, "have": have}
        with contextlib.suppress(KafkaAwayError):  # it is asked again
            await self._produce("resync", None, json_of(record), partition=source)

    # What every record of a link needs.

    def _living(self) -> Registration:
        if self.registration is not None:
            return self.registration
        if self.failure is not None:
            raise NotRegisteredError(f"the link has given up: {self.failure}")
        raise NotRegisteredError("the link registers anew")

    def _address(self, registration: Registration) -> dict[str, Any]:
        return {"link": self.id, "epoch": registration.epoch, "partition": registration.partition}

    async def _produce(
        self, topic: str, key: str | None, value: bytes, partition: int | None = None
    ) -> asyncio.Future[Any]:
        """Hand a record to the producer; the future tells whether it arrived.

        Raises:
            KafkaAwayError: the producer's memory stayed full.
        """
        if self._producer is None:
            raise StoppedError("the link is not started")
        bytes_of_key = None if key is None else key.encode()
        try:
            sent: asyncio.Future[Any]
            sent = await self._producer.send(topic, value, key=bytes_of_key, partition=partition)
        except KafkaTimeoutError as error:
            raise KafkaAwayError("Kafka takes nothing just now: try again later") from error
        sent.add_done_callback(log_failure)
        return sent


def _unless_taken(then: Callable[[], None], sent: asyncio.Future[Any]) -> None:
    """What follows if a record did not arrive."""
    if error_of(sent) is not None:
        then()


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
