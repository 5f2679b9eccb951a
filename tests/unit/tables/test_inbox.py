"""Inboxes against a list that is too simple to be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables import keys
from tables.inbox import Inboxes
from tables.rows import Rows
from tests.cores import Memory, commit
from topics import limits
from topics.notices import Kept, Notice

_AT = 1_000_000_000_000
_APART = limits.NOTICE_WINDOW_MS + 1


class Shelf:
    """Inboxes over rows in a dict."""

    def __init__(self) -> None:
        self.store = Memory()
        self.reload()

    def reload(self) -> None:
        self.rows = Rows(self.store)
        self.inboxes = Inboxes(self.rows)

    def put(self, version: int, at: int, user: str = "ann", **more: Any) -> Kept | None:
        given: dict[str, Any] = {"app": "app", "group": "g", "kind": "invited"} | more
        taken = self.inboxes.put(Notice(users=[user], version=version, at=at, **given), user)
        commit(self.rows, self.store)
        return None if taken is None else taken.kept

    def numbers(self, since: int = 0, user: str = "ann") -> list[int]:
        return [kept.number for kept in self.inboxes.since("app", user, since, 10_000).notices]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def test_numbers_rise_by_user_and_a_reader_gets_those_after_the_one_it_knows(shelf: Shelf) -> None:
    for n in range(1, 6):
        assert shelf.put(n, _AT + n * _APART) == Kept(n, "g", n, _AT + n * _APART, "invited")
    shelf.put(1, _AT, "bob")
    shelf.reload()
    assert shelf.numbers() == [1, 2, 3, 4, 5]
    assert shelf.numbers(since=3) == [4, 5]
    assert shelf.numbers(since=99) == []
    assert shelf.numbers(user="bob") == [1]
    page = shelf.inboxes.since("app", "ann", 1, 2)
    assert ([kept.number for kept in page.notices], page.newest, page.first, page.more) == ([2, 3], 5, 1, True)


def test_who_was_never_told_anything_has_an_empty_inbox(shelf: Shelf) -> None:
    assert shelf.inboxes.since("app", "ann", 0, 10) == (0, 1, [], False)


def test_users_whose_names_begin_alike_and_the_same_user_of_another_app_do_not_mix(shelf: Shelf) -> None:
    shelf.put(1, _AT, "ann")
    shelf.put(1, _AT, "anna")
    shelf.put(1, _AT, "ann", app="ap")
    assert shelf.numbers() == [1]
    assert [kept.number for kept in shelf.inboxes.since("ap", "ann", 0, 10).notices] == [1]


def test_notices_of_one_group_and_kind_close_together_are_one_under_a_new_number(shelf: Shelf) -> None:
    shelf.put(1, _AT, by="eve", about="bob", subject="i1", end="declined")
    kept = shelf.put(2, _AT + limits.NOTICE_WINDOW_MS, by="eve", about="cid", subject="i2", end="declined")
    assert kept == Kept(2, "g", 2, _AT + limits.NOTICE_WINDOW_MS, "invited", 2, by="eve", end="declined")
    assert shelf.numbers(since=1) == [2]
    assert shelf.inboxes.since("app", "ann", 0, 10) == (2, 1, [kept], False)


def test_other_kinds_other_groups_and_later_ones_stand_alone(shelf: Shelf) -> None:
    shelf.put(1, _AT)
    shelf.put(2, _AT, kind="removed")
    shelf.put(1, _AT, group="h")
    shelf.put(3, _AT + _APART)
    assert shelf.numbers() == [1, 2, 3, 4]
    assert {kept.count for kept in shelf.inboxes.since("app", "ann", 0, 10).notices} == {1}


def test_the_same_and_an_older_version_of_a_kind_change_nothing(shelf: Shelf) -> None:
    shelf.put(5, _AT)
    before = dict(shelf.store.rows)
    assert shelf.put(5, _AT + _APART) is None
    assert shelf.put(4, _AT + _APART) is None
    assert shelf.store.rows == before
    assert shelf.put(4, _AT + _APART, kind="removed") is not None


def test_the_oldest_go_when_there_are_too_many_and_a_reader_knows_that_it_missed_some(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NOTICES_KEPT", 3)
    for n in range(1, 6):
        shelf.put(n, _AT + n * _APART)
    page = shelf.inboxes.since("app", "ann", 0, 10)
    assert ([kept.number for kept in page.notices], page.first, page.newest) == ([3, 4, 5], 3, 5)


def test_those_older_than_the_days_go_when_a_new_one_comes_and_the_newest_stays(shelf: Shelf) -> None:
    month = limits.NOTICE_DAYS * 86_400_000
    shelf.put(1, _AT)
    shelf.put(2, _AT + _APART)
    shelf.put(3, _AT + month + 1)
    assert shelf.numbers() == [2, 3]
    shelf.put(4, _AT + 3 * month)
    assert shelf.numbers() == [4]
    assert shelf.inboxes.since("app", "ann", 0, 10).first == 4


def test_a_kind_whose_notice_is_gone_leaves_no_row(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NOTICES_KEPT", 2)
    for n in range(20):
        shelf.put(1, _AT + n, group=f"g{n}")
    kinds = [key for key in shelf.store.rows if key.startswith(keys.NEWEST)]
    assert len(kinds) == 2
    assert len(shelf.store.rows) == 5


_PUTS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["g", "h"]),
        st.sampled_from(["invited", "removed"]),
        st.integers(-1, 3),
        st.sampled_from([0, 1, limits.NOTICE_WINDOW_MS, _APART, 86_400_000, 20 * 86_400_000]),
        st.booleans(),
    ),
    max_size=60,
)


@given(_PUTS, st.integers(1, 5))
def test_an_inbox_is_what_a_plain_list_would_be(
    puts: list[tuple[str, str, Any, int, int, bool]], kept_most: int
) -> None:
    shelf = Shelf()
    told: dict[str, list[tuple[int, str, str, int, int, int]]] = {"ann": [], "bob": []}
    newest, first = {"ann": 0, "bob": 0}, {"ann": 1, "bob": 1}
    versions: dict[tuple[str, str, str], int] = {}
    now, version = _AT, 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "NOTICES_KEPT", kept_most)
        for user, group, kind, step, passed, crash in puts:
            now += passed
            version = max(1, version + step)
            held = told[user]
            same = next((one for one in reversed(held) if one[1:3] == (group, kind)), None)
            assert same is None or same[3] == versions[user, group, kind]
            if same is not None and same[3] >= version:
                assert shelf.put(version, now, user, group=group, kind=kind) is None
                continue
            newest[user] += 1
            versions[user, group, kind] = version
            merges = same is not None and now - same[4] <= limits.NOTICE_WINDOW_MS
            if same is not None and merges:
                held.remove(same)
            held.append((newest[user], group, kind, version, now, same[5] + 1 if same and merges else 1))
            shelf.put(version, now, user, group=group, kind=kind)
            old = now - limits.NOTICE_DAYS * 86_400_000
            while len(held) > 1 and (len(held) > kept_most or held[0][4] < old):
                first[user] = held.pop(0)[0] + 1
            if crash:
                shelf.reload()
            page = shelf.inboxes.since("app", user, 0, 100)
            assert [(k.number, k.group, k.kind, k.version, k.at, k.count) for k in page.notices] == held
            assert (page.newest, page.first) == (newest[user], first[user])
