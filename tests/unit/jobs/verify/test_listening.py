"""Who hears what because of what they asked for, and of where they are: in a run written by hand."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from jobs.verify.findings import RULES
from jobs.verify.judge import judge
from jobs.verify.world import World
from tests.small_world import APP
from tests.spoil import Mutation, changed, doubled, dropped, entry, record
from tests.unit.jobs.verify.stage import Stage, bits
from topics.catalog import DELIVERIES, RELATION_EVENTS, SESSIONS
from topics.deliveries import (
    AudienceDelta,
    AudienceSet,
    Background,
    Bound,
    Changed,
    DeliveryLot,
    Drive,
    Ended,
    Mention,
    PresenceOut,
    Resumed,
    SessionLot,
    SignalOut,
    Subscribed,
    Unread,
)
from topics.entities import Channel
from topics.events import ChannelCreated
from topics.messages import Message
from topics.presence import Presence
from topics.sessions import Down, Ground, Lost, Resume, SetStatus, Subscribe, Unsubscribe, Up, Watch
from topics.subscriptions import Joined, Subscription
from topics.wire import LinkAddress, SessionId

TEAM, PAIR, TOWN = "team", "pair", "town"
USERS = ["ann", "bob", "cid", "dan"]
QUIET_MS: Final = 60_000


@pytest.fixture(scope="module")
def world() -> World:
    """One team, a pair that is driven by notices, and a server too large to be heard unasked."""
    made = Stage()
    made.policy(subscribe_members=3, drive_direct="session", resume_ms=10_000)
    east, west = made.register("east", 0), made.register("west", 1)
    made.group(TEAM, "team", USERS)
    made.group(PAIR, "direct", USERS[:2])
    made.group(TOWN, "server", USERS, Channel("square", visitor_mode="visible"), Channel("club"))
    for slot, user in enumerate([*USERS, "eve"]):
        made.begin(user, east, slot)
    made.lot(east, made.bound(TEAM, {0: 0, 1: 1, 2: 2, 3: 3}), made.bound(PAIR, {0: 0, 1: 1}, "unread_count"))
    made.lot(east, made.bound(TOWN, {0: 0, 1: 1, 2: 2, 3: 3}, "none"))
    made.wait(QUIET_MS)
    _team(made, east)
    _pair(made, east)
    _town(made, east)
    _persons(made, east, west)
    made.wait(QUIET_MS)
    made.asks(SetStatus(APP, "ann", "out"))
    return made.world()


def _team(made: Stage, east: LinkAddress) -> None:
    """All hear all; two turn away; a burst; a mention; a link that falls behind."""
    made.lot(east, made.says(TEAM, "ann"))
    for slot, user in ((2, "cid"), (3, "dan")):
        made.asks(Ground(APP, user, "east", east.epoch, slot, background=True))
    made.lot(east, Background([2, 3]))
    message = made.says(TEAM, "ann")
    made.lot(east, message, made.unread(message, background=True))
    later = [made.says(TEAM, "bob") for _ in range(3)]
    made.lot(east, *later)
    made.wait(200)
    made.lot(east, made.unread(later[-1], count=3, background=True))
    made.wait(QUIET_MS)
    burst = made.says(TEAM, "bob")
    made.lot(east, made.unread(burst, mode="burst"))
    made.wait(QUIET_MS)
    made.asks(Ground(APP, "dan", "east", east.epoch, 3, background=False))
    made.lot(east, Background([3], on=False))
    named = made.says(TEAM, "ann", mentions=["dan", "nobody"])
    made.lot(east, Mention([3], named), urgent=True)
    made.lot(east, named, made.unread(named, background=True))
    made.wait(QUIET_MS)


def _pair(made: Stage, east: LinkAddress) -> None:
    """Notices, but for who has it open."""
    message = made.says(PAIR, "ann")
    made.lot(east, made.unread(message))
    _ask(made, east, "ann", 0, Subscription(PAIR, "messages", "main"))
    made.lot(east, made.asked(PAIR, 0, ("messages", "main")), urgent=True)
    made.wait(QUIET_MS)
    message = made.says(PAIR, "bob")
    pushed = msgspec.structs.replace(message, audience=9, audience_version=1)
    made.lot(east, made.sessions_in(PAIR, 9, 0), pushed, made.unread(message, beside=9))
    made.wait(QUIET_MS)


def _town(made: Stage, east: LinkAddress) -> None:
    """Only what was asked for is heard."""
    made.says(TOWN, "ann", "square")
    _ask(made, east, "ann", 0, Subscription(TOWN, "messages", "square"), Subscription(TOWN, "typing", "square"))
    _ask(made, east, "bob", 1, Subscription(TOWN, "unread_count", "square"), Subscription(TOWN, "server"))
    _ask(made, east, "cid", 2, Subscription(TOWN, "unread_status", "square"))
    _ask(made, east, "eve", 4, Subscription(TOWN, "messages", "square"))
    made.lot(
        east,
        made.asked(TOWN, 0, ("messages", "square"), ("typing", "square")),
        made.asked(TOWN, 1, ("unread_count", "square"), ("server", None)),
        made.asked(TOWN, 2, ("unread_status", "square")),
        made.asked(TOWN, 4, ("messages", "square")),
        urgent=True,
    )
    made.wait(QUIET_MS)
    message = made.says(TOWN, "dan", "square")
    made.lot(
        east,
        made.sessions_in(TOWN, 1, 0),
        _for(message, 1),
        made.sessions_in(TOWN, 5, 4),
        _for(message, 5),
        made.sessions_in(TOWN, 2, 1),
        made.unread(message, 2, count=2),
        made.sessions_in(TOWN, 3, 2),
        made.unread(message, 3, level="unread_status"),
        made.sessions_in(TOWN, 4, 0),
        SignalOut(APP, TOWN, "square", 3, 1, "dan", msgspec.Raw(b"1"), "typing", 4, 3),
        made.sessions_in(TOWN, 6, 1),
        Changed(APP, TOWN, 3, 2, ["group"], audience=6, audience_version=3),
    )
    _ask(made, east, "ann", 0, Subscription(TOWN, "typing", "square"), on=False)
    made.lot(east, made.asked(TOWN, 0, ("messages", "square")), urgent=True)
    made.lot(east, AudienceDelta(APP, TOWN, 4, 3, left=bits([0])))
    made.wait(QUIET_MS)


def _persons(made: Stage, east: LinkAddress, west: LinkAddress) -> None:
    """Sessions are lost and resumed, here and elsewhere; one takes another's place; one watches."""
    made.asks(Watch(APP, "bob", "east", east.epoch, 1, ["ann", "cid", "nobody"]))
    made.tell(east, PresenceOut(APP, [1], [Presence("ann", "online"), Presence("nobody", "offline")]))
    made.tell(east, PresenceOut(APP, [1], [Presence("cid", "online", version=1)]))
    made.tell(east, PresenceOut(APP, [1], [Presence("cid", "background", version=2)]))
    made.asks(Lost(APP, "ann", "east", east.epoch, 0))
    made.asks(Resume(APP, "ann", "device-0", "east", east.epoch, 0, 0, SessionId("east", east.epoch, 0)))
    made.tell(east, Resumed(0, known=True, inbox=0))
    made.asks(Resume(APP, "ann", "device-0", "west", west.epoch, 1, 1, SessionId("east", east.epoch, 0)))
    made.tell(east, Ended(0, "replaced"))
    made.tell(west, Resumed(1, known=True, inbox=0))
    made.lot(east, *(made.unbound(group, {0: 0}) for group in (TEAM, PAIR, TOWN)))
    made.lot(west, made.bound(TEAM, {1: 0}), made.bound(PAIR, {1: 0}, "unread_count"), made.bound(TOWN, {1: 0}, "none"))
    made.wait(QUIET_MS)
    message = made.says(TOWN, "dan", "square")
    made.lot(west, made.sessions_in(TOWN, 7, 1), _for(message, 7))
    notices = made.unread(message, 2), made.unread(message, 3, level="unread_status")
    made.lot(east, _for(message, 5), *notices)
    made.asks(Up(APP, "dan", "device-3", "west", west.epoch, 1, 9))
    made.tell(east, Ended(3, "replaced"))
    made.lot(east, made.unbound(TEAM, {3: 3}), made.unbound(TOWN, {3: 3}))
    made.lot(west, made.bound(TEAM, {9: 3}), made.bound(TOWN, {9: 3}, "none"))
    made.wait(QUIET_MS)
    made.policy(subscribe_members=5, drive_direct="session", resume_ms=10_000)
    for link in (east, west):
        made.lot(link, Drive(APP, TOWN, 3, "messages"))
    made.wait(QUIET_MS)
    made.asks(Up(APP, "dan", "device-4", "east", east.epoch, 0, 6))
    made.lot(east, made.bound(TEAM, {6: 3}), made.bound(TOWN, {6: 3}))
    made.wait(QUIET_MS)
    made.lot(east, overrun=True)
    made.asks(Down(APP, "dan", "east", east.epoch, 6))
    made.unbound(TEAM, {6: 3})  # of which the link is told nothing
    named = made.says(TEAM, "ann", mentions=["dan"])
    made.lot(west, Mention([9], named), urgent=True)
    made.lot(west, named)
    made.maps[TEAM] += 1  # others come and go on other links
    made.wait(QUIET_MS)
    _anew(made, east)
    message = made.says(TEAM, "ann")
    made.lot(west, message)
    made.lot(east, message, made.unread(message, background=True, count=2))


