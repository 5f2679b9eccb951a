"""Members and their ordinals against a plain dict."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables import keys, members
from tables.members import Members
from tables.rows import Rows
from tests.cores import Memory, commit
from topics import limits

_GROUP = b"app:g"


class _Kept:
    """Members with their rows, and with what the group's row keeps of them."""

    def __init__(self, first: int = 0) -> None:
        self.store = Memory()
        self.rows = Rows(self.store)
        self.first = first
        self.members = Members(self.rows, _GROUP, first, first)

    def flush(self) -> None:
        self.members.flush()
        commit(self.rows, self.store)

    def load(self) -> None:
        self.rows = Rows(self.store)
        self.members = Members(self.rows, _GROUP, self.first, self.members.next)


class _Oracle:
    """Ordinals in a dict, one more for each who joins."""

    def __init__(self, first: int = 0) -> None:
        self.next = first
        self.ordinals: dict[str, int] = {}

    def add(self, users: list[str]) -> list[tuple[str, int]]:
        added = []
        for user in users:
            if user not in self.ordinals:
                self.ordinals[user] = self.next
                added.append((user, self.next))
                self.next += 1
        return added

    def remove(self, users: list[str]) -> list[tuple[str, int]]:
        return [(user, self.ordinals.pop(user)) for user in users if user in self.ordinals]


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_ORDINALS", 4)
    monkeypatch.setattr(limits, "PAGE_DELTAS", 2)
    monkeypatch.setattr(members, "_FOLD_AT_LEAST", 3)
    monkeypatch.setattr(members, "_MANY", 2)


@pytest.fixture(params=[None, 1, 8], ids=["whole hashes", "hashes of one value", "hashes of eight values"])
def _few_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param is not None:

        def few(name: bytes) -> int:
            return int.from_bytes(hashlib.blake2b(name).digest()[:1], "big") % int(request.param)

        monkeypatch.setattr(members, "_hash", few)


_NAMES = [*"abcdefghijklmnop", "ab", "abc", "b.c", "a@b"]
_STEPS: st.SearchStrategy[list[tuple[str, list[str]]]] = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["add", "remove"]), st.lists(st.sampled_from(_NAMES), min_size=1, max_size=8)),
        st.tuples(st.sampled_from(["flush", "flush and reload"]), st.just([])),
    ),
    max_size=40,
)


@pytest.mark.usefixtures("_few_hashes")
def test_members_are_a_dict_of_dense_ordinals_never_used_twice_also_where_hashes_collide() -> None:
    @given(_STEPS, st.sampled_from([0, 8]))
    def check(steps: list[tuple[str, list[str]]], first: int) -> None:
        kept, oracle = _Kept(first), _Oracle(first)
        for step, users in steps:
            match step:
                case "add":
                    assert kept.members.add(users) == oracle.add(users)
                case "remove":
                    assert sorted(kept.members.remove(users)) == sorted(oracle.remove(users))
                case _:
                    kept.flush()
                    if step != "flush":
                        kept.load()
            assert kept.members.next == oracle.next
            assert len(kept.members) == len(oracle.ordinals)
            by_ordinal = sorted((ordinal, user) for user, ordinal in oracle.ordinals.items())
            assert list(kept.members) == by_ordinal
            for user in [*_NAMES, "stranger"]:
                known_at = oracle.ordinals.get(user)
                assert kept.members.ordinal_of(user) == known_at
                held_at = [at for at in range(oracle.next + 1) if kept.members.holds(user, at)]
                assert held_at == ([] if known_at is None else [known_at])
            asked = ["stranger", *reversed(_NAMES), *_NAMES[:3]]
            known = [(user, oracle.ordinals[user]) for user in dict.fromkeys(asked) if user in oracle.ordinals]
            assert kept.members.named(asked) == kept.members.named(iter(asked)) == known
            assert kept.members.users_at([at for at, _ in by_ordinal]) == [user for _, user in by_ordinal]
            for start in (first, first + 5):
                assert kept.members.users_from(start, 3) == [pair for pair in by_ordinal if pair[0] >= start][:3]
        before = list(kept.members)
        kept.flush()
        assert Members.take_pages(kept.rows, _GROUP, first, oracle.next) == before
        commit(kept.rows, kept.store)
        assert kept.store.rows == {}

    check()


def test_an_import_makes_a_row_a_page_and_an_edit_makes_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    kept = _Kept()
    users = [f"user-{i}" for i in range(20_000)]
    for start in range(0, len(users), limits.LOT_USERS):
        kept.members.add(users[start : start + limits.LOT_USERS])
        kept.flush()
    assert len(kept.store.rows) <= len(users) // limits.PAGE_ORDINALS + 1 + limits.PAGE_DELTAS
    before = dict(kept.store.rows)
    kept.members.remove(["user-7"])
    kept.flush()
    changed = {key: value for key, value in kept.store.rows.items() if before.get(key) != value}
    assert [key[:1] for key in changed] == [keys.DELTA]
    kept.load()
    assert kept.members.ordinal_of("user-7") is None
    assert kept.members.ordinal_of("user-19999") == 19_999
    assert len(kept.members) == 19_999


def test_a_page_is_written_anew_before_its_small_rows_are_many() -> None:
    kept = _Kept()
    kept.members.add(list("abcd"))
    for user in "abcd":
        kept.members.remove([user])
        kept.flush()
        assert sum(key[:1] == keys.DELTA for key in kept.store.rows) <= limits.PAGE_DELTAS


def test_members_of_an_earlier_life_are_not_seen_and_stay_for_their_clean_up() -> None:
    kept = _Kept()
    kept.members.add(list("abcde"))
    kept.flush()
    kept.first = 8
    kept.members = Members(kept.rows, _GROUP, 8, 8)
    assert kept.members.ordinal_of("a") is None
    assert kept.members.add(["a"]) == [("a", 8)]
    kept.flush()
    kept.load()
    assert list(kept.members) == [(8, "a")]
    assert Members.take_pages(kept.rows, _GROUP, 0, 5) == list(enumerate("abcde"))
    assert kept.members.ordinal_of("a") == 8
    kept.load()
    assert list(kept.members) == [(8, "a")]


def test_a_name_given_twice_to_be_removed_removes_nobody_else_where_hashes_collide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "_hash", lambda _: 0)
    kept = _Kept()
    kept.members.add(["kept"])
    kept.flush()
    kept.load()  # its hash is in the array
    kept.members.add(["goes"])
    assert kept.members.remove(["goes", "goes"]) == [("goes", 1)]
    assert list(kept.members) == [(0, "kept")]


def test_the_rows_of_one_group_are_not_those_of_another_whose_name_begins_alike() -> None:
    kept = _Kept()
    kept.members.add(["a"])
    kept.flush()
    assert list(Members(kept.rows, _GROUP + b"2", 0, 0)) == []
    assert list(Members(kept.rows, _GROUP[:-1], 0, 0)) == []
