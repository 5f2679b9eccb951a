"""Bindings: only members' sessions on living links; told in order; given anew on resync."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tables import keys
from tests.cores import LINKS, Gateway, Partition, add, bind, create, delete, groups, remove, send
from topics import catalog, limits
from topics.bindings import Bind, BindingLot, Unbind
from topics.catalog import Topic
from topics.deliveries import Bound, Unbound
from topics.links import Void
from topics.messages import Message
from topics.resync import Resync


def _unbind(ordinal: int, slot: int, link: str = "l", epoch: int = 1, group: str = "g") -> tuple[Topic, BindingLot]:
    return catalog.BINDINGS, BindingLot([Unbind("app", group, ordinal, link, epoch, slot)])


def _void(link: str = "l", epoch: int = 1) -> tuple[Topic, Void]:
    return catalog.LINK_VOIDS, Void(link, epoch)


def _resync(link: str = "l", epoch: int = 1, partition: int = 3, source: int = 0) -> tuple[Topic, Resync]:
    return catalog.RESYNC, Resync(link, epoch, partition, source)


@pytest.fixture
def partition() -> Partition:
    made = groups()
    made.apply(create("ann", "bob"))
    return made


def test_a_bind_tells_the_link_the_ordinal_the_slot_and_the_head(partition: Partition) -> None:
    partition.apply(send("ann", "c", partition.now_ms))
    [bound] = partition.apply(bind("ann", 0, 10)).entries("l", Bound)
    assert (bound.app, bound.group, bound.map, bound.ordinals, bound.slots) == ("app", "g", 1, [0], [10])
    assert bound.heads == [("main", 1)]


@pytest.mark.parametrize(
    "refused",
    [bind("ann", 1, 10), bind("eve", 2, 10), bind("eve", 0, 10), bind("ann", 0, 10, group="other")],
    ids=["another's ordinal", "no member", "no member with a member's ordinal", "no such group"],
)
def test_a_bind_of_who_is_not_that_member_is_refused(partition: Partition, refused: tuple[Topic, BindingLot]) -> None:
    assert partition.apply(refused).out.records == {}
    assert partition.apply(send("ann", "c", partition.now_ms)).lots("l") == []


def test_a_bind_that_comes_after_the_removal_is_refused_and_one_under_the_old_ordinal_too(partition: Partition) -> None:
    assert partition.apply(remove("ann"), bind("ann", 0, 10)).lots("l") == []
    assert partition.apply(add("ann"), bind("ann", 0, 10)).lots("l") == []
    [bound] = partition.apply(bind("ann", 2, 10)).entries("l", Bound)
    assert bound.ordinals == [2]


def test_a_bind_of_a_dead_registration_is_refused_and_one_of_the_next_is_not(partition: Partition) -> None:
    partition.apply(_void(epoch=5))
    assert partition.apply(bind("ann", 0, 10, epoch=5), bind("ann", 0, 10, epoch=4)).out.records == {}
    assert len(partition.apply(bind("ann", 0, 10, epoch=6)).entries("l", Bound)) == 1


def test_a_message_finds_the_binding_of_the_record_before(partition: Partition) -> None:
    seen = partition.apply(bind("ann", 0, 10), send("ann", "c", partition.now_ms), _unbind(0, 10))
    [lot] = seen.lots("l")
    assert [type(entry) for entry in lot.entries] == [Bound, Message, Unbound]
    assert partition.apply(send("ann", "d", partition.now_ms)).lots("l") == []


def test_the_heads_told_to_a_new_listener_end_below_the_message_it_is_pushed(partition: Partition) -> None:
    seen = partition.apply(bind("ann", 0, 10), send("ann", "c", partition.now_ms))
    [bound], [message] = seen.entries("l", Bound), seen.entries("l", Message)
    assert bound.heads == [("main", message.prev)]


def test_an_unbind_of_nothing_is_harmless(partition: Partition) -> None:
    seen = partition.apply(_unbind(0, 10), _unbind(7, 10, "other"), _unbind(4_000_000_000, 1, group="no"))
    assert seen.out.records == {}
    partition.apply(bind("ann", 0, 10))
    assert partition.apply(_unbind(0, 11), _unbind(1, 10), _unbind(0, 10, epoch=2)).out.records == {}


def test_unbound_and_bound_again_within_a_batch_the_session_goes_on_hearing(partition: Partition) -> None:
    gateway = Gateway("l", 1)
    gateway.read(partition.apply(bind("ann", 0, 10)).lots("l"))
    gateway.read(partition.apply(_unbind(0, 10), bind("ann", 0, 10)).lots("l"))
    assert gateway.bound == {("g", 0, 10)}
    gateway.read(partition.apply(bind("bob", 1, 11), _unbind(1, 11)).lots("l"))
    gateway.read(partition.apply(send("ann", "c", partition.now_ms)).lots("l"))
    assert gateway.heard == [(1, frozenset({("g", 0, 10)}))]


def test_nothing_goes_to_a_link_after_its_void_not_even_what_the_batch_had_gathered(partition: Partition) -> None:
    partition.apply(bind("ann", 0, 10), bind("bob", 1, 20, link="m"))
    at = partition.now_ms
    seen = partition.apply(send("ann", "c", at), _void(), send("ann", "d", at))
    assert seen.lots("l") == []
    assert [m.seq for m in seen.entries("m", Message)] == [1, 2]
    versions = [m.map for m in seen.entries("m", Message)]
    assert versions[0] < versions[1]


def test_a_void_sweeps_every_row_of_its_link_also_those_of_its_own_batch(partition: Partition) -> None:
    partition.apply(bind("ann", 0, 10), bind("ann", 0, 10, epoch=2), bind("bob", 1, 20, link="m"))
    partition.apply(bind("bob", 1, 11), _void())
    while partition.core.due_ms() == 0:
        partition.tick()
    partition.apply(send("ann", "c", partition.now_ms))
    rows = [key for key in partition.store.rows if key.startswith(keys.BINDING)]
    assert sorted(key[1:2] + key[10:11] for key in rows) == [b"l\x02", b"m\x01"]


def test_a_large_sweep_goes_on_in_steps_and_over_a_crash(partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHORE_ROWS", 3)
    for i in range(10):
        partition.apply(
            create("ann", group=f"g{i}"), bind("ann", 0, i, group=f"g{i}"), bind("ann", 0, i, group=f"g{i}", epoch=2)
        )
    partition.apply(_void())
    ticks = 0
    while partition.core.due_ms() == 0:
        partition.crash()
        partition.tick()
        ticks += 1
    assert ticks == 3
    assert sum(key.startswith(keys.BINDING) for key in partition.store.rows) == 10


def test_a_resync_gives_a_reset_lot_and_then_everything(partition: Partition) -> None:
    partition.apply(create("ann", "eve", group="h"))
    partition.apply(bind("ann", 0, 10), bind("bob", 1, 11), bind("ann", 0, 10, group="h"), bind("bob", 1, 12, link="m"))
    partition.apply(send("ann", "c", partition.now_ms))
    seen = partition.apply(send("ann", "d", partition.now_ms), _resync(), send("ann", "e", partition.now_ms))
    before, after = seen.lots("l")
    assert (before.reset, after.reset) == (False, True)
    assert [type(entry) for entry in before.entries] == [Message]
    *bounds, last = after.entries
    assert isinstance(last, Message)
    given_anew = {(b.group, tuple(b.ordinals), tuple(b.slots), tuple(b.heads)) for b in bounds if isinstance(b, Bound)}
    assert given_anew == {("g", (0, 1), (10, 11), (("main", 2),)), ("h", (0,), (10,), (("main", 0),))}
    assert len(seen.lots("m")) == 1


def test_a_resync_holds_what_its_own_batch_changed(partition: Partition) -> None:
    seen = partition.apply(bind("ann", 0, 10), bind("bob", 1, 11), _unbind(0, 10), _resync())
    gateway = Gateway("l", 1)
    gateway.read(seen.lots("l"))
    assert gateway.bound == {("g", 1, 11)}


def test_a_resync_holds_what_was_told_earlier_in_its_own_batch(partition: Partition) -> None:
    gateway = Gateway("l", 1)
    gateway.read(partition.apply(bind("ann", 0, 10), send("ann", "c", partition.now_ms), _resync()).lots("l"))
    assert gateway.bound == {("g", 0, 10)}


def test_a_resync_of_a_link_without_bindings_is_an_empty_reset_lot(partition: Partition) -> None:
    [lot] = partition.apply(_resync("new")).lots("new")
    assert (lot.number, lot.reset, lot.entries) == (1, True, [])


def test_a_resync_of_a_dead_registration_is_ignored(partition: Partition) -> None:
    partition.apply(_void())
    assert partition.apply(_resync()).out.records == {}


def test_a_resync_for_another_source_or_to_nowhere_is_rejected(partition: Partition) -> None:
    assert partition.apply(_resync(source=1)).rejected() == ["wrong_partition"]
    assert partition.apply(_resync(partition=32)).rejected() == ["bad_address"]


def test_no_entry_grows_with_the_bindings_of_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ENTRY_PAIRS", 3)
    partition, gateway = groups(), Gateway("l", 1)
    partition.apply(create(*(f"u{i}" for i in range(10))))
    seen = [
        partition.apply(*(bind(f"u{i}", i, i) for i in range(10))),
        partition.apply(_resync()),
        partition.apply(delete()),
    ]
    for one in seen:
        gateway.read(one.lots("l"))
        entries = [entry for lot in one.lots("l") for entry in lot.entries if isinstance(entry, Bound | Unbound)]
        assert [len(entry.slots) for entry in entries] == [3, 3, 3, 1]
    assert gateway.bound == set()


_LINKS = st.sampled_from([("l", 1), ("l", 2), ("m", 1)])
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["bind"] * 6
            + ["unbind", "remove", "add", "delete", "create", "void", "resync", "send", "send", "crash", "evict"]
        ),
        st.sampled_from(["g", "h"]),
        st.sampled_from(["a", "b", "c"]),
        _LINKS,
        st.integers(0, 1),
        st.sampled_from([True, False, False]),
    ),
    max_size=50,
)


@settings(max_examples=400)
@given(_STEPS)
def test_each_gateway_holds_the_map_and_each_message_is_heard_by_exactly_the_bound(
    steps: list[tuple[str, str, str, tuple[str, int], int, bool]],
) -> None:
    partition = groups()
    gateways = {who: Gateway(*who) for who in [("l", 1), ("l", 2), ("m", 1)]}
    partition.apply(create("a", "b"), create("a", "b", group="h"))
    members: dict[str, dict[str, int] | None] = {"g": {"a": 0, "b": 1}, "h": {"a": 0, "b": 1}}
    following = {"g": 2, "h": 2}
    seqs = {"g": 0, "h": 0}
    bound: set[tuple[str, int, str, int, int]] = set()  # link, epoch, group, ordinal, slot
    dead: set[tuple[str, int]] = set()
    heard: dict[tuple[str, int], list[tuple[int, frozenset[tuple[str, int, int]]]]] = {who: [] for who in gateways}
    batch: list[tuple[Topic, Any]] = []
    for i, (step, group, user, who, slot, ends) in enumerate([*steps, ("send", "g", "a", ("l", 1), 0, True)]):
        here = members[group]
        ordinal = (here or {}).get(user, 99)
        match step:
            case "bind":
                batch.append(bind(user, ordinal, slot, link=who[0], epoch=who[1], group=group))
                if user in (here or {}) and who not in dead:
                    bound.add((*who, group, ordinal, slot))
            case "unbind":
                batch.append(_unbind(ordinal, slot, *who, group))
                bound.discard((*who, group, ordinal, slot))
            case "create":
                batch.append(create(user, group=group))
                if here is None:
                    members[group] = {user: following[group]}
                    following[group] += 1
            case "delete":
                batch.append(delete(group=group))
                if here is not None:
                    members[group] = None
                    following[group] = -(-following[group] // limits.PAGE_ORDINALS) * limits.PAGE_ORDINALS
                    bound = {b for b in bound if b[2] != group}
            case "add":
                batch.append(add(user, group=group))
                if here is not None and user not in here:
                    here[user] = following[group]
                    following[group] += 1
            case "remove":
                batch.append(remove(user, group=group))
                if here is not None and here.pop(user, None) is not None:
                    bound = {b for b in bound if (b[2], b[3]) != (group, ordinal)}
            case "void":
                batch.append(_void(*who))
                dead |= {(who[0], earlier) for earlier in range(who[1] + 1)}
                bound = {b for b in bound if b[:2] not in dead}
            case "resync":
                batch.append(_resync(*who))
            case "send":
                batch.append(send(user, f"m{i}", partition.now_ms, group=group))
                if user in (here or {}):
                    seqs[group] += 1
                    for link in gateways:
                        if hears := frozenset(b[2:] for b in bound if b[:2] == link and b[2] == group):
                            heard[link].append((seqs[group], hears))
        if not ends and step not in {"crash", "evict"}:
            continue
        partition.core.desk.groups.budget_bytes = 0 if step == "evict" else 1 << 30  # type: ignore[attr-defined]
        seen = partition.apply(*batch)
        batch = []
        for gateway in gateways.values():
            gateway.read(seen.lots(gateway.who[0]))
        if step == "crash":
            partition.crash()
        for living in gateways.keys() - dead:
            assert gateways[living].bound == {b[2:] for b in bound if b[:2] == living}
            assert gateways[living].heard == heard[living]


def test_a_lot_that_names_no_partition_of_deliveries_is_rejected_whole() -> None:
    partition = groups()
    partition.apply(create("ann", "bob"))
    good, bad = Bind("app", "g", "ann", 0, "l", 1, 3, 10), Bind("app", "g", "bob", 1, "l2", 1, LINKS, 11)
    seen = partition.apply((catalog.BINDINGS, BindingLot([good, bad])))
    assert seen.rejected() == ["bad_address"]
    assert not seen.lots("l")
