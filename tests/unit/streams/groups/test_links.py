"""Links are judged by what they acknowledge; one that is overrun begins anew; none holds others back."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.groups.core import GroupsCore
from tables.batch import Backlog
from tests.cores import LINKS, Gateway, Seen, bind, create, groups, send
from topics import catalog, limits
from topics.acks import Ack
from topics.answers import Accepted
from topics.catalog import Topic
from topics.deliveries import Bound, DeliveryLot, Unread
from topics.links import Void
from topics.messages import Message
from topics.resync import Resync
from topics.wire import ToSession

_BODY = b'"' + b"x" * 1_000 + b'"'


def _ack(number: int, link: str = "l", epoch: int = 1, source: int = 0) -> tuple[Topic, Ack]:
    return catalog.LINK_ACKS, Ack(link, epoch, source, number)


def _standing(seen: Seen) -> tuple[int, int]:
    return seen.out.gauges["links_slow"], seen.out.gauges["links_overrun"]


class _Talk:
    """A group that listens on two links, and talks: `l` acknowledges when told to, `m` with each batch."""

    def __init__(self) -> None:
        self.partition = groups()
        seen = self.partition.apply(create("ann", "bob"), bind("ann", 0, 10), bind("bob", 1, 11, link="m"))
        self.sent = 0
        self.slow, self.prompt = Gateway("l", 1), Gateway("m", 1)
        self.slow.read(seen.lots("l"))
        self.prompt.read(seen.lots("m"))

    def say(self, later_ms: int = 0) -> Seen:
        """A message, and what became of it; the other link hears it whatever happens to this one."""
        self.sent += 1
        self.partition.now_ms += later_ms
        seen = self.partition.apply(
            _ack(self.prompt.number, "m"), send("ann", f"c{self.sent}", self.partition.now_ms, body=_BODY)
        )
        self.prompt.read(seen.lots("m"))
        assert [message.seq for message in seen.entries("m", Message)] == [self.sent]
        return seen


def test_a_link_that_never_acknowledged_is_not_judged() -> None:
    talk = _Talk()
    for _ in range(10):
        seen = talk.say(limits.LINK_SLOW_MS)
    assert _standing(seen) == (0, 0)


def test_a_link_that_ceases_to_acknowledge_is_slow_until_it_has_caught_up() -> None:
    talk = _Talk()
    talk.partition.apply(_ack(1))
    lots = [lot.number for _ in range(4) for lot in talk.say(limits.LINK_SLOW_MS // 3).lots("l")]
    assert _standing(talk.say()) == (0, 0)
    assert _standing(talk.say(1)) == (1, 0)
    assert _standing(talk.partition.apply(_ack(lots[0]))) == (1, 0)  # what it lacks is older than half of that
    assert _standing(talk.partition.apply(_ack(lots[2]))) == (0, 0)


def test_a_slow_link_gets_notices_in_place_of_messages_and_the_others_notice_nothing() -> None:
    talk = _Talk()
    talk.partition.apply(_ack(1))
    talk.say()
    assert _standing(talk.say(limits.LINK_SLOW_MS + 1))[0] == 1
    seen = talk.say()
    [unread] = seen.entries("l", Unread)
    assert (unread.seq, unread.count, unread.mode) == (talk.sent, 1, "slow")
    assert seen.entries("l", Message) == []
    talk.partition.apply(_ack(100))
    seen = talk.say(limits.UNREAD_WINDOW_MS)
    assert [message.seq for message in seen.entries("l", Message)] == [talk.sent]


def test_whoever_waits_on_an_overrun_link_gets_its_answer_and_nothing_else() -> None:
    talk = _Talk()
    outlet = cast("GroupsCore", talk.partition.core).desk.outbox.find("l", 1)
    assert outlet is not None
    outlet.run_over()
    [told] = talk.say().lots("l")
    assert told.overrun
    mine = send("ann", "mine", talk.partition.now_ms, reply=ToSession("l", 1, 3, 10))
    seen = talk.partition.apply(mine, mine)
    [lot] = seen.lots("l")
    assert (lot.urgent, lot.number) == (True, told.number + 1)
    assert [accepted.again for accepted in seen.entries("l", Accepted)] == [False, True]


def test_a_batchs_answers_go_ahead_of_the_rest_and_both_keep_their_order() -> None:
    talk = _Talk()
    sends = [send("ann", f"own{i}", talk.partition.now_ms, reply=ToSession("l", 1, 3, 10)) for i in range(5)]
    first, second = talk.partition.apply(*sends).lots("l")
    assert (first.urgent, second.urgent) == (True, False)
    assert second.number == first.number + 1
    assert [accepted.seq for accepted in first.entries if isinstance(accepted, Accepted)] == [1, 2, 3, 4, 5]
    assert [message.seq for message in second.entries if isinstance(message, Message)] == [1, 2, 3, 4, 5]


def test_an_overrun_link_is_told_so_once_and_begins_anew_when_it_asks_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINK_BACKLOG_BYTES", 10_000)
    talk = _Talk()
    talk.partition.apply(_ack(1))
    lots = talk.say(200).lots("l")
    while not lots[-1].overrun:
        talk.slow.read(lots)
        lots = talk.say(200).lots("l")
    talk.slow.read(lots)
    assert lots[-1].entries == []
    assert talk.slow.number < 30
    for _ in range(3):  # nothing more is written, also by the next owner
        seen = talk.say(200)
        assert seen.lots("l") == []
        assert seen.out.counts["entries_dropped"] > 0
        assert _standing(seen)[1] == 1
        talk.partition.crash()
    seen = talk.partition.apply((catalog.RESYNC, Resync("l", 1, 3, 0)))
    talk.prompt.read(seen.lots("m"))
    [lot] = seen.lots("l")
    assert lot.reset
    assert [bound.slots for bound in seen.entries("l", Bound)] == [[10]]
    assert _standing(seen) == (0, 0)
    for lots in ([lot], talk.say().lots("l"), talk.say().lots("l")):
        talk.slow.read(lots)
    assert talk.slow.heard[-1][0] == talk.sent


def test_a_worker_that_is_behind_does_not_blame_its_links() -> None:
    talk = _Talk()
    talk.partition.apply(_ack(1))
    for i in range(20):
        talk.partition.now_ms += 500
        talk.sent += 1
        record = talk.partition.record(*send("ann", f"late{i}", talk.partition.now_ms, body=_BODY))
        out = talk.partition.core.apply([record], talk.partition.now_ms, Backlog(late_ms=20_000, records=10))
        assert out.gauges["links_slow"] == 0


def test_what_dead_and_unknown_registrations_acknowledge_is_nothing() -> None:
    partition = _Talk().partition
    partition.apply(_ack(1), (catalog.LINK_VOIDS, Void("l", 1)))
    before = dict(partition.store.rows)
    seen = partition.apply(_ack(2), _ack(1, "nobody"), _ack(1, "m", 7))
    assert seen.rejected() == []
    assert partition.store.rows == before
    assert _standing(seen) == (0, 0)


def test_an_acknowledgement_for_another_source_is_rejected() -> None:
    assert groups(LINKS).apply(_ack(1, source=1)).rejected() == ["wrong_partition"]


class _Behind:
    """A gateway of `l` by the contract, whose lots wait until it reads them."""

    def __init__(self, talk: _Talk) -> None:
        self.talk = talk
        self.number = 1
        self.bound = {10}
        self.heard: list[int] = []
        self._waiting: list[DeliveryLot] = []
        self._overrun = False  # by what was written
        self._anew = False  # by what was read: waits for a reset

    def write(self, seen: Seen) -> None:
        for lot in seen.lots("l"):
            assert not self._overrun or lot.urgent or lot.reset  # nothing else until it begins anew
            assert not (self._overrun and lot.overrun)
            self._overrun = lot.overrun or (self._overrun and not lot.reset)
            self._waiting.append(lot)

    def read(self) -> bool:
        """Read the next lot; whether there was one."""
        if not self._waiting:
            return False
        lot = self._waiting.pop(0)
        assert lot.number == self.number + 1
        self.number = lot.number
        if lot.reset:
            self.bound, self._anew = set(), False
        for entry in lot.entries if not self._anew else ():
            match entry:
                case Bound():
                    self.bound |= set(entry.slots)
                case Message():
                    self.heard.append(entry.seq)
        if lot.overrun:
            self._anew = True
            self._apply((catalog.RESYNC, Resync("l", 1, 3, 0)))
        return True

    def bind(self, slot: int) -> None:
        self._apply(bind("ann", 0, slot))

    def acknowledge(self) -> None:
        self._apply(_ack(self.number))

    def _apply(self, record: tuple[Topic, Any]) -> None:
        seen = self.talk.partition.apply(record)
        self.talk.prompt.read(seen.lots("m"))
        self.write(seen)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["say", "say", "say", "bind", "read", "acknowledge", "crash"]), st.just(0)),
        st.tuples(st.just("pass"), st.sampled_from([10, 700, limits.ACKS_LATE_MS])),
    ),
    max_size=60,
)


@given(_STEPS)
def test_a_link_that_reads_at_any_pace_hears_in_order_and_comes_to_the_present(steps: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "LINK_BACKLOG_BYTES", 1_500)  # a message
        talk = _Talk()
        behind, truth = _Behind(talk), {10}
        behind.acknowledge()
        for step, value in steps:
            match step:
                case "say":
                    behind.write(talk.say())
                case "bind":
                    truth.add(20 + len(truth))
                    behind.bind(20 + len(truth) - 1)
                case "read":
                    behind.read()
                case "acknowledge":
                    behind.acknowledge()
                case "crash":
                    talk.partition.crash()
                case _:
                    talk.partition.now_ms += value
        while behind.read():
            pass
        behind.acknowledge()
        behind.write(talk.say(limits.UNREAD_WINDOW_MS))
        while behind.read():
            pass
        assert behind.bound == truth
        assert behind.heard == sorted(set(behind.heard))
        assert behind.heard[-1] == talk.sent
