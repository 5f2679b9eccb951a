"""Too much: what is shed, in which order, and what never is."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from streams.groups.overload import Overload
from tables.batch import Backlog
from tests.cores import Partition, Seen, bind, create, groups, send
from topics import catalog, limits
from topics.answers import Accepted, Refused
from topics.deliveries import SignalOut
from topics.messages import Message, Signal
from topics.wire import ToRequester

_LATE = limits.SHED_SENDS_LATE_MS + 1
_AFTER = limits.SHED_AFTER_MS
_MANY = limits.SHED_BACKLOG


def judged(*seen: tuple[int, int, int]) -> list[bool]:
    """Whether sends are shed after each (now, late, waiting)."""
    overload, shed = Overload(), []
    for now_ms, late_ms, records in seen:
        overload.judge(now_ms, Backlog(late_ms, records))
        shed.append(overload.sheds_sends)
    return shed


def test_a_late_backlog_that_does_not_shrink_sheds_sends_after_a_while() -> None:
    steps = [(0, _LATE, _MANY), (_AFTER - 1, _LATE, _MANY + 1), (_AFTER, _LATE, _MANY + 2)]
    assert judged(*steps) == [False, False, True]


def test_a_backlog_that_shrinks_is_worked_off() -> None:
    steps = [(at, 60_000, 100_000 - at) for at in range(0, 10 * _AFTER, 100)]
    assert not any(judged(*steps))


def test_a_backlog_in_time_is_none() -> None:
    steps = [(at, limits.SHED_SENDS_LATE_MS, 1_000 + at) for at in range(0, 5 * _AFTER, 100)]
    assert not any(judged(*steps))


def test_shedding_ends_once_the_backlog_is_half_as_late_and_begins_only_after_a_while_again() -> None:
    half = limits.SHED_SENDS_LATE_MS // 2
    began = ((0, _LATE, 2 * _MANY), (_AFTER, _LATE, 2 * _MANY))
    assert judged(*began, (_AFTER + 50, half + 1, _MANY), (_AFTER + 60, half, _MANY)) == [False, True, True, False]
    ended = (*began, (_AFTER + 50, half, _MANY))
    assert judged(*ended, (_AFTER + 100, _LATE, _MANY), (2 * _AFTER + 100, _LATE, _MANY))[-2:] == [False, True]


def test_a_small_backlog_is_no_overload_however_late() -> None:
    steps = [(at, 60_000, _MANY - 1) for at in range(0, 5 * _AFTER, 100)]
    assert not any(judged(*steps))
    began = ((0, _LATE, _MANY), (_AFTER, _LATE, _MANY))
    assert judged(*began, (_AFTER + 50, _LATE, _MANY - 1)) == [False, True, False]


def test_signals_are_shed_before_sends() -> None:
    assert limits.SHED_SIGNALS_LATE_MS < limits.SHED_SENDS_LATE_MS // 2 + 1
    overload = Overload()
    overload.judge(0, Backlog(limits.SHED_SIGNALS_LATE_MS + 1, 10))
    assert overload.sheds_signals
    assert not overload.sheds_sends
    overload.judge(1, Backlog(limits.SHED_SIGNALS_LATE_MS, 10))
    assert not overload.sheds_signals


def crowded(*records: tuple[Any, Any]) -> tuple[Partition, Seen]:
    """A partition with a team `g` and a direct group `d` that sheds, and what it makes of records."""
    partition = groups()
    partition.apply(create("ann", "bob"), create("ann", "bob", group="d", kind="direct"))
    partition.apply(bind("bob", 1, 7), bind("bob", 1, 7, group="d"))
    partition.apply(send("ann", "before", partition.now_ms))
    for _ in range(2):
        partition.now_ms += _AFTER
        partition.core.apply([], partition.now_ms, Backlog(_LATE, _MANY))
    out = partition.core.apply([partition.record(*one) for one in records], partition.now_ms, Backlog(_LATE, _MANY))
    return partition, Seen(out)


def test_sends_to_teams_are_refused_and_leave_no_trace() -> None:
    now = groups().now_ms + 2 * _AFTER
    partition, seen = crowded(send("ann", "c", now, reply=ToRequester("me")))
    assert [refused.code for refused in seen.told(Refused)] == ["overloaded"]
    assert not seen.entries("l", Message)
    partition.core.apply([], partition.now_ms, Backlog())
    again = partition.apply(send("ann", "c", now, reply=ToRequester("me")))
    assert [(told.seq, told.again) for told in again.told(Accepted)] == [(2, False)]


def test_a_resend_of_what_was_accepted_is_answered_as_ever() -> None:
    _, seen = crowded(send("ann", "before", groups().now_ms, reply=ToRequester("me")))
    assert [(told.seq, told.again) for told in seen.told(Accepted)] == [(1, True)]


def test_direct_messages_are_never_shed() -> None:
    now = groups().now_ms + 2 * _AFTER
    _, seen = crowded(send("ann", "c", now, group="d", reply=ToRequester("me")))
    assert seen.told(Accepted)
    assert seen.entries("l", Message)


def test_a_send_whose_sender_asked_for_no_answer_is_not_shed() -> None:
    _, seen = crowded(send("ann", "c", groups().now_ms + 2 * _AFTER))
    assert seen.entries("l", Message)


def test_signals_are_dropped_and_relations_are_not() -> None:
    signal = Signal("app", "g", "ann", Raw(b"1"))
    _, seen = crowded((catalog.MESSAGES, signal), create("eve", group="new"))
    assert not seen.entries("l", SignalOut)
    assert seen.out.counts["signals_shed"] == 1
    assert seen.records(catalog.RELATION_EVENTS)
