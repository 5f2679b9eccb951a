"""Messages: checked in order, answered with a code or a seq, delivered by one entry a link."""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from streams.groups import dispatch
from tests.cores import Partition, add, bind, create, delete, groups, remove, send
from tests.unit.streams.groups import test_channels
from topics import catalog, limits
from topics.answers import Accepted, Refused
from topics.deliveries import Head, SignalOut
from topics.links import Void
from topics.messages import MAIN, Message, Signal
from topics.wire import ToRequester, ToSession

_ME = ToRequester("me")


@pytest.fixture
def partition() -> Partition:
    """A group of `ann` and `bob`, whose sessions are on two links."""
    made = groups()
    made.apply(create("ann", "bob"))
    made.apply(bind("ann", 0, 10, link="one"), bind("bob", 1, 11, link="one"), bind("bob", 1, 20, link="two"))
    return made


def _try(partition: Partition, client_id: str = "c", **more: Any) -> Accepted | Refused:
    """A send of `ann`, and its answer."""
    given: dict[str, Any] = {"sender": "ann", "tried_at": partition.now_ms, "reply": _ME} | more
    seen = partition.apply(send(client_id=client_id, **given))
    answers_: list[Accepted | Refused] = [*seen.told(Accepted), *seen.told(Refused)]
    [answer] = answers_
    return answer


def _code(partition: Partition, **more: Any) -> str:
    answer = _try(partition, **more)
    assert isinstance(answer, Refused)
    assert answer.client_id == "c"
    return answer.code


def test_unknown_group(partition: Partition) -> None:
    assert _code(partition, group="other") == "unknown_group"
    partition.apply(delete())
    assert _code(partition) == "unknown_group"


def test_unknown_channel(partition: Partition) -> None:
    assert _code(partition, channel="other") == "unknown_channel"


def test_not_a_member(partition: Partition) -> None:
    assert _code(partition, sender="eve") == "not_a_member"
    partition.apply(remove("ann"))
    assert _code(partition) == "not_a_member"


def test_message_too_large(partition: Partition) -> None:
    body = b'"' + b"x" * (limits.BODY_BYTES - 2) + b'"'
    assert isinstance(_try(partition, "fits", body=body), Accepted)
    answer = _try(partition, body=b'"x' + body[1:])
    assert isinstance(answer, Refused)
    assert (answer.code, answer.limit) == ("message_too_large", limits.BODY_BYTES)


def test_expired(partition: Partition) -> None:
    assert isinstance(_try(partition, "old", tried_at=partition.now_ms - limits.DEDUPE_WINDOW_MS), Accepted)
    answer = _try(partition, tried_at=partition.now_ms - limits.DEDUPE_WINDOW_MS - 1)
    assert isinstance(answer, Refused)
    assert (answer.code, answer.limit) == ("expired", limits.DEDUPE_WINDOW_MS)


