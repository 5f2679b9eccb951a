"""A link on Kafka: registers, beats, brings sessions up and down, sends for them, and hands on what is delivered.

It lives through any number of registrations: when one is void, or its answer does not come, the next one begins by
itself, with no sessions. It knows nothing of WebSockets: subclass `Handler` to hear what happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.partitioner import murmur2
from msgspec import Raw

from linkcast_gateway import wire
from linkcast_gateway.state import Answered, Closed, Deliver, Event, Forgotten, Gone, LinkState, Live, Resync
from linkcast_gateway.wire import Answer, Group, Head, Message, Signal

log = logging.getLogger(__name__)

# The contract's limits.
BEAT_MS: Final = 1_000
TIMEOUT_MS: Final = 10_000
BODY_BYTES: Final = 16 * 1024
SLOTS: Final = 1 << 32

_RETRY_S: Final = 1.0
_READ_MS: Final = 500
_LINGER_MS: Final = 2


class NotRegisteredError(Exception):
    """The link has no living registration just now, or the session belonged to an earlier one."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What the answer to a registration gives.

    Attributes:
        epoch: names this registration.
        partition: of `deliveries`, that this link alone reads.
        partitions: how many the pipeline's topics have.
    """

    epoch: int
    partition: int
    partitions: int


@dataclass(frozen=True, slots=True)
class Session:
    """One connection of one device of one user."""

    slot: int
    app: str
    user: str
    device: str


class Handler:
    """Hears what happens on a link. Calls come one at a time and in order; they must be quick and must not raise."""

    def on_registered(self, registration: Registration) -> None:
        """The link lives; sessions may be opened."""

    def on_void(self) -> None:
        """The registration is dead, and every session with it: close the connections. The next one begins by itself."""

    def on_live(self, group: Group, slots: Sequence[int], heads: Sequence[tuple[str, int]]) -> None:
        """These sessions hear the group from here on; each pulls what it lacks up to the heads (channel, seq)."""

    def on_gone(self, group: Group, slots: Sequence[int]) -> None:
        """These sessions hear the group no more."""

    def on_forgotten(self, source: int, bindings: Mapping[Group, Sequence[int]]) -> None:
        """A source lost us and begins anew: these are not live until `on_live` says so again."""

    def on_message(self, group: Group, message: Message, slots: Sequence[int]) -> None:
        """One message and all sessions that hear it; called once a message, whatever their number."""

    def on_signal(self, group: Group, signal: Signal, slots: Sequence[int]) -> None:
        """One signal and all sessions that hear it."""

    def on_head(self, group: Group, head: Head, slots: Sequence[int]) -> None:
        """A channel went quiet: a session that holds less than `head.seq` pulls."""

    def on_answer(self, slot: int, answer: Answer) -> None:
        """A send or command of this session was accepted, applied or refused."""


class Link:
    """One link.

    Args:
        link: its id, chosen by whoever runs it; two with one id end each other.
        kafka: brokers to ask first, `host:port`, by commas.
        handler: hears what happens.
        address: where clients reach it; told to the pipeline.
        region: where it stands; told to the pipeline.
    """

    def __init__(self, link: str, kafka: str, handler: Handler, address: str = "", region: str = "") -> None:
        self.id = link
        self.registration: Registration | None = None
        self.state: LinkState | None = None
        self.sessions: dict[int, Session] = {}
        self._kafka = kafka
        self._handler = handler
        self._about = {"address": address, "region": region}
        self._producer: AIOKafkaProducer | None = None
        self._next_slot = 0
        self._registered = asyncio.Event()
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
        self._life = asyncio.create_task(self._live(), name=f"link-{self.id}")

    async def registered(self) -> Registration:
        """Wait for a living registration."""
        while self.registration is None:
            await self._registered.wait()
        return self.registration

    async def stop(self) -> None:
        """Leave, so that the pipeline need not wait for silence, and let go of Kafka. What was sent goes out first."""
        if self._life is None:
            return
        life, self._life = self._life, None
        registration = self.registration
        if registration is not None and self._producer is not None:
            leave = {"t": "leave", "link": self.id, "epoch": registration.epoch}
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(TIMEOUT_MS / 1000):
                    await self._producer.flush()
                    await self._producer.send_and_wait("links", _json(leave), key=self.id.encode())
        for _ in range(2):  # the second one also ends a producer that waits for a broker that is away
            life.cancel()
            await asyncio.wait([life], timeout=TIMEOUT_MS / 2000)

    # What sessions do. Each call keeps the order of those before it with the same key.

    def new_session(self, app: str, user: str, device: str) -> Session:
        """Give a connection its slot. Nothing is told yet: be ready to hear for it, then call `up`.

        Raises:
            NotRegisteredError: try again when registered.
        """
        self._living()
        if self._next_slot >= SLOTS:
            raise NotRegisteredError("every slot of this epoch was used: restart the link")
        session = self.sessions[self._next_slot] = Session(self._next_slot, app, user, device)
        self._next_slot += 1  # never used again within the epoch
        return session

    async def up(self, session: Session) -> None:
        """The connection of a session began; who it is was made sure of by the caller.

        Raises:
            NotRegisteredError: its registration is void; so it is with every call that takes a session.
        """
        up = {"t": "up", "app": session.app, "user": session.user, "device": session.device}
        address = self._address(self._own(session))
        await self._send("sessions", f"{session.app}:{session.user}", {**up, **address, "slot": session.slot})

    async def down(self, session: Session) -> None:
        """The connection of a session ended. If its registration did already, there is nothing to tell."""
        if self.sessions.get(session.slot) is not session:
            return
        del self.sessions[session.slot]
        down = {"t": "down", "app": session.app, "user": session.user, "link": self.id, "epoch": self._living().epoch}
        await self._send("sessions", f"{session.app}:{session.user}", {**down, "slot": session.slot})

    async def send(
        self,
        session: Session,
        group: str,
        client_id: str,
        tried_at: int,
        body: bytes,
        channel: str = "main",
        kind: str = "text",
    ) -> None:
        """Send a message; the answer comes by `on_answer`. A resend repeats client_id and tried_at.

        Args:
            session: who sends.
            group: into which group of the session's app.
            client_id: the sender's id of the message.
            tried_at: milliseconds since 1970 of the first try.
            body: JSON; valid, as it is put into the record as it is.
            channel: the channel.
            kind: text, ...
        """
        record = {
            "t": "send",
            "app": session.app,
            "group": group,
            "channel": channel,
            "sender": session.user,
            "device": session.device,
            "client_id": client_id,
            "tried_at": tried_at,
            "kind": kind,
            "reply": self._reply(session),
            "body": Raw(body),
        }
        await self._produce("messages", f"{session.app}:{group}", wire.encode(record))

    async def signal(
        self, session: Session, group: str, body: bytes, channel: str = "main", kind: str = "custom"
    ) -> None:
        """Send something to those online now; nobody answers."""
        self._own(session)
        record = {
            "t": "signal",
            "app": session.app,
            "group": group,
            "channel": channel,
            "sender": session.user,
            "kind": kind,
            "body": Raw(body),
        }
        await self._produce("messages", f"{session.app}:{group}", wire.encode(record))

    async def create_group(
        self, session: Session, group: str, members: Sequence[str], kind: str = "team", request: str | None = None
    ) -> None:
        """Create a group; the answer (applied or refused) comes by `on_answer`, with `request`."""
        await self._relate(session, group, request, t="create_group", kind=kind, members=list(members))

    async def delete_group(self, session: Session, group: str, request: str | None = None) -> None:
        """Delete a group."""
        await self._relate(session, group, request, t="delete_group")

    async def add_members(self, session: Session, group: str, users: Sequence[str], request: str | None = None) -> None:
        """Make users members of a group, at most 10,000 a call."""
        await self._relate(session, group, request, t="add_members", users=list(users))

    async def remove_members(
        self, session: Session, group: str, users: Sequence[str], request: str | None = None
    ) -> None:
        """Make users members of a group no more, at most 10,000 a call."""
        await self._relate(session, group, request, t="remove_members", users=list(users))

    async def resync(self, source: int) -> None:
        """Ask a source to begin anew, as if a lot of it had been lost."""
        if self.state is not None:
            await self._act(self.state.resync(source, _now_ms()))

    # Its life.

    async def _live(self) -> None:
        """One registration after the other, until stopped. A producer is kept for as long as it is sound."""
        while self._life is not None:
            try:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._kafka,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=_LINGER_MS,
                    client_id=f"link-{self.id}",
                )
                async with _started(producer):
                    self._producer = producer
                    await self._register_and_serve(producer)
            except (KafkaError, TimeoutError) as error:
                log.warning("link %s: %s %s; registers anew", self.id, type(error).__name__, error)
            except Exception:
                log.exception("link %s: a defect, here or in the handler; registers anew", self.id)
            await asyncio.sleep(_RETRY_S)

    async def _register_and_serve(self, producer: AIOKafkaProducer) -> None:
        while self._life is not None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._kafka,
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_committed",
                fetch_max_wait_ms=_READ_MS,
                client_id=f"link-{self.id}",
            )
            async with _started(consumer):
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
        count = len(await producer.partitions_for("answers"))
        await _listen(consumer, TopicPartition("answers", (murmur2(requester.encode()) & 0x7FFFFFFF) % count))
        register = {"t": "register", "link": self.id, "requester": requester, **self._about}
        await producer.send_and_wait("links", _json(register), key=self.id.encode())
        answer = await _answer(consumer, requester)
        if not isinstance(answer, wire.Registered):
            log.warning("link %s is refused: %s", self.id, getattr(answer, "code", answer))
            return None
        await _listen(consumer, TopicPartition("deliveries", answer.partition))
        return Registration(answer.epoch, answer.partition, answer.partitions)

    async def _serve(self, registration: Registration, consumer: AIOKafkaConsumer) -> None:
        """Beat and read until the registration is dead."""
        state = self.state = LinkState(self.id, registration.epoch)
        reader = asyncio.create_task(self._read(state, consumer))
        try:
            while not reader.done():
                await self._beat(registration)
                await self._act(state.tick(_now_ms()))
                await asyncio.wait([reader], timeout=BEAT_MS / 1000)
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    async def _read(self, state: LinkState, consumer: AIOKafkaConsumer) -> None:
        while not state.closed:
            for records in (await consumer.getmany(timeout_ms=_READ_MS)).values():
                for record in records:
                    if (known := wire.delivery(record.value)) is not None:
                        await self._act(state.feed(known, _now_ms()))

    async def _beat(self, registration: Registration) -> None:
        """Say that the link lives. While the broker is away no link dies of silence, so neither do we give up."""
        beat = {"t": "beat", "link": self.id, "epoch": registration.epoch, "sessions": len(self.sessions)}
        try:
            if self._producer is not None:
                await self._producer.send_and_wait("links", _json(beat), key=self.id.encode())
        except KafkaError as error:
            if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise
            log.warning("link %s: a beat was not sent: %s", self.id, error)

    async def _act(self, events: Sequence[Event]) -> None:
        """Hand events on, in order."""
        handler = self._handler
        for event in events:
            match event:
                case Deliver():
                    self._deliver(event)
                case Answered(slot, answer):
                    handler.on_answer(slot, answer)
                case Live(group, slots, heads):
                    handler.on_live(group, slots, heads)
                case Gone(group, slots):
                    handler.on_gone(group, slots)
                case Forgotten(source, bindings):
                    handler.on_forgotten(source, bindings)
                case Resync(source, have):
                    await self._ask(source, have)
                case Closed():
                    log.warning("link %s: epoch %s is void; registers anew", self.id, event.epoch)

    def _deliver(self, event: Deliver) -> None:
        match event.entry:
            case Message() as message:
                self._handler.on_message(event.group, message, event.slots)
            case Signal() as signal:
                self._handler.on_signal(event.group, signal, event.slots)
            case Head() as head:
                self._handler.on_head(event.group, head, event.slots)

    async def _ask(self, source: int, have: int) -> None:
        log.warning("link %s: lost track of source %s after lot %s; asks it to begin anew", self.id, source, have)
        record = {"t": "resync", **self._address(self._living()), "source": source, "have": have}
        await self._produce("resync", None, _json(record), partition=source)

    def _begin(self, registration: Registration) -> None:
        self.registration = registration
        self._next_slot = 0
        self._registered.set()
        log.info("link %s lives: epoch %s, partition %s", self.id, registration.epoch, registration.partition)
        self._handler.on_registered(registration)

    def _end(self) -> None:
        if self.registration is None:
            return
        self.registration = self.state = None
        self.sessions = {}
        self._registered.clear()
        self._handler.on_void()

    # Its records.

    def _living(self) -> Registration:
        if self.registration is None:
            raise NotRegisteredError("the link registers anew")
        return self.registration

    def _own(self, session: Session) -> Registration:
        if self.sessions.get(session.slot) is not session:
            raise NotRegisteredError("the session ended with its registration")
        return self._living()

    def _address(self, registration: Registration) -> dict[str, Any]:
        return {"link": self.id, "epoch": registration.epoch, "partition": registration.partition}

    def _reply(self, session: Session) -> dict[str, Any]:
        """Where an answer goes: to the session, among its link's deliveries."""
        return {"t": "session", **self._address(self._own(session)), "slot": session.slot}

    async def _relate(self, session: Session, group: str, request: str | None, **what: Any) -> None:
        record = {**what, "app": session.app, "group": group, "reply": self._reply(session)}
        if request is not None:
            record["request"] = request
        await self._send("relations", f"{session.app}:{group}", record)

    async def _send(self, topic: str, key: str, record: dict[str, Any]) -> None:
        await self._produce(topic, key, _json(record))

    async def _produce(self, topic: str, key: str | None, value: bytes, partition: int | None = None) -> None:
        """Hand a record to the producer, whose hash of keys is the contract's. Its answer tells whether it arrived."""
        if self._producer is None:
            raise NotRegisteredError("the link is not started")
        sent = await self._producer.send(topic, value, key=None if key is None else key.encode(), partition=partition)
        sent.add_done_callback(_log_failure)


@contextlib.asynccontextmanager
async def _started(client: AIOKafkaProducer | AIOKafkaConsumer) -> AsyncIterator[None]:
    """Start a client; stop it also when its start fails."""
    try:
        await client.start()
        yield
    finally:
        await client.stop()


async def _listen(consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
    """Read a partition from its end, and be sure where that is before going on."""
    consumer.assign([partition])
    await consumer.seek_to_end(partition)
    await consumer.position(partition)


async def _answer(consumer: AIOKafkaConsumer, requester: str) -> Any:
    """The answer to `requester`."""
    while True:
        for records in (await consumer.getmany(timeout_ms=_READ_MS)).values():
            for record in records:
                for entry in wire.answers(record.value):
                    if entry.requester == requester:
                        return entry.answer


def _log_failure(sent: asyncio.Future[Any]) -> None:
    if not sent.cancelled() and (error := sent.exception()) is not None:
        log.warning("a record was not sent: %s", error)


def _json(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
