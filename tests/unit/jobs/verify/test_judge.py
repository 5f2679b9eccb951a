"""The judge finds nothing in a good run, and for every rule there is a run spoilt against it that it sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from jobs.verify.findings import KINDS, RULES
from jobs.verify.judge import judge
from jobs.verify.report import Report
from jobs.verify.world import Row, StoredMessage, World
from tests.small_world import APP, SmallWorld, requester
from tests.spoil import (
    Mutation,
    appended,
    cached,
    changed,
    decoded,
    doubled,
    dropped,
    edited,
    entries,
    entry,
    moved,
    record,
    stored,
    together,
    with_rows,
)
from tests.unit.jobs.verify.test_audiences import SPOILT as SPOILT_SERVER
from tests.unit.jobs.verify.test_listening import SPOILT as SPOILT_SESSIONS
from topics import catalog, limits
from topics.answers import Accepted, AnswerLot, AnswerTo, Applied, Refused
from topics.catalog import Topic
from topics.codec import decode, encode
from topics.deliveries import Bound, DeliveryLot, Unbound
from topics.events import GroupCreated, MembersAdded, MembersRemoved
from topics.links import Void
from topics.messages import HistoryLot, Message, Send
from topics.rejects import Reject
from topics.relations import AddMembers, CreateGroup, DeleteGroup, RemoveMembers
from topics.sessions import Down, Up
from topics.wire import LinkAddress, ToSession

TEAM, PAIR, CLUB = "team", "pair", "club"
USERS = [f"u{i}" for i in range(8)]


@pytest.fixture(scope="module")
def world() -> World:
    """Groups come and go, sessions come and go, a link dies, a gateway asks for a resync, some sends are bad."""
    made = SmallWorld()
    sessions, second, doomed = _begin(made)
    _talk(made, sessions)
    _change_members(made, sessions)
    _end(made, sessions, second, doomed)
    made.settle()
    made.wait(limits.QUIET_MS + 1)
    made.work()
    return made.world(planned=["link doomed died"])


def _begin(made: SmallWorld) -> tuple[dict[str, ToSession], ToSession, LinkAddress]:
    east, west, doomed = made.register("east", 0), made.register("west", 1), made.register("doomed", 2)
    made.command(CreateGroup(APP, TEAM, members=USERS, request="c1", reply=requester("admin")))
    made.command(CreateGroup(APP, PAIR, kind="direct", members=["u0", "u1"]))
    made.command(CreateGroup(APP, CLUB, members=["u0", "u2"], request="c2", reply=requester("admin")))
    made.settle()
    sessions = {user: made.up(user, link) for user, link in zip(USERS, [east, west, doomed] * 3, strict=False)}
    second = made.up("u0", west)
    made.settle()
    made.wait(30_000)
    return sessions, second, doomed


def _talk(made: SmallWorld, sessions: dict[str, ToSession]) -> None:
    for i in range(6):
        user = USERS[i]
        made.send(TEAM, user, f"hello-{i}", sessions[user])
        made.work()
    first = made.send(TEAM, "u1", "again", sessions["u1"])
    made.work()
    made.send(TEAM, "u1", "again", sessions["u1"], tried_at=first)
    made.send(PAIR, "u0", "p1", requester("caller"))
    made.send(CLUB, "u0", "k1")
    made.signal(TEAM, "u3")
    made.send(TEAM, "nobody", "n1", requester("caller"))
    made.send(CLUB, "nobody", "n2")
    made.append(catalog.MESSAGES, 0, b"not json")
    made.settle()


def _change_members(made: SmallWorld, sessions: dict[str, ToSession]) -> None:
    made.command(RemoveMembers(APP, TEAM, ["u3", "nobody"], request="c3", reply=sessions["u4"]))
    made.command(AddMembers(APP, CLUB, ["u3", "u0"]))
    made.settle()
    made.send(TEAM, "u4", "without-u3", sessions["u4"])
    made.send(TEAM, "u3", "refused", sessions["u3"])
    made.settle()
    for source in range(made.partitions):
        made.resync(LinkAddress("west", sessions["u1"].epoch, sessions["u1"].partition), source)
    made.settle()
    made.send(TEAM, "u4", "after-resync", sessions["u4"])
    made.send(CLUB, "u3", "k2", sessions["u3"])
    made.settle()


def _end(made: SmallWorld, sessions: dict[str, ToSession], second: ToSession, doomed: LinkAddress) -> None:
    made.void(doomed)
    made.settle()
    made.send(TEAM, "u4", "without-doomed", sessions["u4"])
    made.send(TEAM, "u2", "into-the-void", sessions["u2"])
    made.down(second)
    made.settle()
    made.command(DeleteGroup(APP, CLUB))
    made.settle()
    made.command(CreateGroup(APP, CLUB, members=["u4", "u1"]))
    made.command(CreateGroup(APP, CLUB, request="c4", reply=requester("admin")))
    made.settle()
    made.send(CLUB, "u4", "k3", sessions["u4"])
    made.send(TEAM, "u4", "hello-4", sessions["u4"])
    made.send(TEAM, "u6", "last", sessions["u6"])


def test_a_good_run_has_no_fault(world: World) -> None:
    report = judge(world, settled=True)
    assert report.rules == {}, report.examples
    assert report.good
    assert (report.sent, report.resends, report.accepted) == (19, 2, 16)
    assert report.refused == {"not_a_member": 2}
    assert (report.rejected, report.silent, report.signals, report.groups) == (1, 1, 1, 3)
    assert (report.registrations, report.sessions) == (3, 9)
    assert report.append_to_append is not None
    assert report.append_to_append.count == report.deliveries
    assert report.up_to_bound is not None
    assert report.planned == ["link doomed died"]


def test_a_run_under_way_is_not_blamed_for_what_is_young(world: World) -> None:
    cut = world.topics[catalog.MESSAGES.name]
    team = [row for row in cut if b'"last"' in (row.value or b"")]
    late = [row._replace(offset=row.offset + 100, value=_resent(row, "later"), at_ms=row.at_ms + 9_000) for row in team]
    ahead = with_rows(world, catalog.MESSAGES, [*cut, *late])
    assert judge(ahead, settled=False).good
    assert judge(ahead, settled=True).rules == {"send_lost": 1, "try_unanswered": 1}


def test_a_cache_that_began_after_a_message_need_not_hold_it(world: World) -> None:
    forgot = World(world.topics, world.partitions, world.links, world.stored, [], cached_since_ms=world.newest_ms())
    assert judge(forgot, settled=True).good


def test_a_refusal_appended_before_the_event_that_explains_it_is_right() -> None:
    made = SmallWorld()
    link = made.register("east", 0)
    made.command(CreateGroup(APP, TEAM, members=["a", "b"]))
    made.settle()
    session = made.up("b", link)
    made.settle()
    made.command(RemoveMembers(APP, TEAM, ["b"]))
    made.send(TEAM, "b", "late", session)
    made.settle()
    world = made.world()
    [refused] = [row for row in world.topics[DELIVERIES.name] if b"not_a_member" in (row.value or b"")]
    [event] = [row for row in world.topics[EVENTS.name] if b"members_removed" in (row.value or b"")]
    assert refused.at_ms < event.at_ms, "one batch, in this order"
    assert judge(world, settled=True).good


def test_stores_need_not_be_given(world: World) -> None:
    assert judge(World(world.topics, world.partitions, world.links), settled=True).good


def test_a_store_may_lag_behind_until_the_run_has_come_to_rest(world: World) -> None:
    behind = World(dict(world.topics) | {catalog.STORED.name: []}, world.partitions, world.links, [], [])
    assert judge(behind, settled=False).good
    assert set(judge(behind, settled=True).rules) == {"not_stored", "not_cached"}


def test_the_report_can_be_read_by_machines(world: World) -> None:
    report = judge(world, settled=True)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def _resent(row: Row, client_id: str) -> bytes:
    return encode(msgspec.structs.replace(decode(catalog.MESSAGES.name, row.value), client_id=client_id))


def _is_two(row: StoredMessage) -> bool:
    return (row.group, row.seq) == (TEAM, 2)


def _is_lot(record: Any) -> bool:
    return isinstance(record, DeliveryLot) and any(isinstance(entry, Message) for entry in record.entries)


def _is_send(client_id: str) -> Callable[[Any], bool]:
    return lambda record: isinstance(record, Send) and record.client_id == client_id


def _swapped_lots(world: World) -> World:
    """Two neighbouring lots of one source to one link change places, numbers and all."""
    rows = list(world.topics[catalog.DELIVERIES.name])
    for i in range(len(rows) - 1):
        one, other = (decoded(catalog.DELIVERIES, row) for row in rows[i : i + 2])
        if (
            isinstance(one, DeliveryLot)
            and isinstance(other, DeliveryLot)
            and _of(one) == _of(other)
            and one.number > 1
        ):
            rows[i], rows[i + 1] = rows[i + 1], rows[i]
            return with_rows(world, catalog.DELIVERIES, rows)
    raise AssertionError("nothing to spoil")


def _of(lot: DeliveryLot) -> tuple[str, int, int]:
    return lot.link, lot.epoch, lot.source


def _swapped_messages(topic: Topic) -> Mutation:
    """Two messages of one channel change places, in different lots."""

    def mutate(world: World) -> World:
        rows = list(world.topics[topic.name])
        found: dict[Any, tuple[int, int, Any]] = {}
        for i, row in enumerate(rows):
            lot = decoded(topic, row)
            for j, one in enumerate(getattr(lot, "entries", [])):
                if not isinstance(one, Message):
                    continue
                key = row.partition, one.group
                if key in found and found[key][0] < i:
                    before_i, before_j, before = found[key]
                    rows[i] = _put(topic, row, j, before)
                    rows[before_i] = _put(topic, rows[before_i], before_j, one)
                    return with_rows(world, topic, rows)
                found[key] = i, j, one
        raise AssertionError("nothing to spoil")

    return mutate


def _put(topic: Topic, row: Row, at: int, entry: Any) -> Row:
    lot = decoded(topic, row)
    entries = [*lot.entries[:at], entry, *lot.entries[at + 1 :]]
    return row._replace(value=encode(msgspec.structs.replace(lot, entries=entries)))


def _bound_after_message(world: World) -> World:
    """A link is told of its last binding only after the message that came next."""
    rows = list(world.topics[catalog.DELIVERIES.name])
    for i, row in enumerate(rows):
        lot = decoded(catalog.DELIVERIES, row)
        bound = [entry for entry in getattr(lot, "entries", []) if isinstance(entry, Bound) and entry.group == TEAM]
        if not bound or lot.reset:
            continue
        for j in range(i + 1, len(rows)):
            later = decoded(catalog.DELIVERIES, rows[j])
            if isinstance(later, DeliveryLot) and _of(later) == _of(lot) and _is_lot(later):
                rows[i] = row._replace(
                    value=encode(msgspec.structs.replace(lot, entries=[e for e in lot.entries if e not in bound]))
                )
                rows[j] = rows[j]._replace(
                    value=encode(msgspec.structs.replace(later, entries=[*later.entries, *bound]))
                )
                return with_rows(world, catalog.DELIVERIES, rows)
    raise AssertionError("nothing to spoil")


def _without_message(topic: Topic, where: Callable[[Any], bool]) -> Mutation:
    return entry(topic, Message, lambda entry: [] if where(entry) else None)


def _of_team(seq: int) -> Callable[[Any], bool]:
    return lambda entry: entry.group == TEAM and entry.seq == seq


def _forget_binding(world: World) -> World:
    """A binding that was never told: its slot is left out of every notice to its link."""

    def without(entry: Any) -> Any:
        if not isinstance(entry, Bound | Unbound) or entry.group != TEAM:
            return entry
        kept = [(o, s) for o, s in zip(entry.ordinals, entry.slots, strict=True) if o != 4]
        return msgspec.structs.replace(entry, ordinals=[o for o, _ in kept], slots=[s for _, s in kept])

    def told(row: Row) -> Row:
        lot = decoded(catalog.DELIVERIES, row)
        if not isinstance(lot, DeliveryLot):
            return row
        return row._replace(value=encode(msgspec.structs.replace(lot, entries=list(map(without, lot.entries)))))

    return with_rows(world, catalog.DELIVERIES, list(map(told, world.topics[catalog.DELIVERIES.name])))


HISTORY, DELIVERIES, ANSWERS, EVENTS = catalog.HISTORY, catalog.DELIVERIES, catalog.ANSWERS, catalog.RELATION_EVENTS
OTHER = Message(APP, TEAM, "main", 2, 1, 2, 1, 1, "u1", "phone", "hello-1", 1, msgspec.Raw(b"{}"))
TWO = StoredMessage(APP, TEAM, "main", 2, 1)

SPOILT: dict[str, list[Mutation]] = {
    "send_lost": [
        together(dropped(HISTORY), entry(DELIVERIES, Accepted, lambda _: [])),
        # Nobody waits for an answer, but nothing could have been said against it.
        edited(
            catalog.MESSAGES,
            lambda row, record: (
                [row, row._replace(offset=999, value=_resent(row, "k9"))] if _is_send("k3")(record) else None
            ),
        ),
    ],
    "try_unanswered": [
        entry(DELIVERIES, Accepted, lambda _: []),
        entry(DELIVERIES, Accepted, lambda answer: [] if answer.again else None),
        entry(ANSWERS, AnswerTo, lambda entry: [] if isinstance(entry.answer, Refused) else None),
    ],
    "refused_wrongly": [
        changed(DELIVERIES, Refused, code=code)
        for code in ("unknown_channel", "message_too_large", "expired", "clock_ahead", "throttled", "group_exists")
    ]
    + [
        entry(
            DELIVERIES,
            Accepted,
            lambda a: [Refused("not_a_member", app=a.app, group=a.group, client_id=a.client_id, slot=a.slot)],
        )
    ],
    "accepted_not_kept": [dropped(HISTORY)],
    "altered": [
        changed(DELIVERIES, Message, body=msgspec.Raw(b'"other"')),
        changed(DELIVERIES, Message, sender="u5"),
        changed(HISTORY, Message, body=msgspec.Raw(b'"other"')),
    ],
    "numbered_twice": [changed(HISTORY, Message, skip=1, where=lambda m: m.sender == "u4", client_id="hello-4")],
    "never_sent": [dropped(catalog.MESSAGES, _is_send("hello-3")), changed(HISTORY, Message, client_id="other")],
    "answered_twice": [
        entry(DELIVERIES, Accepted, lambda answer: [answer, answer]),
        entry(ANSWERS, AnswerTo, lambda entry: [entry, entry] if isinstance(entry.answer, Applied) else None),
    ],
    "first_twice": [changed(DELIVERIES, Accepted, where=lambda answer: answer.again, again=False)],
    "seq_differs": [
        changed(DELIVERIES, Accepted, seq=lambda answer: answer.seq + 1),
        changed(DELIVERIES, Accepted, where=lambda answer: answer.again, seq=1),
    ],
    "answer_unasked": [
        changed(DELIVERIES, Accepted, slot=77),
        changed(ANSWERS, AnswerTo, where=lambda entry: isinstance(entry.answer, Applied), requester="other"),
        changed(DELIVERIES, Applied, request="other"),
    ],
    "sender_no_member": [
        changed(HISTORY, Message, where=lambda m: m.client_id == "without-doomed", sender="u3"),
        record(EVENTS, GroupCreated, where=lambda e: e.group == TEAM, users=lambda e: [*e.users[:-2], "x", "y"]),
    ],
    "seq_hole": [_without_message(HISTORY, _of_team(3))],
    "seq_twice": [doubled(HISTORY)],
    "seq_order": [_swapped_messages(HISTORY)],
    "prev_broken": [changed(HISTORY, Message, skip=2, prev=lambda m: m.prev - 1)],
    "counter_order": [changed(HISTORY, Message, skip=3, counter=1)],
    "version_order": [
        changed(HISTORY, Message, where=_of_team(10), map=1),
        changed(HISTORY, Message, where=_of_team(10), version=0),
    ],
    "misplaced": [
        moved(HISTORY),
        moved(EVENTS),
        edited(HISTORY, lambda row, lot: [row._replace(value=encode(HistoryLot(lot.source ^ 1, lot.entries)))]),
        moved(ANSWERS),
        record(DELIVERIES, DeliveryLot, where=_is_lot, source=lambda lot: lot.source ^ 1),
    ],
    "event_lost": [
        dropped(EVENTS),
        dropped(EVENTS, lambda event: isinstance(event, MembersRemoved)),
        dropped(EVENTS, lambda event: isinstance(event, GroupCreated) and event.version > 1),
    ],
    "command_unanswered": [
        entry(ANSWERS, AnswerTo, lambda entry: [] if isinstance(entry.answer, Applied) else None),
        entry(DELIVERIES, Applied, lambda _: []),
    ],
    "event_twice": [doubled(EVENTS), dropped(catalog.RELATIONS, lambda record: isinstance(record, RemoveMembers))],
    "event_order": [record(EVENTS, MembersRemoved, version=1)],
    "event_differs": [
        record(EVENTS, MembersAdded, users=["u7"]),
        record(EVENTS, MembersRemoved, ordinals=[5]),
        record(EVENTS, MembersRemoved, users=["u5"], ordinals=[5]),
        record(EVENTS, GroupCreated, where=lambda e: e.kind == "team", kind="direct"),
    ],
    "command_answer": [
        changed(DELIVERIES, Applied, changed=2),
        changed(DELIVERIES, Applied, version=9),
        entry(
            ANSWERS,
            AnswerTo,
            lambda entry: (
                [AnswerTo(entry.requester, Refused("group_exists", app=APP, group=TEAM, request="c1"))]
                if isinstance(entry.answer, Applied) and entry.answer.request == "c1"
                else None
            ),
        ),
    ],
    "ordinal_reused": [record(EVENTS, MembersAdded, ordinals=[0]), record(EVENTS, MembersAdded, ordinals=[9])],
    "rejected_wrongly": [record(catalog.REJECTS, Reject, offset=0)],
    "reject_unknown": [record(catalog.REJECTS, Reject, offset=999)],
    "dropped": [dropped(catalog.REJECTS)],
    "rejected_twice": [doubled(catalog.REJECTS)],
    "unreadable": [
        appended(topic, 0, b"{}")
        for topic in (HISTORY, DELIVERIES, ANSWERS, EVENTS, catalog.REJECTS, catalog.LINK_VOIDS, catalog.STORED)
    ],
    "lot_hole": [dropped(DELIVERIES, _is_lot), dropped(DELIVERIES)],
    "lot_twice": [doubled(DELIVERIES, _is_lot)],
    "lot_order": [_swapped_lots],
    "not_in_history": [dropped(HISTORY), changed(DELIVERIES, Message, seq=99)],
    "delivered_twice": [entry(DELIVERIES, Message, lambda message: [message, message])],
    "delivery_order": [_swapped_messages(DELIVERIES)],
    "other_partition": [moved(DELIVERIES, _is_lot), record(DELIVERIES, DeliveryLot, epoch=99)],
    "nobody": [entry(DELIVERIES, Bound, lambda bound: [] if bound.group == CLUB else None, skip=2)],
    "void_untold": [dropped(catalog.LINK_VOIDS)],
    "bound_twice": [entry(DELIVERIES, Bound, lambda bound: [bound, bound])],
    "map_order": [changed(DELIVERIES, Unbound, map=0)],
    "binding_late": [_bound_after_message, changed(DELIVERIES, Unbound, map=1)],
    "unbound_unknown": [
        entry(DELIVERIES, Unbound, lambda unbound: [unbound, unbound]),
        entry(DELIVERIES, Bound, lambda bound: [] if bound.group == TEAM and 3 in bound.ordinals else None),
    ],
    "no_session": [
        dropped(catalog.SESSIONS, lambda record: isinstance(record, Up) and record.user == "u4"),
        changed(DELIVERIES, Bound, slots=lambda bound: [slot + 50 for slot in bound.slots]),
    ],
    "other_user": [
        changed(DELIVERIES, Bound, ordinals=lambda bound: [7 - ordinal for ordinal in bound.ordinals]),
        changed(DELIVERIES, Bound, where=lambda bound: len(bound.slots) > 1, slots=lambda bound: bound.slots[::-1]),
    ],
    "stranger": [
        entry(DELIVERIES, Unbound, lambda unbound: [] if unbound.group == TEAM else None),
        changed(DELIVERIES, Bound, ordinals=lambda bound: [ordinal + 20 for ordinal in bound.ordinals]),
    ],
    "still_bound": [
        appended(catalog.SESSIONS, 0, encode(Down(APP, "u1", "west", 1, 1))),
        entry(DELIVERIES, Unbound, lambda unbound: [] if unbound.ordinals == [0] else None),
    ],
    "link_missed": [
        _without_message(DELIVERIES, _of_team(2)),
        _without_message(DELIVERIES, _of_team(10)),
        dropped(DELIVERIES, _is_lot),
    ],
    "reset_forgot": [
        entries(
            DELIVERIES,
            lambda entries: (
                [] if len(entries) > 1 and all(isinstance(e, Bound) and e.heads[0][1] > 0 for e in entries) else None
            ),
        ),
    ],
    "settled_missed": [_forget_binding],
    "not_bound": [_forget_binding],
    "not_stored": [stored(lambda rows: [row for row in rows if not _is_two(row)])],
    "not_cached": [cached(lambda rows: [row for row in rows if row.group != PAIR])],
    "cache_hole": [cached(lambda rows: [row for row in rows if not _is_two(row)])],
    "stored_unknown": [
        stored(lambda rows: [*rows, TWO._replace(seq=99)]),
        cached(lambda rows: [*rows, TWO._replace(group="other")]),
    ],
    "stored_twice": [stored(lambda rows: [*rows, TWO]), cached(lambda rows: [*rows, TWO])],
    "stored_differs": [stored(lambda rows: [row._replace(message=OTHER) for row in rows])],
    "stored_prev": [stored(lambda rows: [row._replace(prev=0) for row in rows])],
}


@pytest.mark.parametrize(
    ("rule", "mutation"),
    [pytest.param(rule, one, id=f"{rule}-{i}") for rule, many in SPOILT.items() for i, one in enumerate(many)],
)
def test_a_spoilt_run_is_seen(world: World, rule: str, mutation: Mutation) -> None:
    report = judge(mutation(world), settled=True, examples=1_000)
    assert rule in report.rules
    assert report.faults[RULES[rule][0]] > 0
    assert not report.good
    assert any(example.startswith(rule) for example in report.examples[RULES[rule][0]])


def test_every_rule_has_a_run_that_breaks_it() -> None:
    assert set(SPOILT) | set(SPOILT_SERVER) | set(SPOILT_SESSIONS) == set(RULES)
    assert {kind for kind, _ in RULES.values()} == set(KINDS)


def test_a_dead_link_may_lack_what_was_decided_after_its_death_and_nothing_before(world: World) -> None:
    doomed = [
        (row, lot)
        for row in world.topics[DELIVERIES.name]
        if isinstance(lot := decoded(DELIVERIES, row), DeliveryLot) and lot.link == "doomed" and _is_lot(lot)
    ]
    last = doomed[-1][0]
    rows = [row for row in world.topics[DELIVERIES.name] if row is not last]
    assert "link_missed" in judge(with_rows(world, DELIVERIES, rows), settled=True).rules
    voids = world.topics[catalog.LINK_VOIDS.name]
    earlier = [row._replace(at_ms=last.at_ms - 5) for row in voids]
    spared = with_rows(with_rows(world, DELIVERIES, rows), catalog.LINK_VOIDS, earlier)
    assert judge(spared, settled=True).good


def test_a_void_covers_registrations_up_to_its_epoch_only(world: World) -> None:
    newer = [row._replace(value=encode(Void("east", 0))) for row in world.topics[catalog.LINK_VOIDS.name]]
    rules = judge(with_rows(world, catalog.LINK_VOIDS, newer), settled=True).rules
    assert "not_bound" not in rules
    assert "link_missed" in rules


def test_an_answer_on_the_wrong_topic_is_no_answer(world: World) -> None:
    lot = AnswerLot([AnswerTo("stranger", Accepted(APP, TEAM, "main", "hello-0", 1, 5))])
    assert "answer_unasked" in judge(appended(ANSWERS, 0, encode(lot))(world), settled=True).rules


def test_what_cannot_be_read_is_counted_once(world: World) -> None:
    for topic in (catalog.NOTICES, catalog.POLICIES):
        assert judge(appended(topic, 0, b"{}")(world), settled=True).rules["unreadable"] == 1