def test_throttled(partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DEDUPE_PER_DEVICE", 2)
    assert isinstance(_try(partition, "c1"), Accepted)
    assert isinstance(_try(partition, "c2"), Accepted)
    assert _code(partition) == "throttled"
    assert isinstance(_try(partition, "c3", device="other"), Accepted)
    partition.now_ms += limits.DEDUPE_WINDOW_MS + 1
    assert isinstance(_try(partition, "c4"), Accepted)


def test_clock_ahead(partition: Partition) -> None:
    assert isinstance(_try(partition, "ahead", tried_at=partition.now_ms + limits.CLOCK_SKEW_MS), Accepted)
    assert _code(partition, tried_at=partition.now_ms + limits.CLOCK_SKEW_MS + 1) == "clock_ahead"


def test_the_first_check_that_fails_names_the_code(partition: Partition) -> None:
    bad: dict[str, object] = {"body": b'"' + b"x" * limits.BODY_BYTES + b'"', "tried_at": 0}
    assert _code(partition, **bad) == "message_too_large"
    bad["sender"] = "eve"
    assert _code(partition, **bad) == "not_a_member"
    bad["channel"] = "other"
    assert _code(partition, **bad) == "unknown_channel"
    bad["group"] = "other"
    assert _code(partition, **bad) == "unknown_group"


def test_a_refused_send_changes_nothing_and_reaches_nobody(partition: Partition) -> None:
    rows = dict(partition.store.rows)
    seen = partition.apply(send("eve", "c", partition.now_ms), send("ann", "c", 0), send("ann", "c", 1, channel="x"))
    assert seen.out.records == {}
    assert partition.store.rows == rows


def test_a_resend_gets_its_first_seq_and_is_delivered_once(partition: Partition) -> None:
    at = partition.now_ms
    first = send("ann", "c", at, reply=_ME)
    seen = partition.apply(first, first)
    assert [(a.seq, a.at, a.again) for a in seen.told(Accepted)] == [(1, at, False), (1, at, True)]
    assert len(seen.entries("one", Message)) == 1
    partition.now_ms += 10
    partition.crash()
    seen = partition.apply(first)
    assert [(a.seq, a.at, a.again) for a in seen.told(Accepted)] == [(1, at, True)]
    assert seen.entries("one", Message) == []
    assert seen.records(catalog.HISTORY) == []


def test_a_resend_by_a_user_removed_since_still_gets_its_seq(partition: Partition) -> None:
    first = send("ann", "c", partition.now_ms, reply=_ME)
    partition.apply(first)
    partition.apply(remove("ann"))
    [answer] = partition.apply(first).told(Accepted)
    assert (answer.seq, answer.again) == (1, True)
    assert _code(partition, client_id="c", device="new") == "not_a_member"


def test_devices_do_not_share_client_ids(partition: Partition) -> None:
    numbers = [_try(partition, "c", device=device).seq for device in ("d", "e", "d")]  # type: ignore[union-attr]
    assert numbers == [1, 2, 1]


def test_one_entry_a_link_and_its_bytes_are_those_of_history(partition: Partition) -> None:
    at = partition.now_ms
    seen = partition.apply(*(send("ann", f"c{i}", at, body=b'{"i": %d}' % i) for i in range(3)))
    [history] = seen.records(catalog.HISTORY)
    assert [(m.seq, m.prev, m.counter) for m in history.entries] == [(1, 0, 1), (2, 1, 2), (3, 2, 3)]
    [raw] = seen.raw(catalog.HISTORY)
    entries = raw[raw.index(b"[") + 1 : -2]
    for link in ("one", "two"):
        [lot] = seen.lots(link)
        assert lot.entries == history.entries
        [bytes_] = [value for value in seen.raw(catalog.DELIVERIES) if b'"link":"%s"' % link.encode() in value]
        assert bytes_[bytes_.index(b"[") + 1 : -2] == entries
    for message in history.entries:
        assert (message.version, message.map, message.audience) == (1, 1, 0)
        assert (message.app, message.group, message.channel, message.sender) == ("app", "g", "main", "ann")
        assert message.at == at
        assert bytes(message.body) == b'{"i": %d}' % (message.seq - 1)


def test_a_kind_that_is_the_usual_one_is_left_out_even_if_the_sender_named_it(partition: Partition) -> None:
    """Else pages that come from the table, which keeps no such difference, are not those that were delivered."""
    named = msgspec.json.decode(b'"text"')  # equal to the default, and not the default itself
    seen = partition.apply(send("ann", "c", partition.now_ms, kind=named))
    [value] = seen.raw(catalog.HISTORY)
    assert b'"k":"text"' not in value


def test_numbers_go_on_after_a_crash_that_took_the_batch_with_it(partition: Partition) -> None:
    assert _try(partition, "c1").seq == 1  # type: ignore[union-attr]
    partition.core.apply([partition.record(*send("ann", "lost", partition.now_ms))], partition.now_ms)
    partition.crash()
    seen = partition.apply(send("ann", "lost", partition.now_ms))
    assert [m.seq for m in seen.entries("one", Message)] == [2]
    assert [lot.number for lot in seen.lots("one")] == [3]


def test_an_answer_for_a_session_travels_among_its_links_deliveries(partition: Partition) -> None:
    reply = ToSession("one", 1, 3, 10)
    seen = partition.apply(send("ann", "c", partition.now_ms, reply=reply), send("eve", "d", 1, reply=reply))
    assert [(a.seq, a.slot) for a in seen.entries("one", Accepted)] == [(1, 10)]
    assert [(a.code, a.slot) for a in seen.entries("one", Refused)] == [("not_a_member", 10)]
    assert seen.records(catalog.ANSWERS) == []
    assert seen.entries("two", Accepted) == []


def test_a_session_of_a_dead_link_gets_no_answer_but_its_message_counts(partition: Partition) -> None:
    partition.apply((catalog.LINK_VOIDS, Void("one", 1)))
    seen = partition.apply(send("ann", "c", partition.now_ms, reply=ToSession("one", 1, 3, 10)))
    assert seen.lots("one") == []
    assert [m.seq for m in seen.entries("two", Message)] == [1]


def test_an_answer_to_nowhere_rejects_its_record(partition: Partition) -> None:
    seen = partition.apply(send("ann", "c", partition.now_ms, reply=ToSession("one", 1, 32, 10)))
    assert seen.rejected() == ["bad_address"]
    assert seen.records(catalog.HISTORY) == []


def test_nobody_waiting_means_no_answer(partition: Partition) -> None:
    seen = partition.apply(send("ann", "c", partition.now_ms))
    assert seen.records(catalog.ANSWERS) == []
    assert [type(entry) for lot in seen.lots("one") for entry in lot.entries] == [Message]


def _signal(sender: str, channel: str = MAIN) -> tuple[catalog.Topic, Signal]:
    return catalog.MESSAGES, Signal("app", "g", sender, Raw(b'"typing"'), channel)


def test_a_signal_reaches_each_link_once_takes_no_seq_and_is_not_kept(partition: Partition) -> None:
    seen = partition.apply(_signal("ann"))
    assert [len(seen.entries(link, SignalOut)) for link in ("one", "two")] == [1, 1]
    assert seen.records(catalog.HISTORY) == []
    assert _try(partition).seq == 1  # type: ignore[union-attr]


def test_a_signal_that_may_not_be_sent_is_dropped(partition: Partition) -> None:
    assert partition.apply(_signal("eve"), _signal("ann", channel="x")).out.records == {}


def test_the_head_of_a_quiet_channel_is_announced_once_to_every_link(partition: Partition) -> None:
    assert _try(partition).seq == 1  # type: ignore[union-attr]
    due = partition.core.due_ms()
    assert due == partition.now_ms + limits.QUIET_MS
    assert partition.tick(limits.QUIET_MS - 1).out.records == {}
    seen = partition.tick(1)
    for link in ("one", "two"):
        assert [(h.channel, h.seq) for h in seen.entries(link, Head)] == [("main", 1)]
    assert partition.tick(limits.QUIET_MS).out.records == {}
    assert partition.core.due_ms() is None


def test_a_take_over_forgets_no_head(partition: Partition) -> None:
    _try(partition)
    partition.crash()
    assert [h.seq for h in partition.tick().entries("one", Head)] == [1]
    partition.crash()
    assert partition.tick().out.records == {}


def test_a_deleted_group_has_no_head_to_announce(partition: Partition) -> None:
    _try(partition)
    partition.apply(delete())
    assert partition.tick(limits.QUIET_MS).entries("one", Head) == []


def test_who_joins_by_the_record_before_may_send_and_who_is_removed_by_it_may_not(partition: Partition) -> None:
    at = partition.now_ms
    seen = partition.apply(add("eve"), send("eve", "c", at, reply=_ME), remove("eve"), send("eve", "d", at, reply=_ME))
    assert [a.seq for a in seen.told(Accepted)] == [1]
    assert [a.code for a in seen.told(Refused)] == ["not_a_member"]


def test_a_re_created_group_goes_on_with_its_seq(partition: Partition) -> None:
    at = partition.now_ms
    partition.apply(*(send("ann", f"c{i}", at) for i in range(40)))
    partition.apply(delete())
    for crash in (False, True):
        if crash:
            partition.crash()
        assert _code(partition) == "unknown_group"
    partition.apply(create("ann"))
    partition.now_ms += 1
    [history] = partition.apply(send("ann", "new", partition.now_ms)).records(catalog.HISTORY)
    assert [(m.seq, m.prev, m.version) for m in history.entries] == [(41, 40, 3)]


def test_entries_of_a_large_batch_are_cut_into_lots_in_order(partition: Partition) -> None:
    body = b'"' + b"x" * 10_000 + b'"'
    seen = partition.apply(*(send("ann", f"c{i}", partition.now_ms, body=body) for i in range(120)))
    lots = seen.lots("one")
    assert len(lots) > 1
    assert [lot.number for lot in lots] == [2 + i for i in range(len(lots))]
    assert [m.seq for m in seen.entries("one", Message)] == list(range(1, 121))
    assert all(len(value) <= limits.RECORD_BYTES for value in seen.raw(catalog.DELIVERIES) + seen.raw(catalog.HISTORY))


def test_every_code_of_a_send_has_its_test() -> None:
    tested = {name.removeprefix("test_") for module in (test_channels, sys.modules[__name__]) for name in vars(module)}
    raised = set(re.findall(r'RefusalError\("([a-z_]+)"', inspect.getsource(dispatch)))
    of_resends = {"expired", "throttled", "clock_ahead"}
    assert raised | of_resends <= tested | {"overloaded"}  # test_overload
