"""The users role: each session is bound to each group of its user, once, whichever comes first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cores import Partition, users
from topics import catalog, limits
from topics.bindings import Bind, Unbind
from topics.catalog import Topic
from topics.keys import key_of, partition_of
from topics.links import Void
from topics.memberships import Joined, Left, MembershipLot
from topics.sessions import Down, Up


def _up(user: str, slot: int, link: str = "l", epoch: int = 1, partition: int = 3) -> tuple[Topic, Up]:
    return catalog.SESSIONS, Up("app", user, f"d{link}{epoch}.{slot}", link, epoch, partition, slot)


def _down(user: str, slot: int, link: str = "l", epoch: int = 1) -> tuple[Topic, Down]:
    return catalog.SESSIONS, Down("app", user, link, epoch, slot)


def _joined(group: str, *members: tuple[str, int]) -> tuple[Topic, MembershipLot]:
    names, ordinals = [user for user, _ in members], [ordinal for _, ordinal in members]
    return catalog.MEMBERSHIPS, MembershipLot([Joined("app", group, 1, names, ordinals)])


def _left(group: str, *members: tuple[str, int]) -> tuple[Topic, MembershipLot]:
    names, ordinals = [user for user, _ in members], [ordinal for _, ordinal in members]
    return catalog.MEMBERSHIPS, MembershipLot([Left("app", group, 2, names, ordinals)])


@pytest.fixture
def partition() -> Partition:
    return users()


def test_a_session_is_bound_to_all_groups_of_its_user_and_of_nobody_else(partition: Partition) -> None:
    partition.apply(_joined("g", ("ann", 4), ("bob", 5)), _joined("h", ("ann", 0)), _joined("i", ("bob", 1)))
    assert partition.apply(_up("ann", 7)).bindings() == [
        Bind("app", "g", "ann", 4, "l", 1, 3, 7),
        Bind("app", "h", "ann", 0, "l", 1, 3, 7),
    ]


def test_a_user_who_joins_while_online_has_all_sessions_bound(partition: Partition) -> None:
    partition.apply(_up("ann", 7), _up("ann", 8, "m", 2, 9), _up("bob", 9))
    assert partition.apply(_joined("g", ("ann", 4))).bindings() == [
        Bind("app", "g", "ann", 4, "l", 1, 3, 7),
        Bind("app", "g", "ann", 4, "m", 2, 9, 8),
    ]


def test_a_session_that_ends_is_unbound_from_all_groups(partition: Partition) -> None:
    partition.apply(_joined("g", ("ann", 4)), _joined("h", ("ann", 0)), _up("ann", 7), _up("ann", 8))
    assert partition.apply(_down("ann", 7)).bindings() == [
        Unbind("app", "g", 4, "l", 1, 7),
        Unbind("app", "h", 0, "l", 1, 7),
    ]
    assert partition.apply(_joined("i", ("ann", 1))).bindings() == [Bind("app", "i", "ann", 1, "l", 1, 3, 8)]


def test_a_late_or_doubled_down_hurts_no_session_resumed_elsewhere(partition: Partition) -> None:
    partition.apply(_joined("g", ("ann", 4)), _up("ann", 7), _up("ann", 7, "m", 2))
    assert len(partition.apply(_down("ann", 7)).bindings()) == 1
    assert partition.apply(_down("ann", 7), _down("ann", 7, "m", 1), _down("ann", 6), _down("eve", 7)).bindings() == []
    assert [b.link for b in partition.apply(_joined("h", ("ann", 1))).bindings()] == ["m"]


def test_a_session_told_twice_is_bound_once(partition: Partition) -> None:
    partition.apply(_joined("g", ("ann", 4)))
    assert len(partition.apply(_up("ann", 7), _up("ann", 7)).bindings()) == 1
    partition.crash()
    assert partition.apply(_up("ann", 7)).bindings() == []


def test_who_left_is_bound_no_more_and_a_leaving_of_an_earlier_life_is_ignored(partition: Partition) -> None:
    partition.apply(_joined("g", ("ann", 4)), _left("g", ("ann", 4)))
    assert partition.apply(_up("ann", 7)).bindings() == []
    partition.apply(_joined("g", ("ann", 256)), _left("g", ("ann", 4)))
    assert [b.ordinal for b in partition.apply(_up("ann", 8)).bindings()] == [256]


def test_a_dead_link_has_no_sessions_and_gets_none(partition: Partition) -> None:
    partition.apply(_joined("g", ("ann", 4)), _up("ann", 7), _up("ann", 8, epoch=2))
    partition.apply((catalog.LINK_VOIDS, Void("l", 1)))
    for _ in range(2):
        assert partition.apply(_up("ann", 9), _down("ann", 7)).out.records == {}
        assert [b.slot for b in partition.apply(_joined("h", ("ann", partition.now_ms))).bindings()] == [8]
        partition.now_ms += 1
        partition.crash()


def test_too_many_sessions_are_rejected_but_not_one_known_or_dead(partition: Partition) -> None:
    partition.apply((catalog.LINK_VOIDS, Void("dead", 1)))
    partition.apply(*(_up("ann", slot) for slot in range(limits.SESSIONS_PER_USER)))
    seen = partition.apply(_up("ann", 5), _up("ann", 1_000, "dead"), _up("ann", 1_000))
    assert seen.rejected() == ["too_many_sessions"]
    partition.apply(_down("ann", 5))
    assert partition.apply(_up("ann", 1_000)).rejected() == []


def test_an_address_that_does_not_exist_is_rejected(partition: Partition) -> None:
    assert partition.apply(_up("ann", 7, partition=32)).rejected() == ["bad_address"]
    assert partition.store.rows == {}


def test_a_session_on_the_wrong_partition_is_rejected() -> None:
    right = partition_of(key_of("app", "ann"), 8)
    for at in range(8):
        reasons = users(8, at).apply(_up("ann", 7), _down("ann", 7)).rejected()
        assert reasons == ([] if at == right else ["wrong_partition"] * 2)


def test_a_login_is_at_most_one_record_a_groups_partition_whatever_the_number_of_groups() -> None:
    right = partition_of(key_of("app", "ann"), 8)
    partition = users(8, right)
    partition.apply(*(_joined(f"g{i}", ("ann", i)) for i in range(400)))
    seen = partition.apply(_up("ann", 7))
    assert sum(map(len, seen.out.records.values())) == 8
    assert len(seen.bindings()) == 400
    for (_, at), [(_, value)] in seen.out.records.items():
        assert value.count(b'"t":"bind"') == sum(partition_of(key_of("app", f"g{i}"), 8) == at for i in range(400))


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["up", "up", "down", "join", "join", "leave", "void", "crash"]),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["g", "h"]),
        st.sampled_from([("l", 1), ("l", 2), ("m", 1)]),
        st.integers(0, 2),
        st.booleans(),
    ),
    max_size=50,
)


@settings(max_examples=200)
@given(_STEPS)
def test_binds_and_unbinds_lead_to_every_living_session_in_every_group_of_its_user(
    steps: list[tuple[str, str, str, tuple[str, int], int, bool]],
) -> None:
    partition = users()
    sessions: set[tuple[str, str, int, int]] = set()  # user, link, epoch, slot
    groups: dict[tuple[str, str], int] = {}  # (user, group) -> ordinal
    dead: set[tuple[str, int]] = set()
    bound: set[tuple[str, int, str, int, int]] = set()  # group, ordinal, link, epoch, slot: as the groups role holds it
    following = 0
    batch: list[tuple[Topic, Any]] = []
    for step, user, group, who, slot, ends in [*steps, ("crash", "ann", "g", ("l", 1), 0, True)]:
        match step:
            case "up":
                batch.append(_up(user, slot, *who))
                if who not in dead:
                    sessions.add((user, *who, slot))
            case "down":
                batch.append(_down(user, slot, *who))
                sessions.discard((user, *who, slot))
            case "join":
                batch.append(_joined(group, (user, following)))
                groups[user, group] = following
                following += 1
            case "leave" if (user, group) in groups:
                batch.append(_left(group, (user, groups.pop((user, group)))))
            case "void":
                batch.append((catalog.LINK_VOIDS, Void(*who)))
                dead |= {(who[0], earlier) for earlier in range(who[1] + 1)}
                sessions = {s for s in sessions if s[1:3] not in dead}
        if not ends and step != "crash":
            continue
        seen = partition.apply(*batch)
        batch = []
        if step == "crash":
            partition.crash()
        for told in seen.bindings():
            binding = (told.group, told.ordinal, told.link, told.epoch, told.slot)
            if isinstance(told, Bind):
                bound.add(binding)
            else:
                bound.discard(binding)
        # The groups role itself ends the bindings of members who left, and refuses those of ordinals that are none.
        bound = {b for b in bound if b[1] in groups.values() and (b[2], b[3]) not in dead}
        assert bound == {
            (group, ordinal, link, epoch, slot)
            for (member, group), ordinal in groups.items()
            for user, link, epoch, slot in sessions
            if user == member
        }
