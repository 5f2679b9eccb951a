"""The client library's link on a real broker, with a pipeline that is played by the test."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from linkcast_gateway import (
    TIMEOUT_MS,
    Answer,
    BadIdError,
    Changed,
    GatewayError,
    Group,
    Handler,
    Link,
    Message,
    Notice,
    NotRegisteredError,
    RefusedError,
    Registration,
    UnknownVersionError,
    life,
)
from linkcast_gateway import (
    link as link_module,
)
from streams.settings import Settings
from tests.services import free_ports
from topics.keys import partition_of

TOPICS = ("links", "sessions", "messages", "relations", "resync")


class Heard(Handler):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    def on_registered(self, registration: Registration) -> None:
        self.calls.put_nowait(("registered", registration))

    def on_void(self) -> None:
        self.calls.put_nowait(("void",))

    def on_failed(self, error: GatewayError) -> None:
        self.calls.put_nowait(("failed", error.code))

    def on_live(self, group: Group, slots: Sequence[int], heads: Sequence[tuple[str, int]]) -> None:
        self.calls.put_nowait(("live", group.name, slots, heads))

    def on_message(self, group: Group, message: Message, slots: Sequence[int]) -> None:
        self.calls.put_nowait(("message", group.name, message.seq, bytes(message.body), slots))

    def on_changed(self, group: Group, changed: Changed, slots: Sequence[int]) -> None:
        self.calls.put_nowait(("changed", group.name, changed.version, slots))

    def on_notice(self, app: str, user: str, notice: Notice, slots: Sequence[int]) -> None:
        self.calls.put_nowait(("notice", app, user, notice.kind, slots))

    def on_answer(self, slot: int, answer: Answer) -> None:
        self.calls.put_nowait(("answer", slot, answer))


class Pipeline:
    """What the pipeline does for one link, done by hand."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self.settings = settings
        self._producer = producer
        self._consumer = consumer

    async def next(self, topic: str, kind: str) -> tuple[dict[str, Any], ConsumerRecord]:
        """The next record of this kind; others are passed over."""
        async with asyncio.timeout(30):
            while True:
                record = await self._consumer.getone()
                value = json.loads(record.value)
                if (record.topic, value["t"]) == (topic, kind):
                    return value, record

    async def answer(self, requester: str, answer: dict[str, Any]) -> None:
        lot = {"t": "answers", "entries": [{"requester": requester, "answer": answer}]}
        partition = partition_of(requester.encode(), self.settings.partitions)
        await self._producer.send_and_wait("answers", json.dumps(lot).encode(), partition=partition)

    async def register(self, partition: int) -> int:
        """Answer the next registration; gives its epoch."""
        value, record = await self.next("links", "register")
        assert record.key == value["link"].encode()
        told = {"t": "registered", "link": value["link"], "epoch": record.offset, "partition": partition}
        await self.answer(value["requester"], told | {"partitions": self.settings.partitions})
        return int(record.offset)

    async def deliver(self, partition: int, record: dict[str, Any]) -> None:
        await self._producer.send_and_wait("deliveries", json.dumps(record).encode(), partition=partition)


@pytest.fixture
async def pipeline(fresh_topics: Settings) -> AsyncIterator[Pipeline]:
    async with AsyncExitStack() as stack:
        kafka = fresh_topics.kafka_bootstrap
        producer = await stack.enter_async_context(AIOKafkaProducer(bootstrap_servers=kafka))
        consumer = AIOKafkaConsumer(*TOPICS, bootstrap_servers=kafka, group_id=None, auto_offset_reset="latest")
        await stack.enter_async_context(consumer)
        await consumer.seek_to_end()
        yield Pipeline(fresh_topics, producer, consumer)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def timeout_ms() -> int:
    """What a link waits for: a machine that stands still is no reason to register anew."""
    return 60_000


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch, timeout_ms: int) -> None:
    monkeypatch.setattr(life, "TIMEOUT_MS", timeout_ms)


@pytest.fixture
async def link(pipeline: Pipeline, heard: Heard) -> AsyncIterator[Link]:
    async with Link("L1", pipeline.settings.kafka_bootstrap, heard, address="http://there") as started:
        yield started


