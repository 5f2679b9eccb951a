"""The groups of a partition: what is dropped from memory comes back as it was; a life goes on from the one before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables import keys
from tables.groups import Group, Groups
from tables.outbox import Outbox
from tables.rows import Rows
from tables.voids import Voids
from tests.cores import Memory, commit, send
from topics import limits
from topics.codec import Malformed
from topics.entities import Code
from topics.keys import key_of, partition_of
from topics.messages import MAIN

_NAMES = ["g", "h", "i", "gg"]


class _Kept:
    """The groups of one partition with their rows."""

    def __init__(self) -> None:
        self.store = Memory()
        self.load()

    def load(self) -> None:
        self.rows = Rows(self.store)
        self.voids = Voids(self.rows)
        self.outbox = Outbox(self.rows, 0, self.voids)
        self.groups = Groups(self.rows, self.outbox, self.voids, 0, 1, budget_bytes=1 << 30)

    def flush(self) -> None:
        for group in self.groups.touched():
            group.prune(self.voids)
            group.map.take_changes()
        self.groups.flush()
        commit(self.rows, self.store)


def _state(group: Group) -> dict[str, Any]:
    slots = {(o.address.link, o.address.epoch): sorted(bound) for o, bound in group.map}
    return {
        "alive": group.alive,
        "kind": group.kind,
        "version": group.version,
        "members": list(group.members),
        "next": group.members.next,
        "map": group.map.version,
        "slots": slots,
        "seq": group.numbers(MAIN).seq,
        "counter": group.numbers(MAIN).counter,
        "known": set(group.numbers(MAIN)._known),
    }


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "delete", "add", "remove", "send", "bind", "void", "flush", "flush", "reload"]),
        st.sampled_from(_NAMES),
        st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True),
    ),
    max_size=50,
)


def _step(kept: _Kept, step: str, name: str, users: list[str], at: int) -> None:
    group = kept.groups.touch("app", name)
    match step:
        case "create" if not group.alive:
            group.create("team", users)
            group.changed()
        case "delete" if group.alive:
            group.delete()
            group.changed()
        case "add" if group.alive:
            group.add(users)
        case "remove" if group.alive:
            group.remove(users)
        case "send" if group.alive:
            _, sent = send(users[0], f"m{at}", 1_000)
            group.numbers(MAIN).take(sent, 1_000)
            group.sent(MAIN)
        case "bind":
            outlet = kept.outbox.outlet("l", 1 + at // 10, 0)
            ordinal = group.members.ordinal_of(users[0])
            if outlet is not None and ordinal is not None:
                group.map.bind(ordinal, outlet, at)
        case "void" if kept.voids.add("l", at // 10):
            kept.outbox.close("l", at // 10)


@given(_STEPS)
def test_groups_dropped_from_memory_or_reloaded_are_those_that_never_were(
    steps: list[tuple[str, str, list[str]]],
) -> None:
    roomy, tight = _Kept(), _Kept()
    for at, (step, name, users) in enumerate(steps):
        for kept in (roomy, tight):
            _step(kept, step, name, users, at)
        if step in {"flush", "reload"} or at == len(steps) - 1:
            roomy.flush()
            touched = len(list(tight.groups.touched()))
            tight.groups.budget_bytes = 0
            tight.flush()
            assert len(tight.groups) == touched
            if step == "reload":
                tight.load()
            for other in _NAMES:
                one, two = _state(roomy.groups.touch("app", other)), _state(tight.groups.touch("app", other))
                assert one.pop("map") <= two.pop("map")  # a link's death may be noticed once more on loading
                assert one == two


def _numbers(group: Group) -> tuple[int, ...]:
    channel = group.numbers(MAIN)
    return group.version, group.members.next, channel.seq, channel.counter, group.map.version


@given(_STEPS)
def test_version_ordinals_seq_and_map_go_on_across_deletion_and_re_creation(
    steps: list[tuple[str, str, list[str]]],
) -> None:
    kept = _Kept()
    held: dict[tuple[str, int], str] = {}
    for at, (step, name, users) in enumerate(steps):
        group = kept.groups.touch("app", name)
        before = _numbers(group)
        _step(kept, step, name, users, at)
        after = _numbers(group)
        assert all(one <= two for one, two in zip(before, after, strict=True))
        for ordinal, user in group.members:
            assert held.setdefault((name, ordinal), user) == user
        if step == "flush":
            kept.flush()
        if step == "reload":
            kept.flush()
            kept.load()


def test_a_deleted_group_leaves_its_row_and_its_channels_once_its_members_are_cleaned_up() -> None:
    kept = _Kept()
    group = kept.groups.touch("app", "g")
    group.create("team", [f"u{i}" for i in range(600)])
    _, sent = send("u1", "m", 1_000)
    for _ in range(40):
        group.numbers(MAIN).take(sent, 1_000)
    group.sent(MAIN)
    kept.flush()
    first, end = kept.groups.touch("app", "g").delete()
    assert (first, end) == (0, 600)
    kept.groups.touch("app", "g").members.take_pages(kept.rows, group.key, first, end)
    kept.flush()
    assert sorted(key[:1] for key in kept.store.rows) == [keys.CHANNEL, keys.GROUP]
    again = kept.groups.touch("app", "g")
    again.create("team", ["u5"])
    assert list(again.members) == [(768, "u5")]
    assert again.numbers(MAIN).seq == 40


def test_a_group_of_another_partition_is_malformed_and_changes_nothing() -> None:
    store = Memory()
    rows = Rows(store)
    voids = Voids(rows)
    right = partition_of(key_of("app", "g"), 8)
    for partition in range(8):
        groups = Groups(rows, Outbox(rows, partition, voids), voids, partition, 8, 1 << 30)
        if partition == right:
            groups.touch("app", "g")
            continue
        with pytest.raises(Malformed) as caught:
            groups.touch("app", "g")
        assert caught.value.reason == "wrong_partition"
        assert groups.peek(key_of("app", "g")) is None


def test_a_touch_without_a_change_writes_no_row() -> None:
    kept = _Kept()
    kept.groups.touch("app", "g")
    kept.flush()
    assert kept.store.rows == {}
    kept.groups.touch("app", "g").create("team", ["a"])
    kept.flush()
    kept.load()
    kept.groups.touch("app", "g")
    kept.groups.flush()
    assert kept.rows.take() == {}


def test_the_longest_untouched_leave_memory_first() -> None:
    kept = _Kept()
    for name in ("g", "h", "g", "i"):
        kept.groups.touch("app", name)
        if name == "i":
            kept.groups.budget_bytes = kept.groups.memory_bytes  # of two
        kept.flush()
    assert [kept.groups.peek(key_of("app", name)) is not None for name in ("g", "h", "i")] == [True, False, True]


@given(_STEPS)
def test_the_memory_of_groups_is_the_sum_of_each(steps: list[tuple[str, str, list[str]]]) -> None:
    kept = _Kept()
    for at, (step, name, users) in enumerate(steps):
        _step(kept, step, name, users, at)
        kept.flush()
        kept.groups.budget_bytes = 1 << 30 if at % 3 else 0
        assert kept.groups.memory_bytes == sum(group.memory_bytes for group in kept.groups._cached.values())


def test_a_group_larger_than_the_budget_stays_while_it_is_touched() -> None:
    kept = _Kept()
    kept.groups.budget_bytes = 0
    kept.groups.touch("app", "g").create("team", ["a"])
    kept.flush()
    assert kept.groups.peek(key_of("app", "g")) is not None
    kept.groups.touch("app", "h")
    kept.flush()
    assert kept.groups.peek(key_of("app", "g")) is None


def _large_and_others() -> _Kept:
    """A group of 400 members in a budget that is smaller, and then others, each in a batch of its own."""
    kept = _Kept()
    large = kept.groups.touch("app", "large")
    large.create("team", [f"user-{i}" for i in range(400)])
    kept.flush()
    kept.groups.budget_bytes = large.memory_bytes - 1
    kept.groups.touch("app", "large")
    kept.flush()
    return kept


def _others(kept: _Kept, batches: int) -> None:
    for i in range(batches):
        kept.groups.touch("app", f"small-{i % 3}").create("team", ["a"])
        kept.flush()


def test_a_large_group_touched_of_late_stays_when_others_come_and_goes_when_it_was_not_for_long() -> None:
    kept = _large_and_others()
    _others(kept, limits.HELD_BATCHES)
    assert kept.groups.peek(key_of("app", "large")) is not None
    _others(kept, 1)
    assert kept.groups.peek(key_of("app", "large")) is None


def test_large_groups_touched_of_late_keep_to_some_budgets() -> None:
    kept = _large_and_others()
    for i in range(3 * limits.HELD_BUDGETS):
        kept.groups.touch("app", f"large-{i}").create("team", [f"user-{i}" for i in range(400)])
        kept.flush()
        assert kept.groups.memory_bytes <= limits.HELD_BUDGETS * kept.groups.budget_bytes
    assert len(kept.groups) >= limits.HELD_BUDGETS - 1


@given(_STEPS)
def test_who_only_looks_changes_nothing_and_keeps_to_the_budget(steps: list[tuple[str, str, list[str]]]) -> None:
    kept, looked = _Kept(), _Kept()
    for at, (step, name, users) in enumerate(steps):
        for one in (kept, looked):
            _step(one, step, name, users, at)
            one.flush()
        before = dict(looked.store.rows)
        looked.groups.budget_bytes = 0 if at % 3 else 1 << 30
        for other in _NAMES:
            looked.groups.look("app", other)
            assert at % 3 == 0 or len(looked.groups) == 1
        looked.flush()
        assert looked.store.rows == before
        for other in _NAMES:
            assert _state(looked.groups.look("app", other)) == _state(kept.groups.look("app", other))


def test_a_group_counts_for_what_it_holds() -> None:
    kept = _Kept()
    group = kept.groups.touch("app", "g")
    sizes = [group.memory_bytes]
    ordinals = [ordinal for _, ordinal in group.create("team", [f"user-{i}" for i in range(300)])]
    sizes.append(group.memory_bytes)
    outlet = kept.outbox.outlet("l", 1, 0)
    assert outlet is not None
    for ordinal in ordinals:
        group.map.bind(ordinal, outlet, ordinal)
    sizes.append(group.memory_bytes)
    group.numbers(MAIN).keep(1, b"x" * 1_000)
    sizes.append(group.memory_bytes)
    assert sizes == sorted(set(sizes))
    kept.flush()
    kept.load()
    loaded = kept.groups.touch("app", "g")
    assert loaded.map.memory_bytes == group.map.memory_bytes
    assert loaded.members.memory_bytes <= group.members.memory_bytes  # in the arrays now


def test_the_parts_of_a_group_that_are_in_memory_count() -> None:
    kept = _Kept()
    group = kept.groups.touch("app", "g")
    group.create("team", ["a", "b"])
    sizes = [group.memory_bytes]
    group.mutes.mute([0, 1], 9, now_ms=1)
    sizes.append(group.memory_bytes)
    group.codes.put(Code("k", 1, 9))
    sizes.append(group.memory_bytes)
    group.change_sets.done("s", 1, 2, changed=1, before=1, version=2, at=3)
    sizes.append(group.memory_bytes)
    assert sizes == sorted(set(sizes))
