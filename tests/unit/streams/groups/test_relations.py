"""Commands: refused with a code, or applied once, with one event, one version and news for the users role."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cores import Partition, Seen, add, bind, create, delete, groups, remove, send
from topics import catalog, limits
from topics.answers import Applied, Refused
from topics.deliveries import Changed, Unbound
from topics.events import GroupCreated, GroupDeleted, MembersAdded, MembersRemoved
from topics.memberships import Joined, Left
from topics.messages import Message
from topics.wire import ToRequester, ToSession

_REPLY: dict[str, Any] = {"reply": ToRequester("me"), "request": "r"}


@pytest.fixture
def partition() -> Partition:
    return groups()


def _code(seen: Seen) -> str:
    """The code of the only answer, after which nothing else may have been written."""
    [answer] = seen.told(Refused)
    assert answer.request == "r"
    assert {topic for topic, _ in seen.out.records} == {catalog.ANSWERS.name}
    return answer.code


def test_group_exists(partition: Partition) -> None:
    partition.apply(create("ann"))
    assert _code(partition.apply(create("ann", **_REPLY))) == "group_exists"


@pytest.mark.parametrize("members", [[], ["ann"], ["ann", "ann"], ["ann", "bob", "eve"]])
def test_direct_needs_two(partition: Partition, members: list[str]) -> None:
    assert _code(partition.apply(create(*members, kind="direct", **_REPLY))) == "direct_needs_two"
    assert partition.store.rows == {}


def test_direct_is_fixed(partition: Partition) -> None:
    partition.apply(create("ann", "bob", "ann", kind="direct"))
    assert _code(partition.apply(add("eve", **_REPLY))) == "direct_is_fixed"
    assert _code(partition.apply(remove("ann", **_REPLY))) == "direct_is_fixed"
    assert partition.apply(delete(**_REPLY)).told(Applied)[0].changed == 2


@pytest.mark.parametrize("command", [add("ann", **_REPLY), remove("ann", **_REPLY), delete(**_REPLY)])
def test_unknown_group(partition: Partition, command: Any) -> None:
    assert _code(partition.apply(command)) == "unknown_group"
    partition.apply(create("ann"), delete())
    assert _code(partition.apply(command)) == "unknown_group"


def test_an_answer_to_nowhere_rejects_the_command_and_changes_nothing(partition: Partition) -> None:
    seen = partition.apply(create("ann", reply=ToSession("l", 1, 32, 1)))
    assert seen.rejected() == ["bad_address"]
    assert partition.store.rows == {}


def test_a_command_on_the_wrong_partition_is_rejected() -> None:
    reasons = [groups(8, at).apply(create("ann")).rejected() for at in range(8)]
    assert sorted(reasons) == [[]] + [["wrong_partition"]] * 7


def test_each_change_has_one_event_with_the_next_version(partition: Partition) -> None:
    at = partition.now_ms
    seen = partition.apply(
        create("ann", "bob", "ann"), add("eve", "ann"), remove("bob", "nobody"), delete(), create("ann")
    )
    assert seen.records(catalog.RELATION_EVENTS) == [
        GroupCreated("app", "g", 1, at, "team", ["ann", "bob"], [0, 1]),
        MembersAdded("app", "g", 2, at, ["eve"], [2]),
        MembersRemoved("app", "g", 3, at, ["bob"], [1]),
        GroupDeleted("app", "g", 4, at),
        GroupCreated("app", "g", 5, at, "team", ["ann"], [256]),
    ]
    assert [key for key, _ in seen.out.records[catalog.RELATION_EVENTS.name, 0]] == [b"app:g"] * 5


@pytest.mark.parametrize("command", [add("ann", "bob", **_REPLY), remove("eve", **_REPLY)])
def test_twice_is_harmless(partition: Partition, command: Any) -> None:
    partition.apply(create("ann", "bob"))
    rows = dict(partition.store.rows)
    seen = partition.apply(command)
    assert seen.told(Applied) == [Applied("app", "g", 1, 0, "r")]
    assert {topic for topic, _ in seen.out.records} == {catalog.ANSWERS.name}
    assert partition.store.rows == rows


def test_an_answer_names_what_changed(partition: Partition) -> None:
    assert partition.apply(create("ann", "bob", **_REPLY)).told(Applied) == [Applied("app", "g", 1, 2, "r")]
    assert partition.apply(add("bob", "eve", **_REPLY)).told(Applied) == [Applied("app", "g", 2, 1, "r")]
    assert partition.apply(remove("bob", "eve", **_REPLY)).told(Applied) == [Applied("app", "g", 3, 2, "r")]
    assert partition.apply(delete(**_REPLY)).told(Applied) == [Applied("app", "g", 4, 1, "r")]
    answered = partition.apply(create(reply=ToSession("l", 1, 3, 7))).entries("l", Applied)
    assert [(answer.version, answer.slot) for answer in answered] == [(5, 7)]


def test_a_removal_ends_bindings_before_later_messages_of_its_batch(partition: Partition) -> None:
    partition.apply(create("ann", "bob"))
    partition.apply(bind("ann", 0, 10), bind("bob", 1, 11))
    seen = partition.apply(send("ann", "before", 1_000_000), remove("bob"), send("ann", "after", 1_000_000))
    [lot] = seen.lots("l")
    before, unbound, after, changed = lot.entries
    assert isinstance(changed, Changed)
    assert isinstance(before, Message)
    assert isinstance(after, Message)
    assert isinstance(unbound, Unbound)
    assert (unbound.ordinals, unbound.slots) == ([1], [11])
    assert before.map < unbound.map == after.map


def test_a_deletion_ends_every_binding_and_tells_every_member_once_in_steps(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGE_ORDINALS", 4)
    monkeypatch.setattr(limits, "CHORE_PAGES", 1)
    names = [f"u{i}" for i in range(10)]
    partition.apply(create(*names))
    partition.apply(remove("u3"), bind("u0", 0, 1), bind("u9", 9, 2, link="m"))
    seen = partition.apply(delete())
    assert [u.slots for link in ("l", "m") for u in seen.entries(link, Unbound)] == [[1], [2]]
    left = seen.memberships()
    while partition.core.due_ms() is not None:
        assert partition.core.due_ms() == 0
        partition.core.apply([], partition.now_ms)  # a step whose commit never came
        partition.crash()
        left += partition.tick().memberships()
    told = [pair for entry in left for pair in zip(entry.users, entry.ordinals, strict=True)]
    assert told == [(f"u{i}", i) for i in range(10) if i != 3]
    assert {entry.version for entry in left} == {3}
    assert len(partition.store.rows) == 2  # the group, and the links' numbers


def test_members_of_a_group_that_lived_for_part_of_a_batch_are_told_to_leave(partition: Partition) -> None:
    told = partition.apply(create("ann"), add("bob"), delete()).memberships()
    left = [
        (user, ordinal) for e in told if isinstance(e, Left) for user, ordinal in zip(e.users, e.ordinals, strict=True)
    ]
    assert left == [("ann", 0), ("bob", 1)]


def test_a_clean_up_leaves_the_re_created_group_alone(partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHORE_PAGES", 1)
    names = [f"u{i}" for i in range(700)]
    partition.apply(create(*names))
    left = partition.apply(delete(), create("u1", "new")).memberships()
    left += partition.apply(add("u2"), bind("u1", 768, 5)).memberships()
    while partition.core.due_ms() is not None:
        left += partition.tick().memberships()
        partition.crash()
    gone = [ordinal for entry in left if isinstance(entry, Left) for ordinal in entry.ordinals]
    assert sorted(gone) == list(range(700))
    at = partition.now_ms
    [message] = partition.apply(send("u2", "c", at)).entries("l", Message)
    assert message.version == 4
    assert partition.apply(send("u3", "c", at, reply=ToRequester("me"))).told(Refused)[0].code == "not_a_member"


def test_news_for_the_users_role_go_to_the_users_partitions() -> None:
    partitions = [groups(4, at) for at in range(4)]
    [seen] = [seen for one in partitions if not (seen := one.apply(create(*map(str, range(50))))).rejected()]
    entries = seen.memberships()
    assert len(entries) == 4
    assert all(isinstance(entry, Joined) for entry in entries)
    told = {user: ordinal for entry in entries for user, ordinal in zip(entry.users, entry.ordinals, strict=True)}
    assert told == {str(i): i for i in range(50)}


_NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5)
_COMMANDS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["add", "remove", "create"]), _NAMES),
        st.tuples(st.sampled_from(["delete", "crash", "tick"]), st.just([])),
    ),
    max_size=25,
)
_MAKE: dict[str, Any] = {"add": add, "remove": remove, "create": create, "delete": delete}


@given(_COMMANDS)
def test_events_and_news_rebuild_the_members_and_versions_are_dense(steps: list[tuple[str, list[str]]]) -> None:
    partition = groups()
    alive, oracle, version = False, set[str](), 0
    by_events: set[str] = set()
    by_news: dict[str, int] = {}  # as the users role follows them: by ordinal
    for step, users in steps:
        if step in {"crash", "tick"}:
            seen = partition.tick()
            if step == "crash":
                partition.crash()
        else:
            seen = partition.apply(_MAKE[step](*users, **_REPLY))
        before = alive, set(oracle)
        match step:
            case "create" if not alive:
                alive, oracle = True, set(users)
            case "delete":
                alive, oracle = False, set()
            case "add" if alive:
                oracle |= set(users)
            case "remove" if alive:
                oracle -= set(users)
        changed = before != (alive, oracle)
        events = seen.records(catalog.RELATION_EVENTS)
        assert len(events) == changed
        version += changed
        for event in events:
            assert event.version == version
            match event:
                case GroupCreated() | MembersAdded():
                    by_events |= set(event.users)
                case MembersRemoved():
                    by_events -= set(event.users)
                case _:
                    by_events = set()
        assert by_events == oracle
        for entry in seen.memberships():
            for user, ordinal in zip(entry.users, entry.ordinals, strict=True):
                if isinstance(entry, Joined):
                    assert ordinal > by_news.get(user, -1)
                    by_news[user] = ordinal
                elif by_news.get(user) == ordinal:
                    del by_news[user]
    while partition.core.due_ms() == 0:
        for entry in partition.tick().memberships():
            for user, ordinal in zip(entry.users, entry.ordinals, strict=True):
                if by_news.get(user) == ordinal:
                    del by_news[user]
    assert set(by_news) == oracle
