"""What a link writes for its sessions: each record is one of the contract's, on the partition that it belongs to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError

from linkcast_gateway import (
    UNSAID,
    BadIdError,
    Done,
    Handler,
    KafkaAwayError,
    Link,
    NotRegisteredError,
    Place,
    Registration,
    Subscription,
)
from linkcast_gateway.state import Answered, LinkState, Told
from linkcast_gateway.wire import Ended, Lot
from topics.acks import Ack
from topics.codec import decode
from topics.messages import Send
from topics.sessions import Down, Ground, Kick, Lost, Resume, SetStatus, Subscribe, Unsubscribe, Unwatch, Up, Watch
from topics.wire import SessionId


class Written:
    """A producer that keeps what it is given, as the pipeline reads it; while it is full it takes nothing.

    Those who wait for room get it in any order, as from aiokafka.
    """

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.places: list[tuple[str, bytes | None, int | None]] = []
        self.answers: list[asyncio.Future[None]] = []
        self.full = False
        self.room = asyncio.Event()
        self.room.set()
        self.last_first = False
        self._waiting = 0

    async def send(self, topic: str, value: bytes, key: bytes | None, partition: int | None) -> asyncio.Future[None]:
        self._waiting += 1
        place = self._waiting
        await self.room.wait()
        while self.last_first and place < self._waiting:  # noqa: ASYNC110 - the others have no event
            await asyncio.sleep(0)
        self._waiting -= 1
        if self.full:
            raise KafkaTimeoutError
        self.records.append(decode(topic, value))
        self.places.append((topic, key, partition))
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    async def loses(self, *places: int) -> None:
        """These records did not arrive, in the end."""
        for place in places:
            self.answers[place].set_exception(KafkaTimeoutError())
        await asyncio.sleep(0)


class Heard(Handler):
    def __init__(self) -> None:
        self.ended: list[tuple[int, str]] = []

    def on_ended(self, slot: int, why: str) -> None:
        self.ended.append((slot, why))


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
async def link(written: Written) -> Link:
    made = Link("L1", "nowhere:9", Heard())
    made.registration = Registration(epoch=41, partition=3, partitions=8)
    made.state = LinkState("L1", 41)
    made._producer = written
    return made


async def test_a_session_says_how_it_begins_turns_away_and_ends(link: Link, written: Written) -> None:
    session = link.new_session("demo", "ann", "phone")
    await link.up(session, "ios", background=True)
    await link.ground(session, background=False)
    await link.down(session)
    await link.down(session)
    named: dict[str, Any] = {"app": "demo", "user": "ann", "link": "L1", "epoch": 41, "slot": 0}
    assert written.records == [
        Up(**named, device="phone", partition=3, platform="ios", background=True),
        Ground(**named, background=False),
        Down(**named),
    ]
    assert set(written.places) == {("sessions", b"demo:ann", None)}


async def test_who_comes_back_in_time_gets_the_slot_again_and_anybody_else_another_one(
    link: Link, written: Written
) -> None:
    session = link.new_session("demo", "ann", "phone")
    was = link.place_of(session)
    await link.lost(session)
    for other in (("demo", "bob", "phone"), ("demo", "ann", "laptop")):
        assert link.old_session(*other, was).slot != session.slot
    for elsewhere in (Place("L2", 41, 0), Place("L1", 40, 0), Place("L1", 41, 99)):
        assert link.old_session("demo", "ann", "phone", elsewhere).slot != session.slot
    again = link.old_session("demo", "ann", "phone", was)
    assert again is session
    await link.resume(again, was, "ios")
    lost, resumed = written.records
    assert (type(lost), type(resumed)) == (Lost, Resume)
    assert (resumed.slot, resumed.was, resumed.platform) == (0, SessionId("L1", 41, 0), "ios")


async def test_a_lost_session_that_nobody_resumes_is_forgotten_in_time(link: Link) -> None:
    session = link.new_session("demo", "ann", "phone")
    was = link.place_of(session)
    await link.lost(session, hold_ms=60_000)
    link._let_go()
    assert link.sessions
    await link.lost(session, hold_ms=0)
    link._let_go()
    assert not link.sessions
    assert link.old_session("demo", "ann", "phone", was).slot == 1
    with pytest.raises(NotRegisteredError):
        await link.ground(session, background=True)


async def test_ends_that_kafka_does_not_take_are_said_until_it_does(link: Link, written: Written) -> None:
    stays, goes, breaks = [link.new_session("demo", user, "phone") for user in ("ann", "bob", "cid")]
    written.full = True
    with pytest.raises(KafkaAwayError):
        await link.up(stays)
    await link.down(goes)
    await link.lost(breaks)
    await link._say_ends()
    assert written.records == []
    written.full = False
    await link._say_ends()
    assert {(type(one), one.slot) for one in written.records} == {(Down, 1), (Lost, 2)}
    await written.loses(next(place for place, one in enumerate(written.records) if isinstance(one, Down)))
    await link._say_ends()
    assert [(type(one), one.slot) for one in written.records[2:]] == [(Down, 1)]
    await link._say_ends()
    assert len(written.records) == 3


async def test_a_session_ends_when_kafka_lost_what_it_said_of_itself(link: Link, written: Written) -> None:
    heard = link._handler
    assert isinstance(heard, Heard)
    session = link.new_session("demo", "ann", "phone")
    await link.up(session)
    await link.ground(session, background=True)
    await written.loses(0, 1)
    await link._say_ends()
    assert (heard.ended, link.sessions) == ([(0, UNSAID)], {})
    assert [(type(one), one.slot) for one in written.records] == [(Up, 0), (Ground, 0), (Down, 0)]


async def test_so_does_one_that_is_lost_and_its_slot_is_not_given_again(link: Link, written: Written) -> None:
    heard = link._handler
    assert isinstance(heard, Heard)
    session = link.new_session("demo", "ann", "phone")
    was = link.place_of(session)
    await link.subscribe(session, [Subscription("g", "server")])
    await link.lost(session)
    await written.loses(0)
    await link._say_ends()
    assert link.old_session("demo", "ann", "phone", was).slot == 1
    assert ([type(one) for one in written.records], heard.ended) == ([Subscribe, Lost, Down], [])


async def test_who_came_back_is_not_lost_by_what_was_said_before(link: Link, written: Written) -> None:
    session = link.new_session("demo", "ann", "phone")
    was = link.place_of(session)
    await link.up(session)
    await link.lost(session)
    link.old_session("demo", "ann", "phone", was)
    await link.resume(session, was)
    await written.loses(1)
    await link.lost(session)
    await written.loses(3)
    link.old_session("demo", "ann", "phone", was)
    await link._say_ends()
    assert [type(one) for one in written.records] == [Up, Lost, Resume, Lost]


async def test_an_end_that_kafka_took_too_long_for_is_not_said_of_who_came_back(link: Link, written: Written) -> None:
    session = link.new_session("demo", "ann", "phone")
    was = link.place_of(session)
    await link.up(session)
    written.room.clear()
    lost = asyncio.create_task(link.lost(session))
    await asyncio.sleep(0)
    resumed = asyncio.create_task(link.resume(link.old_session("demo", "ann", "phone", was), was))
    await asyncio.sleep(0)
    written.full = True
    written.room.set()
    await asyncio.sleep(0)
    written.full = False
    await asyncio.wait([lost, resumed])
    await link._say_ends()
    assert [type(one) for one in written.records] == [Up, Resume]


async def test_what_sessions_of_a_user_say_keeps_its_order_where_it_waits_for_room(
    link: Link, written: Written
) -> None:
    session = link.new_session("demo", "ann", "phone")
    was = link.place_of(session)
    written.last_first = True
    written.room.clear()
    said = [
        asyncio.create_task(work)
        for work in (link.up(session), link.ground(session, background=True), link.resume(session, was))
    ]
    await asyncio.sleep(0.01)
    written.room.set()
    await asyncio.wait(said)
    assert [type(one) for one in written.records] == [Up, Ground, Resume]


async def test_what_kafka_lost_of_a_registration_that_is_over_concerns_nobody(link: Link, written: Written) -> None:
    session = link.new_session("demo", "ann", "phone")
    await link.up(session)
    await link.down(session)
    link.registration = Registration(epoch=42, partition=3, partitions=8)
    await written.loses(0, 1)
    await link._say_ends()
    assert [type(one) for one in written.records] == [Up, Down]


async def test_subscriptions_and_watched_users_go_in_calls_of_the_contracts_size(link: Link, written: Written) -> None:
    session = link.new_session("demo", "ann", "phone")
    wanted = [Subscription("g", "messages", f"c{number}") for number in range(140)] + [Subscription("g", "server")]
    await link.subscribe(session, wanted, request="r")
    await link.unsubscribe(session, wanted[-1:])
    await link.watch(session, [f"u{number}" for number in range(101)])
    await link.unwatch(session, ["u1"])
    first, second, third, watch, rest, unwatch = written.records
    assert [type(one) for one in written.records] == [Subscribe, Subscribe, Unsubscribe, Watch, Watch, Unwatch]
    assert (len(first.subscriptions), len(second.subscriptions), second.request) == (100, 41, "r")
    assert (third.subscriptions[0].level, third.subscriptions[0].channel) == ("server", None)
    assert (len(watch.users), rest.users, unwatch.users) == (100, ["u100"], ["u1"])
    with pytest.raises(BadIdError):
        await link.subscribe(session, [Subscription("a:b", "server")])


async def test_a_user_command_waits_for_its_answer(link: Link, written: Written) -> None:
    session = link.new_session("demo", "ann", "phone")
    kick = asyncio.create_task(link.kick(session, device="old"))
    status = asyncio.create_task(link.set_status(session, "away"))
    await asyncio.sleep(0)
    kicked, told = written.records
    assert (type(kicked), type(told)) == (Kick, SetStatus)
    assert (kicked.spared, kicked.device, told.status) == (SessionId("L1", 41, 0), "old", "away")
    for record, changed in ((told, 1), (kicked, 2)):
        link._tell(Answered(0, Done("demo", "ann", changed, record.request, 0)))
    assert ((await kick).changed, (await status).changed) == (2, 1)


async def test_a_session_that_another_one_ended_is_told_and_forgotten(link: Link) -> None:
    session = link.new_session("demo", "ann", "phone")
    link._tell(Told(Ended(session.slot, "replaced")))
    heard = link._handler
    assert isinstance(heard, Heard)
    assert (heard.ended, link.sessions, link.groups_of(session)) == ([(0, "replaced")], {}, {})


async def test_a_message_names_whom_it_mentions(link: Link, written: Written) -> None:
    session = link.new_session("demo", "ann", "phone")
    await link.send(session, "g", "c1", 5, b'"hi"', mentions=["bob"])
    (sent,) = written.records
    assert isinstance(sent, Send)
    assert sent.mentions == ("bob",)
    with pytest.raises(BadIdError):
        await link.send(session, "g", "c1", 5, b'"hi"', mentions=[f"u{number}" for number in range(51)])


async def test_what_was_applied_is_acknowledged_to_its_source(link: Link, written: Written) -> None:
    assert link.state is not None
    assert link.registration is not None
    link.state.feed(Lot("L1", 41, source=5, number=9, entries=[], reset=True), 0)
    for _ in range(2):
        await link._acknowledge(link.state, link.registration)
    assert written.records == [Ack("L1", 41, 5, 9)]
    assert written.places == [("link-acks", None, 5)]
    written.full = True
    link.state.feed(Lot("L1", 41, source=5, number=10, entries=[]), 0)
    await link._acknowledge(link.state, link.registration)
    written.full = False
    await link._acknowledge(link.state, link.registration)
    assert written.records[1:] == [Ack("L1", 41, 5, 10)]
    await written.loses(1)
    await link._acknowledge(link.state, link.registration)
    assert written.records[2:] == [Ack("L1", 41, 5, 10)]