def _anew(made: Stage, east: LinkAddress) -> None:
    groups: list[tuple[str, dict[int, int], Joined]] = [
        (TEAM, {1: 1, 2: 2}, "messages"),
        (PAIR, {1: 1}, "unread_count"),
        (TOWN, {1: 1, 2: 2}, "messages"),
    ]
    told = [
        Bound(APP, group, made.maps[group], list(pairs.values()), list(pairs), joined=joined)
        for group, pairs, joined in groups
    ]
    made.lot(east, Background([2]), *told, reset=True)


def _ask(made: Stage, link: LinkAddress, user: str, slot: int, *what: Subscription, on: bool = True) -> None:
    record = Subscribe if on else Unsubscribe
    made.asks(record(APP, user, link.link, link.epoch, slot, list(what)))


def _for(message: Message, audience: int) -> Message:
    return msgspec.structs.replace(message, audience=audience, audience_version=3)


def test_a_good_run_has_no_fault(world: World) -> None:
    report = judge(world, settled=True, examples=100)
    assert report.rules == {}, report.examples
    assert report.notices == 11
    assert report.to_notice is not None


def _lot_with(type_: type, where: Any = bool) -> Any:
    return lambda lot: (
        isinstance(lot, DeliveryLot) and any(isinstance(one, type_) and where(one) for one in lot.entries)
    )


