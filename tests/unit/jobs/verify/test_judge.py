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

Mutation = Callable[[World], World]
Where = Callable[[Any], bool]
Edit = Callable[[Row, Any], "list[Row] | None"]

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
    ahead = _with(world, catalog.MESSAGES, [*cut, *late])
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


# How a run is spoilt.


def _with(world: World, topic: Topic, rows: list[Row]) -> World:
    topics = dict(world.topics) | {topic.name: rows}
    return World(topics, world.partitions, world.links, world.stored, world.cached)


def _edited(topic: Topic, edit: Edit) -> Mutation:
    """Replaces the first record that `edit` has an opinion on."""

    def mutate(world: World) -> World:
        rows: list[Row] = []
        done = False
        for row in world.topics[topic.name]:
            new = None if done else edit(row, _decoded(topic, row))
            done |= new is not None
            rows += [row] if new is None else new
        assert done, "nothing to spoil"
        return _with(world, topic, rows)

    return mutate


def _decoded(topic: Topic, row: Row) -> Any:
    return None if row.value == b"not json" else decode(topic.name, row.value)


def _entries(topic: Topic, edit: Callable[[list[Any]], list[Any] | None]) -> Mutation:
    """Changes the entries of the first lot that `edit` has an opinion on; an emptied lot stays."""

    def change(row: Row, lot: Any) -> list[Row] | None:
        if not hasattr(lot, "entries") or (new := edit(list(lot.entries))) is None:
            return None
        return [row._replace(value=encode(msgspec.structs.replace(lot, entries=new)))]

    return _edited(topic, change)


def _entry(topic: Topic, type_: type, change: Callable[[Any], list[Any] | None], *, skip: int = 0) -> Mutation:
    """Changes one entry: the first of its type that `change` has an opinion on, after `skip` others."""
    seen = [0]

    def edit(entries: list[Any]) -> list[Any] | None:
        for i, entry in enumerate(entries):
            if isinstance(entry, type_) and (new := change(entry)) is not None:
                seen[0] += 1
                if seen[0] > skip:
                    return entries[:i] + new + entries[i + 1 :]
        return None

    return _entries(topic, edit)


def _changed(topic: Topic, type_: type, *, skip: int = 0, where: Where = bool, **fields: Any) -> Mutation:
    """One entry gets other fields; a callable makes the new value of the old entry."""

    def change(entry: Any) -> list[Any] | None:
        if not where(entry):
            return None
        return [_replaced(entry, fields)]

    return _entry(topic, type_, change, skip=skip)


def _record(topic: Topic, type_: type, *, where: Where = bool, **fields: Any) -> Mutation:
    """One record gets other fields."""

    def edit(row: Row, record: Any) -> list[Row] | None:
        if not isinstance(record, type_) or not where(record):
            return None
        return [row._replace(value=encode(_replaced(record, fields)))]

    return _edited(topic, edit)


def _replaced(record: Any, fields: dict[str, Any]) -> Any:
    new = {name: value(record) if callable(value) else value for name, value in fields.items()}
    return msgspec.structs.replace(record, **new)


def _dropped(topic: Topic, where: Where = bool) -> Mutation:
    return _edited(topic, lambda _, record: [] if where(record) else None)


def _doubled(topic: Topic, where: Where = bool) -> Mutation:
    return _edited(topic, lambda row, record: [row, row] if where(record) else None)


def _moved(topic: Topic, where: Where = bool) -> Mutation:
    return _edited(topic, lambda row, record: [row._replace(partition=row.partition ^ 1)] if where(record) else None)


def _stored(edit: Callable[[list[StoredMessage]], list[StoredMessage]]) -> Mutation:
    return lambda world: World(
        world.topics, world.partitions, world.links, edit(list(world.stored or [])), world.cached
    )


