"""Notices to persons in the users role: kept for everyone, told to whoever is online."""

from __future__ import annotations

from typing import Any

import pytest

from streams.users.core import UsersCore
from tests.cores import Partition, Seen, users
from topics import catalog, limits
from topics.catalog import Topic
from topics.deliveries import NoticeLot
from topics.links import Void
from topics.notices import Kept, Notice, NoticeOut, PersonLot
from topics.sessions import Up

_AT = 1_000_000_000_000


def up(user: str, slot: int, link: str = "l", epoch: int = 1, partition: int = 3) -> tuple[Topic, Up]:
    return catalog.SESSIONS, Up("app", user, f"d{link}{epoch}.{slot}", link, epoch, partition, slot)


def notice(*names: str, version: int = 1, at: int = _AT, **more: Any) -> Notice:
    given: dict[str, Any] = {"group": "g", "kind": "removed"} | more
    return Notice("app", list(names), version=version, at=at, **given)


def lot(*notices: Notice) -> tuple[Topic, PersonLot]:
    return catalog.NOTICES, PersonLot(list(notices))


def told(seen: Seen) -> list[NoticeLot]:
    return [record for record in seen.records(catalog.DELIVERIES) if isinstance(record, NoticeLot)]


def inbox(partition: Partition, user: str, since: int = 0) -> list[Kept]:
    assert isinstance(partition.core, UsersCore)
    return partition.core.desk.inboxes.since("app", user, since, 1_000).notices


@pytest.fixture
def partition() -> Partition:
    return users()


def test_a_user_hears_on_all_sessions_one_lot_a_link(partition: Partition) -> None:
    partition.apply(up("ann", 7), up("ann", 8), up("ann", 9, "m", 4, 5), up("bob", 10))
    seen = partition.apply(lot(notice("ann", by="eve", end="kicked")))
    kept = Kept(1, "g", 1, _AT, "removed", by="eve", end="kicked")
    assert told(seen) == [
        NoticeLot("l", 1, [NoticeOut("app", "ann", [7, 8], kept)]),
        NoticeLot("m", 4, [NoticeOut("app", "ann", [9], kept)]),
    ]
    assert [at for name, at in seen.out.records if name == catalog.DELIVERIES.name] == [3, 5]


def test_who_is_offline_finds_it_in_the_inbox_and_a_crash_loses_nothing(partition: Partition) -> None:
    seen = partition.apply(lot(notice("ann", kind="invited", subject="i1")))
    assert seen.out.records == {}
    partition.crash()
    partition.apply(up("ann", 7))
    assert inbox(partition, "ann") == [Kept(1, "g", 1, _AT, "invited", subject="i1")]
    assert [one.entries[0].notice.number for one in told(partition.apply(lot(notice("ann", version=2))))] == [2]


def test_notices_of_a_batch_to_one_link_are_one_lot(partition: Partition) -> None:
    names = [f"u{n}" for n in range(100)]
    partition.apply(*(up(name, n) for n, name in enumerate(names)))
    (one,) = told(partition.apply(lot(notice(*names)), lot(notice("u0", version=2, kind="muted"))))
    assert len(one.entries) == 101
    assert [entry.notice.kind for entry in one.entries if entry.user == "u0"] == ["removed", "muted"]


def test_of_merged_notices_only_the_one_that_stands_for_all_is_told(partition: Partition) -> None:
    partition.apply(up("ann", 7))
    notices = [notice("ann", version=n, at=_AT + n, kind="applied", about=f"u{n}") for n in range(1, 51)]
    (one,) = told(partition.apply(lot(*notices)))
    assert [entry.notice for entry in one.entries] == [Kept(50, "g", 50, _AT + 50, "applied", 50)]
    assert inbox(partition, "ann", since=49) == [one.entries[0].notice]


def test_old_news_changes_nothing_and_is_told_to_nobody(partition: Partition) -> None:
    partition.apply(up("ann", 7), lot(notice("ann", version=5)))
    before = dict(partition.store.rows)
    seen = partition.apply(lot(notice("ann", version=4), notice("ann", version=5)))
    assert (seen.out.records, partition.store.rows) == ({}, before)


def test_a_dead_link_is_told_nothing(partition: Partition) -> None:
    partition.apply(up("ann", 7), up("ann", 8, "m", 1), (catalog.LINK_VOIDS, Void("l", 1)))
    assert [one.link for one in told(partition.apply(lot(notice("ann"))))] == ["m"]


def test_a_lot_for_a_link_is_cut_before_it_grows_too_large(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOT_BYTES", 1_000)
    names = [f"u{n}" for n in range(100)]
    partition.apply(*(up(name, n) for n, name in enumerate(names)))
    seen = partition.apply(lot(notice(*names)))
    assert [entry.user for one in told(seen) for entry in one.entries] == names
    assert len(told(seen)) > 1
    assert all(len(raw) < 1_200 for raw in seen.raw(catalog.DELIVERIES))