def _gone(type_: type, where: Any = bool) -> Mutation:
    return entry(DELIVERIES, type_, lambda told: [] if where(told) else None)


def _without(type_: type) -> Mutation:
    """A session lot loses what is in it; these are not numbered."""
    return dropped(
        DELIVERIES, lambda lot: isinstance(lot, SessionLot) and any(isinstance(one, type_) for one in lot.entries)
    )


def _in_town(message: Message) -> bool:
    return message.group == TOWN


SPOILT: dict[str, list[Mutation]] = {
    "heard_unasked": [
        # One who never asked is put among those who did.
        changed(DELIVERIES, AudienceSet, where=lambda told: told.audience == 1, members=bits([0, 3])),
        # All are told, though nobody hears it unasked.
        changed(DELIVERIES, Message, where=_in_town, audience=0),
        # Its answer was never given.
        _gone(Subscribed, lambda told: told.group == PAIR),
        # Another level was subscribed to.
        changed(DELIVERIES, Unread, where=lambda told: told.level == "unread_status", audience=2),
        # A signal goes to who does not hear it any more, or to all.
        changed(DELIVERIES, SignalOut, audience=2),
        changed(DELIVERIES, SignalOut, audience=0, audience_version=0),
        # A notice goes to all members of a group where nobody hears it unasked.
        changed(DELIVERIES, Unread, where=lambda told: told.group == TOWN, audience=0, audience_version=0),
    ],
    "heard_unseen": [
        # Visitors do not see it, but one is told.
        record(RELATION_EVENTS, ChannelCreated, channel=Channel("square")),
    ],
    "seen_unheard": [
        changed(DELIVERIES, AudienceSet, where=lambda told: told.audience == 5, members=""),
        changed(DELIVERIES, AudienceSet, where=lambda told: told.audience == 7, members=""),
        _gone(Message, lambda m: m.audience == 5),
    ],
    "link_missed": [
        _gone(Message, lambda m: m.group == TEAM and m.seq == 1),
        _gone(Unread, lambda told: told.mode == "burst"),
    ],
    "unread_missed": [
        # What was resumed elsewhere is not heard there.
        _gone(Message, lambda m: m.audience == 7),
        _gone(Unread, lambda told: told.level == "unread_status" and told.seq == 3),
        changed(DELIVERIES, Unread, where=lambda told: told.beside == 9, beside=0, audience=9, audience_version=1),
    ],
    "unread_late": [
        _gone(Unread, lambda told: told.count == 3),
        _gone(Unread, lambda told: told.group == PAIR and told.seq == 1),
        changed(DELIVERIES, Unread, where=lambda told: told.count == 3, seq=4, count=2),
    ],
    "unread_order": [changed(DELIVERIES, Unread, where=lambda told: told.count == 3, seq=1)],
    "unread_count": [
        changed(DELIVERIES, Unread, where=lambda told: told.count == 3, count=4),
        changed(DELIVERIES, Unread, where=lambda told: told.level == "unread_status", count=2),
    ],
    "unread_often": [entry(DELIVERIES, Unread, lambda told: [told] * 9_000 if told.count == 3 else None)],
    "pushed_less": [
        changed(DELIVERIES, Unread, where=lambda told: told.mode == "burst", mode="usual"),
        changed(DELIVERIES, Unread, where=lambda told: told.count == 3, background=False),
    ],
    "told_both": [changed(DELIVERIES, Unread, where=lambda told: told.beside == 9, beside=0)],
    "mention_wrong": [changed(DELIVERIES, Mention, slots=[3, 1])],
    "mention_twice": [entry(DELIVERIES, Mention, lambda told: [told, told])],
    "mention_missed": [_gone(Mention), changed(DELIVERIES, Mention, slots=[])],
    "drive_wrong": [
        entry(DELIVERIES, Drive, lambda _: [], skip=1),
        changed(DELIVERIES, Drive, joined="unread_count"),
        changed(DELIVERIES, Bound, where=lambda told: told.joined == "none", joined="messages"),
        changed(DELIVERIES, Bound, where=lambda told: told.joined == "messages", joined="unread_count"),
    ],
    "ground_wrong": [
        changed(DELIVERIES, Background, slots=[1, 2, 3]),
        entry(DELIVERIES, Background, lambda told: [Background([2, 3], on=False)] if not told.on else None),
        changed(DELIVERIES, Background, where=lambda told: told.slots == [2], slots=[]),
    ],
    "urgent_mixed": [record(DELIVERIES, DeliveryLot, where=_lot_with(Message), urgent=True)],
    "overrun_ignored": [
        record(DELIVERIES, DeliveryLot, where=_lot_with(Background, lambda told: not told.on), overrun=True),
        record(DELIVERIES, DeliveryLot, where=lambda lot: lot.reset, reset=False),
    ],
    "resume_unanswered": [_without(Resumed)],
    "resume_wrong": [changed(DELIVERIES, Resumed, known=False)],
    "ended_wrong": [changed(DELIVERIES, Ended, slot=1), changed(DELIVERIES, Ended, why="kicked")],
    "ended_twice": [doubled(DELIVERIES, lambda lot: isinstance(lot, SessionLot) and isinstance(lot.entries[0], Ended))],
    "ended_untold": [_without(Ended)],
    "presence_unasked": [
        changed(DELIVERIES, PresenceOut, slots=[1, 2]),
        dropped(SESSIONS, lambda told: isinstance(told, Watch)),
    ],
    "presence_order": [changed(DELIVERIES, PresenceOut, skip=1, users=[Presence("cid", "online", version=9)])],
    "presence_missed": [_without(PresenceOut)],
    "presence_wrong": [changed(DELIVERIES, PresenceOut, skip=2, users=[Presence("cid", "online", version=2)])],
}