def _cached(edit: Callable[[list[StoredMessage]], list[StoredMessage]]) -> Mutation:
    return lambda world: World(
        world.topics, world.partitions, world.links, world.stored, edit(list(world.cached or []))
    )


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
        one, other = (_decoded(catalog.DELIVERIES, row) for row in rows[i : i + 2])
        if (
            isinstance(one, DeliveryLot)
            and isinstance(other, DeliveryLot)
            and _of(one) == _of(other)
            and one.number > 1
        ):
            rows[i], rows[i + 1] = rows[i + 1], rows[i]
            return _with(world, catalog.DELIVERIES, rows)
    raise AssertionError("nothing to spoil")


def _of(lot: DeliveryLot) -> tuple[str, int, int]:
    return lot.link, lot.epoch, lot.source


def _swapped_messages(topic: Topic) -> Mutation:
    """Two messages of one channel change places, in different lots."""

    def mutate(world: World) -> World:
        rows = list(world.topics[topic.name])
        found: dict[Any, tuple[int, int, Any]] = {}
        for i, row in enumerate(rows):
            lot = _decoded(topic, row)
            for j, entry in enumerate(getattr(lot, "entries", [])):
                if not isinstance(entry, Message):
                    continue
                key = row.partition, entry.group
                if key in found and found[key][0] < i:
                    before_i, before_j, before = found[key]
                    rows[i] = _put(topic, row, j, before)
                    rows[before_i] = _put(topic, rows[before_i], before_j, entry)
                    return _with(world, topic, rows)
                found[key] = i, j, entry
        raise AssertionError("nothing to spoil")

    return mutate


def _put(topic: Topic, row: Row, at: int, entry: Any) -> Row:
    lot = _decoded(topic, row)
    entries = [*lot.entries[:at], entry, *lot.entries[at + 1 :]]
    return row._replace(value=encode(msgspec.structs.replace(lot, entries=entries)))


def _bound_after_message(world: World) -> World:
    """A link is told of its last binding only after the message that came next."""
    rows = list(world.topics[catalog.DELIVERIES.name])
    for i, row in enumerate(rows):
        lot = _decoded(catalog.DELIVERIES, row)
        bound = [entry for entry in getattr(lot, "entries", []) if isinstance(entry, Bound) and entry.group == TEAM]
        if not bound or lot.reset:
            continue
        for j in range(i + 1, len(rows)):
            later = _decoded(catalog.DELIVERIES, rows[j])
            if isinstance(later, DeliveryLot) and _of(later) == _of(lot) and _is_lot(later):
                rows[i] = row._replace(
                    value=encode(msgspec.structs.replace(lot, entries=[e for e in lot.entries if e not in bound]))
                )
                rows[j] = rows[j]._replace(
                    value=encode(msgspec.structs.replace(later, entries=[*later.entries, *bound]))
                )
                return _with(world, catalog.DELIVERIES, rows)
    raise AssertionError("nothing to spoil")


def _appended(topic: Topic, partition: int, value: bytes) -> Mutation:
    def mutate(world: World) -> World:
        rows = list(world.topics[topic.name])
        offset = max((row.offset for row in rows if row.partition == partition), default=-1) + 1
        return _with(world, topic, [*rows, Row(partition, offset, world.newest_ms(), None, value)])

    return mutate


def _all(*mutations: Mutation) -> Mutation:
    def mutate(world: World) -> World:
        for mutation in mutations:
            world = mutation(world)
        return world

    return mutate


def _without_message(topic: Topic, where: Callable[[Any], bool]) -> Mutation:
    return _entry(topic, Message, lambda entry: [] if where(entry) else None)


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
        lot = _decoded(catalog.DELIVERIES, row)
        if not isinstance(lot, DeliveryLot):
            return row
        return row._replace(value=encode(msgspec.structs.replace(lot, entries=list(map(without, lot.entries)))))

    return _with(world, catalog.DELIVERIES, list(map(told, world.topics[catalog.DELIVERIES.name])))


