"""A user's groups against a plain dict, and the index against a scan of the rolls."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tables import keys
from tables.rolls import Rolls, index
from tables.rows import LOCAL, Rows
from tests.cores import Memory, commit
from topics import limits
from topics.keys import key_of

_USERS = ["a", "b", "c", "d", "e", "ab"]
_GROUPS = ["g", "gg"]


@pytest.fixture(autouse=True)
def _small_rolls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROLL_ENTRIES", 3)


def _scanned(store: Memory) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """(user, group) -> (ordinal, roll) of each roll that names the user."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for key, value in store.rows.items():
        if key.startswith(keys.ROLL):
            group = key[len(keys.ROLL) : -5].decode().partition(":")[2]
            for ordinal, user in msgspec.msgpack.decode(value):
                found.setdefault((user, group), []).append((ordinal, int.from_bytes(key[-4:], "big")))
    return found


def _indexed(store: Memory) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """The same from the index."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for key, value in store.rows.items():
        if key.startswith(keys.GROUPS_OF):
            user, _, group = key[len(keys.GROUPS_OF) :].partition(keys.END)
            where = user.decode().partition(":")[2], group.decode().partition(":")[2]
            found[where] = [(int.from_bytes(value[:4], "big"), int.from_bytes(value[4:], "big"))]
    return found


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "join", "leave", "leave of old", "join of old", "commit", "reload"]),
        st.sampled_from(_GROUPS),
        st.lists(st.sampled_from(_USERS), min_size=1, max_size=6, unique=True),
    ),
    max_size=40,
)


@given(_STEPS)
def test_memberships_are_a_dict_old_news_changes_nothing_and_the_index_is_what_a_scan_gives(
    steps: list[tuple[str, str, list[str]]],
) -> None:
    store = Memory()
    rows = Rows(store)
    rolls = Rolls(rows)
    oracle: dict[tuple[str, str], int] = {}
    next_ordinal = 0
    for step, group, users in steps:
        match step:
            case "join":  # perhaps anew: a re-created group tells its members before its earlier life's are told to go
                told = [(user, next_ordinal + i) for i, user in enumerate(users)]
                next_ordinal += len(users)
                assert rolls.join("app", group, told) == told
                oracle |= {(user, group): ordinal for user, ordinal in told}
            case "join of old":
                known = [(user, oracle[user, group]) for user in users if (user, group) in oracle]
                assert rolls.join("app", group, [(user, max(0, at - 1)) for user, at in known]) == []
                assert rolls.join("app", group, known) == []
            case "leave":
                known = [(user, oracle.pop((user, group))) for user in users if (user, group) in oracle]
                rolls.leave("app", group, known)
            case "leave of old":
                rolls.leave("app", group, [(user, oracle.get((user, group), 1_000) + 1) for user in users])
            case _:
                commit(rows, store)
                if step == "reload":
                    rows = Rows(store)
                    rolls = Rolls(rows)
        for user in _USERS:
            expected = sorted((g, at) for (u, g), at in oracle.items() if u == user)
            assert sorted(rolls.groups_of("app", user)) == expected
    commit(rows, store)
    assert _indexed(store) == _scanned(store)
    assert {where: at for where, [(at, _)] in _scanned(store).items()} == oracle


_CHANGES = st.lists(
    st.tuples(st.sampled_from(["join", "join", "leave"]), st.permutations("abcd"), st.integers(1, 4)),
    min_size=5,
    max_size=12,
)


@settings(max_examples=300)
@given(_CHANGES, st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_copy_of_any_age_is_brought_up_by_a_compacted_log_to_the_same_index(
    steps: list[tuple[str, list[str], int]], age: int, chance: random.Random
) -> None:
    store, copy = Memory(), Memory()
    rows = Rows(store)
    rolls = Rolls(rows)
    log: list[tuple[bytes, bytes | None]] = []
    ordinals: dict[str, int] = {}
    next_ordinal = 0
    for at, (step, names, count) in enumerate(steps):
        users = names[:count]
        if step == "join":
            told = [(user, next_ordinal + i) for i, user in enumerate(users)]
            next_ordinal += len(users)
            ordinals |= dict(told)
            rolls.join("app", "g", told)
        else:
            rolls.leave("app", "g", [(user, ordinals.pop(user)) for user in users if user in ordinals])
        changes = rows.take()
        store.write(changes)
        rows.settled()
        if at < age:
            copy.write(changes)
        else:
            log += [(key, value) for key, value in changes.items() if not key.startswith(LOCAL)]
    newest = {key: at for at, (key, _) in enumerate(log)}
    compacted = [entry for at, entry in enumerate(log) if newest[entry[0]] == at or chance.random() < 0.3]
    for key, value in compacted:
        copy.write(index(key, copy.get(key), value, copy.get))
        copy.write({key: value})
    assert copy.rows == store.rows


def test_a_moved_user_stays_found_when_compaction_put_the_new_roll_before_the_change_of_the_old() -> None:
    def joined(*steps: list[tuple[str, int]]) -> Memory:
        store = Memory()
        rows = Rows(store)
        for users in steps:
            Rolls(rows).join("app", "g", users)
        commit(rows, store)
        return store

    copy = joined([("a", 0), ("b", 1)])
    newest = joined([("a", 0), ("b", 1)], [("a", 7)])
    rolls = {key: value for key, value in newest.rows.items() if key.startswith(keys.ROLL)}
    for key in sorted(rolls, reverse=True):
        copy.write(index(key, copy.get(key), rolls[key], copy.get))
        copy.write({key: rolls[key]})
    assert list(Rolls(Rows(copy)).groups_of("app", "a")) == [("g", 7)]


def test_other_rows_have_no_index() -> None:
    assert index(keys.SESSIONS + key_of("app", "u"), None, b"x", Memory().get) == {}


def test_an_import_is_some_rows_a_thousand_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    store = Memory()
    rows = Rows(store)
    for start in range(0, 20_000, limits.LOT_USERS):
        Rolls(rows).join("app", "g", [(f"u{i}", i) for i in range(start, start + limits.LOT_USERS)])
    commit(rows, store)
    logged = [key for key in store.rows if not key.startswith(LOCAL)]
    assert len(logged) <= 20_000 // limits.ROLL_ENTRIES + 2


def test_an_app_sees_its_own_groups_only() -> None:
    rolls = Rolls(Rows(Memory()))
    rolls.join("app", "g", [("u", 1)])
    rolls.join("other", "g", [("u", 5)])
    assert list(rolls.groups_of("app", "u")) == [("g", 1)]
    assert list(rolls.groups_of("other", "u")) == [("g", 5)]
    assert list(rolls.groups_of("ap", "u")) == []
