"""Commands that come in parts: each counts once, in any order; contradictions are refused; progress is known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.groups.core import GroupsCore
from tables.groups import Group
from tests.cores import Partition, ask, create, delete, groups
from topics import catalog, limits
from topics.answers import Applied, Refused
from topics.relations import AddMembers, BanMembers, RemoveMembers


@pytest.fixture
def partition() -> Partition:
    partition = groups()
    partition.apply(create("owner", owner="owner", kind="server"))
    return partition


def _group(partition: Partition) -> Group:
    core = partition.core
    assert isinstance(core, GroupsCore)
    return core.desk.groups.look("app", "g")


def _part(part: int, parts: int, *users: str, change_set: str = "s", **more: Any) -> Any:
    return ask(AddMembers, users=users, change_set=change_set, part=part, parts=parts, **more)


def test_a_part_counts_once_and_progress_can_be_asked(partition: Partition) -> None:
    partition.now_ms += 7
    seen = partition.apply(_part(2, 3, "a", "b"), _part(1, 3, "c", "owner"), _part(2, 3, "a", "b"))
    assert [(answer.version, answer.changed) for answer in seen.told(Applied)] == [(2, 2), (3, 1), (3, 0)]
    assert [event.change_set for event in seen.records(catalog.RELATION_EVENTS)] == ["s", "s"]
    for crash in (False, True):
        if crash:
            partition.crash()
        progress = _group(partition).change_sets.progress("s")
        assert progress is not None
        assert (progress.parts, progress.came, progress.changed, progress.finished) == (3, 2, 3, False)
        assert (progress.before, progress.version) == (1, 3)
        assert (progress.begun_at, progress.last_at) == (1_000_007, 1_000_007)
        assert _group(partition).change_sets.open(partition.now_ms)
    partition.apply(_part(3, 3, "owner"))
    progress = _group(partition).change_sets.progress("s")
    assert progress is not None
    assert progress.finished
    assert not _group(partition).change_sets.open(partition.now_ms)


def test_a_part_that_came_late_undoes_nothing_that_was_done_since(partition: Partition) -> None:
    partition.apply(_part(1, 2, "a", "b"))
    partition.apply(ask(RemoveMembers, users=["a"]))
    seen = partition.apply(_part(1, 2, "a", "b"))
    assert [answer.changed for answer in seen.told(Applied)] == [0]
    assert _group(partition).members.ordinal_of("a") is None


@pytest.mark.parametrize(("part", "parts"), [(3, 2), (1, 3), (1, 1)])
def test_bad_command_where_parts_contradict_each_other(partition: Partition, part: int, parts: int) -> None:
    partition.apply(_part(1, 2, "a"))
    seen = partition.apply(_part(part, parts, "b"))
    assert [refused.code for refused in seen.told(Refused)] == ["bad_command"]
    assert _group(partition).members.ordinal_of("b") is None


def test_a_refused_part_may_come_again(partition: Partition) -> None:
    for by, changed in (("stranger", None), ("owner", 1), ("owner", 0)):
        seen = partition.apply(_part(1, 1, "a", by=by))
        assert [answer.changed for answer in seen.told(Applied)] == ([] if changed is None else [changed])
        assert len(seen.told(Refused)) == (changed is None)


def test_a_change_set_that_got_no_part_for_long_is_no_longer_under_way(partition: Partition) -> None:
    partition.apply(_part(1, 2, "a"))
    now_ms = partition.now_ms + limits.CHANGE_SET_IDLE_MS
    assert _group(partition).change_sets.open(now_ms - 1)
    assert not _group(partition).change_sets.open(now_ms)
    partition.now_ms = now_ms
    partition.apply(_part(2, 2, "b"))
    progress = _group(partition).change_sets.progress("s")
    assert progress is not None
    assert progress.finished


def test_the_oldest_finished_are_forgotten_first(partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANGE_SETS", 3)
    for at, (name, parts) in enumerate((("open", 2), ("one", 1), ("two", 1), ("three", 1), ("four", 1))):
        partition.now_ms += at
        partition.apply(_part(1, parts, "a", change_set=name))
    for crash in (False, True):
        if crash:
            partition.crash()
        change_sets = _group(partition).change_sets
        known = [name for name in ("open", "one", "two", "three", "four") if change_sets.progress(name) is not None]
        assert known == ["open", "three", "four"]


def test_a_later_life_has_change_sets_of_its_own(partition: Partition) -> None:
    partition.apply(_part(1, 2, "a"), delete(), create("owner"))
    seen = partition.apply(_part(1, 2, "a"))
    assert [answer.changed for answer in seen.told(Applied)] == [1]


def test_a_ban_in_parts_is_one_change_set_of_many_events(partition: Partition) -> None:
    partition.apply(_part(1, 1, "a", "b"))
    seen = partition.apply(ask(BanMembers, users=["a", "x"], change_set="ban", part=1, parts=2))
    assert [event.change_set for event in seen.records(catalog.RELATION_EVENTS)] == ["ban", "ban"]
    progress = _group(partition).change_sets.progress("ban")
    assert progress is not None
    assert (progress.came, progress.before, progress.version, progress.changed) == (1, 2, 4, 2)


@given(
    order=st.permutations(range(1, 6)),
    again=st.lists(st.integers(1, 5)),
    crashes=st.sets(st.integers(0, 10)),
)
def test_parts_in_any_order_and_again_end_the_same(order: list[int], again: list[int], crashes: set[int]) -> None:
    partition = groups()
    partition.apply(create("owner"))
    users = {part: [f"u{part}-{n}" for n in range(part)] for part in order}
    for at, part in enumerate([*order, *again]):
        if at in crashes:
            partition.crash()
        partition.apply(_part(part, 5, *users[part]))
    progress = _group(partition).change_sets.progress("s")
    assert progress is not None
    assert (progress.came, progress.changed, progress.version) == (5, 15, 6)
    assert {user for _, user in _group(partition).members} == {
        "owner",
        *(user for lot in users.values() for user in lot),
    }