async def call(heard: Heard) -> tuple[Any, ...]:
    async with asyncio.timeout(30):
        return await heard.calls.get()


def lot(epoch: int, number: int, *entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"t": "lot", "link": "L1", "epoch": epoch, "source": 1, "number": number, "entries": [*entries], **more}


def bound(slot: int) -> dict[str, Any]:
    told = {"t": "bound", "app": "demo", "group": "g", "map": 1, "ordinals": [0], "slots": [slot]}
    return told | {"heads": [["main", 0]]}


def message(seq: int) -> dict[str, Any]:
    numbers = {"s": seq, "p": seq - 1, "n": seq, "gv": 1, "lm": 1, "at": 5}
    return {"t": "m", "a": "demo", "g": "g", "c": "main", **numbers, "f": "ann", "d": "d", "i": "i", "b": "hi"}


async def test_a_registered_link_beats_and_brings_sessions_up_and_down(
    pipeline: Pipeline, heard: Heard, link: Link
) -> None:
    epoch = await pipeline.register(partition=3)
    assert await call(heard) == ("registered", Registration(epoch, 3, pipeline.settings.partitions))
    session = link.new_session("demo", "ann", "phone")
    await link.up(session)
    up, record = await pipeline.next("sessions", "up")
    address = {"link": "L1", "epoch": epoch, "partition": 3, "slot": session.slot}
    assert up == {"t": "up", "app": "demo", "user": "ann", "device": "phone"} | address
    assert (record.key, record.partition) == (b"demo:ann", partition_of(b"demo:ann", pipeline.settings.partitions))
    beat, _ = await pipeline.next("links", "beat")
    while beat["sessions"] == 0:  # from before the session
        beat, _ = await pipeline.next("links", "beat")
    assert beat == {"t": "beat", "link": "L1", "epoch": epoch, "sessions": 1}
    await link.down(session)
    down, _ = await pipeline.next("sessions", "down")
    assert down == {"t": "down", "app": "demo", "user": "ann", "link": "L1", "epoch": epoch, "slot": session.slot}
    assert link.new_session("demo", "ann", "phone").slot != session.slot


async def test_what_is_delivered_is_heard_once_with_all_slots(pipeline: Pipeline, heard: Heard, link: Link) -> None:
    epoch = await pipeline.register(partition=2)
    await call(heard)
    slots = [link.new_session("demo", name, "d").slot for name in ("ann", "bob")]
    await pipeline.deliver(2, lot(epoch, 1, *map(bound, slots), message(1)))
    assert [await call(heard) for _ in slots] == [("live", "g", (slot,), (("main", 0),)) for slot in slots]
    assert await call(heard) == ("message", "g", 1, b'"hi"', tuple(slots))


async def test_sends_carry_the_body_as_it_came_and_say_where_the_answer_goes(pipeline: Pipeline, link: Link) -> None:
    epoch = await pipeline.register(partition=2)
    await link.registered()
    session = link.new_session("demo", "ann", "phone")
    await link.send(session, "g", "c1", 77, b'{"text": "\xc3\xa9"}')
    sent, record = await pipeline.next("messages", "send")
    assert b'"body":{"text": "\xc3\xa9"}' in record.value
    assert (sent["client_id"], sent["tried_at"], sent["sender"], sent["device"]) == ("c1", 77, "ann", "phone")
    reply = {"t": "session", "link": "L1", "epoch": epoch, "partition": 2, "slot": session.slot}
    assert sent["reply"] == reply
    assert (record.key, record.partition) == (b"demo:g", partition_of(b"demo:g", pipeline.settings.partitions))
    await link.add_members(session, "g", ["ann"], request="r1")
    added, record = await pipeline.next("relations", "add_members")
    assert added == {"t": "add_members", "users": ["ann"], "app": "demo", "group": "g", "reply": reply, "request": "r1"}
    assert record.key == b"demo:g"