HISTORY, DELIVERIES, ANSWERS, EVENTS = catalog.HISTORY, catalog.DELIVERIES, catalog.ANSWERS, catalog.RELATION_EVENTS
OTHER = Message(APP, TEAM, "main", 2, 1, 2, 1, 1, "u1", "phone", "hello-1", 1, msgspec.Raw(b"{}"))
TWO = StoredMessage(APP, TEAM, "main", 2, 1)

SPOILT: dict[str, list[Mutation]] = {
    "send_lost": [
        _all(_dropped(HISTORY), _entry(DELIVERIES, Accepted, lambda _: [])),
        # Nobody waits for an answer, but nothing could have been said against it.
        _edited(
            catalog.MESSAGES,
            lambda row, record: (
                [row, row._replace(offset=999, value=_resent(row, "k9"))] if _is_send("k3")(record) else None
            ),
        ),
    ],
    "try_unanswered": [
        _entry(DELIVERIES, Accepted, lambda _: []),
        _entry(DELIVERIES, Accepted, lambda answer: [] if answer.again else None),
        _entry(ANSWERS, AnswerTo, lambda entry: [] if isinstance(entry.answer, Refused) else None),
    ],
    "refused_wrongly": [
        _changed(DELIVERIES, Refused, code=code)
        for code in ("unknown_channel", "message_too_large", "expired", "clock_ahead", "throttled", "group_exists")
    ]
    + [
        _entry(
            DELIVERIES,
            Accepted,
            lambda a: [Refused("not_a_member", app=a.app, group=a.group, client_id=a.client_id, slot=a.slot)],
        )
    ],
    "accepted_not_kept": [_dropped(HISTORY)],
    "altered": [
        _changed(DELIVERIES, Message, body=msgspec.Raw(b'"other"')),
        _changed(DELIVERIES, Message, sender="u5"),
        _changed(HISTORY, Message, body=msgspec.Raw(b'"other"')),
    ],
    "numbered_twice": [_changed(HISTORY, Message, skip=1, where=lambda m: m.sender == "u4", client_id="hello-4")],
    "never_sent": [_dropped(catalog.MESSAGES, _is_send("hello-3")), _changed(HISTORY, Message, client_id="other")],
    "answered_twice": [
        _entry(DELIVERIES, Accepted, lambda answer: [answer, answer]),
        _entry(ANSWERS, AnswerTo, lambda entry: [entry, entry] if isinstance(entry.answer, Applied) else None),
    ],
    "first_twice": [_changed(DELIVERIES, Accepted, where=lambda answer: answer.again, again=False)],
    "seq_differs": [
        _changed(DELIVERIES, Accepted, seq=lambda answer: answer.seq + 1),
        _changed(DELIVERIES, Accepted, where=lambda answer: answer.again, seq=1),
    ],
    "answer_unasked": [
        _changed(DELIVERIES, Accepted, slot=77),
        _changed(ANSWERS, AnswerTo, where=lambda entry: isinstance(entry.answer, Applied), requester="other"),
        _changed(DELIVERIES, Applied, request="other"),
    ],
    "sender_no_member": [
        _changed(HISTORY, Message, where=lambda m: m.client_id == "without-doomed", sender="u3"),
        _record(EVENTS, GroupCreated, where=lambda e: e.group == TEAM, users=lambda e: [*e.users[:-2], "x", "y"]),
    ],
    "seq_hole": [_without_message(HISTORY, _of_team(3))],
    "seq_twice": [_doubled(HISTORY)],
    "seq_order": [_swapped_messages(HISTORY)],
    "prev_broken": [_changed(HISTORY, Message, skip=2, prev=lambda m: m.prev - 1)],
    "counter_order": [_changed(HISTORY, Message, skip=3, counter=1)],
    "version_order": [
        _changed(HISTORY, Message, where=_of_team(10), map=1),
        _changed(HISTORY, Message, where=_of_team(10), version=0),
    ],
    "misplaced": [
        _moved(HISTORY),
        _moved(EVENTS),
        _edited(HISTORY, lambda row, lot: [row._replace(value=encode(HistoryLot(lot.source ^ 1, lot.entries)))]),
        _moved(ANSWERS),
        _record(DELIVERIES, DeliveryLot, where=_is_lot, source=lambda lot: lot.source ^ 1),
    ],
    "event_lost": [
        _dropped(EVENTS),
        _dropped(EVENTS, lambda event: isinstance(event, MembersRemoved)),
        _dropped(EVENTS, lambda event: isinstance(event, GroupCreated) and event.version > 1),
    ],
    "command_unanswered": [
        _entry(ANSWERS, AnswerTo, lambda entry: [] if isinstance(entry.answer, Applied) else None),
        _entry(DELIVERIES, Applied, lambda _: []),
    ],
    "event_twice": [_doubled(EVENTS), _dropped(catalog.RELATIONS, lambda record: isinstance(record, RemoveMembers))],
    "event_order": [_record(EVENTS, MembersRemoved, version=1)],
    "event_differs": [
        _record(EVENTS, MembersAdded, users=["u7"]),
        _record(EVENTS, MembersRemoved, ordinals=[5]),
        _record(EVENTS, MembersRemoved, users=["u5"], ordinals=[5]),
        _record(EVENTS, GroupCreated, where=lambda e: e.kind == "team", kind="direct"),
    ],
    "command_answer": [
        _changed(DELIVERIES, Applied, changed=2),
        _changed(DELIVERIES, Applied, version=9),
        _entry(
            ANSWERS,
            AnswerTo,
            lambda entry: (
                [AnswerTo(entry.requester, Refused("group_exists", app=APP, group=TEAM, request="c1"))]
                if isinstance(entry.answer, Applied) and entry.answer.request == "c1"
                else None
            ),
        ),
    ],
    "ordinal_reused": [_record(EVENTS, MembersAdded, ordinals=[0]), _record(EVENTS, MembersAdded, ordinals=[9])],
    "rejected_wrongly": [_record(catalog.REJECTS, Reject, offset=0)],
    "reject_unknown": [_record(catalog.REJECTS, Reject, offset=999)],
    "dropped": [_dropped(catalog.REJECTS)],
    "rejected_twice": [_doubled(catalog.REJECTS)],
    "unreadable": [
        _appended(topic, 0, b"{}")
        for topic in (HISTORY, DELIVERIES, ANSWERS, EVENTS, catalog.REJECTS, catalog.LINK_VOIDS, catalog.STORED)
    ],
    "lot_hole": [_dropped(DELIVERIES, _is_lot), _dropped(DELIVERIES)],
    "lot_twice": [_doubled(DELIVERIES, _is_lot)],
    "lot_order": [_swapped_lots],
    "not_in_history": [_dropped(HISTORY), _changed(DELIVERIES, Message, seq=99)],
    "delivered_twice": [_entry(DELIVERIES, Message, lambda message: [message, message])],
    "delivery_order": [_swapped_messages(DELIVERIES)],
    "other_partition": [_moved(DELIVERIES, _is_lot), _record(DELIVERIES, DeliveryLot, epoch=99)],
    "nobody": [_entry(DELIVERIES, Bound, lambda bound: [] if bound.group == CLUB else None, skip=2)],
    "void_untold": [_dropped(catalog.LINK_VOIDS)],
    "bound_twice": [_entry(DELIVERIES, Bound, lambda bound: [bound, bound])],
    "map_order": [_changed(DELIVERIES, Unbound, map=0)],
    "binding_late": [_bound_after_message, _changed(DELIVERIES, Unbound, map=1)],
    "unbound_unknown": [
        _entry(DELIVERIES, Unbound, lambda unbound: [unbound, unbound]),
        _entry(DELIVERIES, Bound, lambda bound: [] if bound.group == TEAM and 3 in bound.ordinals else None),
    ],
    "no_session": [
        _dropped(catalog.SESSIONS, lambda record: isinstance(record, Up) and record.user == "u4"),
        _changed(DELIVERIES, Bound, slots=lambda bound: [slot + 50 for slot in bound.slots]),
    ],
    "other_user": [
        _changed(DELIVERIES, Bound, ordinals=lambda bound: [7 - ordinal for ordinal in bound.ordinals]),
        _changed(DELIVERIES, Bound, where=lambda bound: len(bound.slots) > 1, slots=lambda bound: bound.slots[::-1]),
    ],
    "stranger": [
        _entry(DELIVERIES, Unbound, lambda unbound: [] if unbound.group == TEAM else None),
        _changed(DELIVERIES, Bound, ordinals=lambda bound: [ordinal + 20 for ordinal in bound.ordinals]),
    ],
    "still_bound": [
        _appended(catalog.SESSIONS, 0, encode(Down(APP, "u1", "west", 1, 1))),
        _entry(DELIVERIES, Unbound, lambda unbound: [] if unbound.ordinals == [0] else None),
    ],
    "link_missed": [
        _without_message(DELIVERIES, _of_team(2)),
        _without_message(DELIVERIES, _of_team(10)),
        _dropped(DELIVERIES, _is_lot),
    ],
    "reset_forgot": [
        _entries(
            DELIVERIES,
            lambda entries: (
                [] if len(entries) > 1 and all(isinstance(e, Bound) and e.heads[0][1] > 0 for e in entries) else None
            ),
        ),
    ],
    "settled_missed": [_forget_binding],
    "not_bound": [_forget_binding],
    "not_stored": [_stored(lambda rows: [row for row in rows if not _is_two(row)])],
    "not_cached": [_cached(lambda rows: [row for row in rows if row.group != PAIR])],
    "cache_hole": [_cached(lambda rows: [row for row in rows if not _is_two(row)])],
    "stored_unknown": [
        _stored(lambda rows: [*rows, TWO._replace(seq=99)]),
        _cached(lambda rows: [*rows, TWO._replace(group="other")]),
    ],
    "stored_twice": [_stored(lambda rows: [*rows, TWO]), _cached(lambda rows: [*rows, TWO])],
    "stored_differs": [_stored(lambda rows: [row._replace(message=OTHER) for row in rows])],
    "stored_prev": [_stored(lambda rows: [row._replace(prev=0) for row in rows])],
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
    assert set(SPOILT) == set(RULES)
    assert {kind for kind, _ in RULES.values()} == set(KINDS)


def test_a_dead_link_may_lack_what_was_decided_after_its_death_and_nothing_before(world: World) -> None:
    doomed = [
        (row, lot)
        for row in world.topics[DELIVERIES.name]
        if isinstance(lot := _decoded(DELIVERIES, row), DeliveryLot) and lot.link == "doomed" and _is_lot(lot)
    ]
    last = doomed[-1][0]
    rows = [row for row in world.topics[DELIVERIES.name] if row is not last]
    assert "link_missed" in judge(_with(world, DELIVERIES, rows), settled=True).rules
    voids = world.topics[catalog.LINK_VOIDS.name]
    earlier = [row._replace(at_ms=last.at_ms - 5) for row in voids]
    spared = _with(_with(world, DELIVERIES, rows), catalog.LINK_VOIDS, earlier)
    assert judge(spared, settled=True).good


def test_a_void_covers_registrations_up_to_its_epoch_only(world: World) -> None:
    newer = [row._replace(value=encode(Void("east", 0))) for row in world.topics[catalog.LINK_VOIDS.name]]
    rules = judge(_with(world, catalog.LINK_VOIDS, newer), settled=True).rules
    assert "not_bound" not in rules
    assert "link_missed" in rules


def test_an_answer_on_the_wrong_topic_is_no_answer(world: World) -> None:
    lot = AnswerLot([AnswerTo("stranger", Accepted(APP, TEAM, "main", "hello-0", 1, 5))])
    assert "answer_unasked" in judge(_appended(ANSWERS, 0, encode(lot))(world), settled=True).rules