@pytest.mark.parametrize(
    ("rule", "mutation"),
    [pytest.param(rule, one, id=f"{rule}-{i}") for rule, many in SPOILT.items() for i, one in enumerate(many)],
)
def test_a_spoilt_run_is_seen(world: World, rule: str, mutation: Mutation) -> None:
    report = judge(mutation(world), settled=True, examples=1_000)
    assert rule in report.rules
    assert report.faults[RULES[rule][0]] > 0


def test_who_comes_back_while_a_message_is_decided_pulls_it() -> None:
    made = Stage()
    east, west = made.register("east", 0), made.register("west", 1)
    made.group("duo", "team", ["ann", "bob"])
    made.begin("ann", west, 0)
    made.begin("bob", east, 1)
    made.lot(west, made.bound("duo", {0: 0}))
    made.lot(east, made.bound("duo", {1: 1}))
    made.wait(QUIET_MS)
    made.asks(Ground(APP, "bob", "east", east.epoch, 1, background=True))
    made.lot(east, Background([1]))
    made.wait(QUIET_MS)
    made.asks(Ground(APP, "bob", "east", east.epoch, 1, background=False))
    made.lot(west, made.says("duo", "ann"))
    made.lot(east, Background([1], on=False))
    later = made.says("duo", "ann")
    made.lot(west, later)
    made.lot(east, later)
    made.wait(QUIET_MS)
    made.asks(SetStatus(APP, "ann", "out"))
    report = judge(made.world(), settled=True, examples=100)
    assert report.rules == {}, report.examples