async def test_a_hole_is_asked_about_at_its_source(
    pipeline: Pipeline, heard: Heard, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    epoch = await pipeline.register(partition=2)
    await call(heard)
    await pipeline.deliver(2, lot(epoch, 1, bound(0)))
    await pipeline.deliver(2, lot(epoch, 3, message(2)))
    asked, record = await pipeline.next("resync", "resync")
    assert asked == {"t": "resync", "link": "L1", "epoch": epoch, "partition": 2, "source": 1, "have": 1}
    assert record.partition == 1
    await pipeline.deliver(2, lot(epoch, 4, bound(0), reset=True))
    assert [(await call(heard))[0] for _ in range(2)] == ["live", "live"]
    assert "lost track of source 1" in caplog.text
    assert link.state is not None


async def test_a_void_link_registers_anew_and_starts_without_sessions(
    pipeline: Pipeline, heard: Heard, link: Link
) -> None:
    first = await pipeline.register(partition=2)
    await call(heard)
    session = link.new_session("demo", "ann", "phone")
    await pipeline.deliver(2, {"t": "void", "link": "L1", "epoch": first})
    assert await call(heard) == ("void",)
    second = await pipeline.register(partition=5)
    assert await call(heard) == ("registered", Registration(second, 5, pipeline.settings.partitions))
    assert second > first
    assert link.sessions == {}
    with pytest.raises(NotRegisteredError):
        await link.send(session, "g", "c1", 77, b"1")


@pytest.mark.parametrize("timeout_ms", [TIMEOUT_MS])
async def test_without_an_answer_it_registers_anew_under_another_requester(
    pipeline: Pipeline, heard: Heard, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    silent, _ = await pipeline.next("links", "register")
    late, record = await pipeline.next("links", "register")
    assert late["requester"] != silent["requester"]
    await pipeline.answer(late["requester"], {"t": "refused", "code": "no_free_partition"})
    epoch = await pipeline.register(partition=1)
    assert epoch > record.offset
    assert (await call(heard))[0] == "registered"
    assert "no_free_partition" in caplog.text
    assert link.registration is not None


async def test_a_send_that_nobody_answers_is_sent_again_just_as_it_was(
    pipeline: Pipeline, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "RESEND_MS", 300)
    epoch = await pipeline.register(partition=2)
    await link.registered()
    session = link.new_session("demo", "ann", "phone")
    accepted = asyncio.create_task(link.send_and_wait(session, "g", b'"hi"', client_id="c1"))
    (first, _), (again, _) = [await pipeline.next("messages", "send") for _ in range(2)]
    assert first == again
    told = {"t": "accepted", "app": "demo", "group": "g", "channel": "main", "client_id": "c1", "seq": 7, "at": 5}
    await pipeline.deliver(2, lot(epoch, 1, told | {"slot": session.slot, "again": True}))
    assert (await accepted).seq == 7


async def test_a_command_is_asked_for_by_the_sessions_user_and_its_answer_is_waited_for(
    pipeline: Pipeline, heard: Heard, link: Link
) -> None:
    epoch = await pipeline.register(partition=2)
    await call(heard)
    session = link.new_session("demo", "ann", "phone")
    crew: dict[str, Any] = {"role": "crew", "users": ["bob"], "by": None}  # of whom it is, is not for the caller to say
    given = asyncio.create_task(link.command(session, "g", "add_role_members", expected=4, **crew))
    command, record = await pipeline.next("relations", "add_role_members")
    assert record.key == b"demo:g"
    assert (command["by"], command["expected"], command["role"], command["users"]) == ("ann", 4, "crew", ["bob"])
    applied = {"t": "applied", "app": "demo", "group": "g", "version": 5, "changed": 1, "request": command["request"]}
    await pipeline.deliver(2, lot(epoch, 1, applied | {"slot": session.slot}))
    assert (await given).version == 5


async def test_a_refused_command_raises_its_code_and_one_that_names_no_id_is_not_sent(
    pipeline: Pipeline, heard: Heard, link: Link
) -> None:
    epoch = await pipeline.register(partition=2)
    await call(heard)
    session = link.new_session("demo", "ann", "phone")
    with pytest.raises(BadIdError):
        await link.command(session, "g", "edit_list", which="white", channel="c", add_roles=["no id"])
    asked = asyncio.create_task(link.command(session, "g", "delete_role", role="crew"))
    command, _ = await pipeline.next("relations", "delete_role")
    refused = {"t": "refused", "code": "not_permitted", "app": "demo", "group": "g", "request": command["request"]}
    await pipeline.deliver(2, lot(epoch, 1, refused | {"slot": session.slot}))
    with pytest.raises(RefusedError, match="not_permitted"):
        await asked


@pytest.mark.usefixtures("link")
async def test_hints_and_notices_reach_the_handler(pipeline: Pipeline, heard: Heard) -> None:
    epoch = await pipeline.register(partition=2)
    await call(heard)
    changed = {"t": "changed", "app": "demo", "group": "g", "version": 9, "since": 7, "what": ["roles"]}
    await pipeline.deliver(2, lot(epoch, 1, bound(0), changed))
    notice = {"number": 1, "group": "g", "version": 9, "at": 5, "kind": "roles_given"}
    entry = {"app": "demo", "user": "ann", "slots": [0], "notice": notice}
    await pipeline.deliver(2, {"t": "notices", "link": "L1", "epoch": epoch, "entries": [entry]})
    assert (await call(heard))[0] == "live"
    assert await call(heard) == ("changed", "g", 9, (0,))
    assert await call(heard) == ("notice", "demo", "ann", "roles_given", (0,))


async def test_a_refused_send_raises_its_code_and_tells_nobody_else(
    pipeline: Pipeline, heard: Heard, link: Link
) -> None:
    epoch = await pipeline.register(partition=2)
    await call(heard)
    session = link.new_session("demo", "ann", "phone")
    sent = asyncio.create_task(link.send_and_wait(session, "g", b'"hi"', client_id="c1"))
    await pipeline.next("messages", "send")
    told = {"t": "refused", "code": "not_a_member", "app": "demo", "group": "g", "client_id": "c1"}
    await pipeline.deliver(2, lot(epoch, 1, told | {"slot": session.slot}, bound(session.slot)))
    with pytest.raises(RefusedError) as error:
        await sent
    assert error.value.code == "not_a_member"
    assert (await call(heard))[0] == "live"


async def test_whoever_waits_for_an_answer_hears_that_the_registration_ended(pipeline: Pipeline, link: Link) -> None:
    epoch = await pipeline.register(partition=2)
    await link.registered()
    session = link.new_session("demo", "ann", "phone")
    sent = asyncio.create_task(link.send_and_wait(session, "g", b'"hi"'))
    await pipeline.next("messages", "send")
    await pipeline.deliver(2, {"t": "void", "link": "L1", "epoch": epoch})
    with pytest.raises(NotRegisteredError):
        await sent
    await pipeline.register(partition=2)
    await link.registered()  # stopped while it connects, aiokafka would leave a connection to the collector


async def test_an_id_that_the_pipeline_would_reject_is_refused_at_once(pipeline: Pipeline, link: Link) -> None:
    await pipeline.register(partition=2)
    await link.registered()
    session = link.new_session("demo", "ann", "phone")
    with pytest.raises(BadIdError):
        link.new_session("demo", "ann:bob", "phone")
    with pytest.raises(BadIdError):
        await link.send(session, "", "c1", 77, b"1")
    with pytest.raises(BadIdError):
        await link.add_members(session, "g", ["ann", "x" * 65])


async def test_nothing_is_read_while_the_handler_has_no_room(pipeline: Pipeline) -> None:
    class Full(Heard):
        def __init__(self) -> None:
            super().__init__()
            self.free = asyncio.Event()

        async def room(self) -> None:
            await self.free.wait()

    full = Full()
    async with Link("L1", pipeline.settings.kafka_bootstrap, full):
        epoch = await pipeline.register(partition=2)
        await call(full)
        await pipeline.deliver(2, lot(epoch, 1, bound(0)))
        for _ in range(2):  # beats go on
            await pipeline.next("links", "beat")
        assert full.calls.empty()
        full.free.set()
        assert (await call(full))[0] == "live"


async def test_at_a_later_schema_version_it_leaves_says_so_and_does_not_go_on(
    pipeline: Pipeline, heard: Heard, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    epoch = await pipeline.register(partition=2)
    await call(heard)
    session = link.new_session("demo", "ann", "phone")
    await pipeline.deliver(2, lot(epoch, 1, bound(session.slot), v=2))
    left, _ = await pipeline.next("links", "leave")
    assert left["epoch"] == epoch
    assert [await call(heard), await call(heard)] == [("void",), ("failed", "unknown_version")]
    for waits in (link.closed(), link.registered()):
        with pytest.raises(UnknownVersionError):
            await waits
    with pytest.raises(NotRegisteredError, match="upgrade"):
        link.new_session("demo", "ann", "phone")
    assert "gives up" in caplog.text


async def test_the_gateway_of_the_readme_serves_lines(pipeline: Pipeline) -> None:
    readme = (Path(__file__).parents[2] / "clients" / "python" / "README.md").read_text()
    gateway: dict[str, Any] = {"__name__": "lines"}
    exec(readme.split("```python\n")[1].split("```")[0], gateway)
    (port,) = free_ports(1)
    running = asyncio.create_task(gateway["main"](pipeline.settings.kafka_bootstrap, port))
    epoch = await pipeline.register(partition=2)
    async with asyncio.timeout(30):
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"ann\nhi\n")
            await asyncio.wait([served := asyncio.create_task(reader.read(1))], timeout=2)
            if not served.done():
                break
            writer.close()  # not registered yet
            await writer.wait_closed()
            await asyncio.sleep(0.05)
    up, _ = await pipeline.next("sessions", "up")
    sent, _ = await pipeline.next("messages", "send")
    assert (sent["group"], sent["sender"], sent["body"]) == ("friends", "ann", "hi")
    told = {"t": "accepted", "app": "demo", "group": "friends", "channel": "main", "client_id": sent["client_id"]}
    listens = bound(up["slot"]) | {"group": "friends"}
    heard = message(1) | {"g": "friends"}
    answer = told | {"seq": 1, "at": 5, "slot": up["slot"]}
    await pipeline.deliver(2, {**lot(epoch, 1, listens, heard, answer), "link": "lines"})
    assert await served + await reader.readline() == b"1 ann: hi\n"
    writer.close()
    await writer.wait_closed()
    down, _ = await pipeline.next("sessions", "down")
    assert down["slot"] == up["slot"]
    running.cancel()
    await asyncio.wait([running])
    assert (await pipeline.next("links", "leave"))[0]["epoch"] == epoch


async def test_a_link_that_stops_leaves(pipeline: Pipeline, heard: Heard) -> None:
    link = Link("L2", pipeline.settings.kafka_bootstrap, heard)
    await link.start()
    epoch = await pipeline.register(partition=2)
    await call(heard)
    await link.stop()
    left, _ = await pipeline.next("links", "leave")
    assert left == {"t": "leave", "link": "L2", "epoch": epoch}
    assert await call(heard) == ("void",)


@pytest.mark.usefixtures("link")
async def test_a_consumer_whose_task_ended_ends_the_registration_and_a_new_one_hears_again(
    pipeline: Pipeline, heard: Heard
) -> None:
    await pipeline.register(partition=0)
    assert (await call(heard))[0] == "registered"
    frames = [getattr(task.get_coro(), "cr_frame", None) for task in asyncio.all_tasks()]
    known = [frame.f_locals for frame in frames if frame is not None and frame.f_code.co_name == "_read"]
    (consumer,) = (of_reader["consumer"] for of_reader in known if "consumer" in of_reader)
    consumer._fetcher._fetch_task.cancel()
    assert await call(heard) == ("void",)
    epoch = await pipeline.register(partition=1)
    assert (await call(heard))[0] == "registered"
    await pipeline.deliver(1, lot(epoch, 1, bound(0), begin=True))
    assert (await call(heard))[0] == "live"
