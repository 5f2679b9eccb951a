"""The owner of `links`: epochs are offsets, partitions are lent, death is told to everyone at once."""

from __future__ import annotations

import pytest

from tests.cores import Partition, Seen, links
from topics import catalog, limits
from topics.answers import Refused, Registered
from topics.catalog import Topic
from topics.keys import partition_of
from topics.links import Beat, Clock, Leave, LinkRecord, Register, Void

_PARTITIONS = 2


def _register(link: str) -> tuple[Topic, LinkRecord]:
    return catalog.LINKS, Register(link, f"{link}-asks")


_CLOCK: tuple[Topic, LinkRecord] = (catalog.LINKS, Clock())


def _join(owner: Partition, link: str) -> Registered:
    [registered] = owner.apply(_register(link)).told(Registered)
    return registered


def _voids(seen: Seen) -> list[Void]:
    """The deaths told; each to every partition, and to the link's own deliveries."""
    told = seen.records(catalog.LINK_VOIDS)
    voids = told[: len(told) // _PARTITIONS]
    assert told == voids * _PARTITIONS
    assert seen.records(catalog.DELIVERIES) == voids
    return voids


@pytest.fixture
def owner() -> Partition:
    return links(count=3, partitions=_PARTITIONS)


def test_a_registration_is_answered_with_its_offset_as_epoch_where_its_requester_reads(owner: Partition) -> None:
    record = owner.record(*_register("l"))
    seen = owner.commit([record])
    assert seen.told(Registered) == [Registered("l", record.offset, 0, _PARTITIONS)]
    assert (catalog.ANSWERS.name, partition_of(b"l-asks", _PARTITIONS)) in seen.out.records
    [lot] = seen.records(catalog.ANSWERS)
    assert [entry.requester for entry in lot.entries] == ["l-asks"]


def test_a_link_that_registers_anew_voids_its_earlier_registration(owner: Partition) -> None:
    first = _join(owner, "l")
    seen = owner.apply(_register("l"))
    assert _voids(seen) == [Void("l", first.epoch)]
    [second] = seen.told(Registered)
    assert second.epoch > first.epoch


def test_living_links_never_share_a_partition_and_a_full_house_is_refused(owner: Partition) -> None:
    assert [_join(owner, link).partition for link in "abc"] == [0, 1, 2]
    owner.crash()
    assert [answer.code for answer in owner.apply(_register("d")).told(Refused)] == ["no_free_partition"]
    second = _join(owner, "b")
    assert second.partition == 1
    assert _voids(owner.apply((catalog.LINKS, Leave("a", 1)))) == [Void("a", 1)]
    assert _join(owner, "d").partition == 0


def test_a_leave_of_an_older_registration_is_ignored(owner: Partition) -> None:
    old = _join(owner, "l")
    new = _join(owner, "l")
    assert _voids(owner.apply((catalog.LINKS, Leave("l", old.epoch)))) == []
    assert _voids(owner.apply((catalog.LINKS, Leave("l", new.epoch)))) == [Void("l", new.epoch)]
    assert _voids(owner.apply((catalog.LINKS, Leave("l", new.epoch)))) == []


def _pass(owner: Partition, seconds: int, *beats: tuple[Topic, LinkRecord]) -> list[Void]:
    """Time on the topic, a clock record a second."""
    voids: list[Void] = []
    for _ in range(seconds):
        owner.now_ms += 1_000
        voids += _voids(owner.apply(*beats, _CLOCK))
    return voids


def test_a_silent_link_is_void_and_one_that_beats_is_not(owner: Partition) -> None:
    one, two = _join(owner, "one"), _join(owner, "two")
    beat = (catalog.LINKS, Beat("two", two.epoch))
    assert _pass(owner, limits.LINK_TIMEOUT_MS // 1_000, beat) == []
    assert _pass(owner, 1, beat) == [Void("one", one.epoch)]
    assert _pass(owner, 60, beat) == []


def test_a_beat_of_an_older_registration_keeps_nothing_alive(owner: Partition) -> None:
    old = _join(owner, "l")
    new = _join(owner, "l")
    beat = (catalog.LINKS, Beat("l", old.epoch))
    assert _pass(owner, limits.LINK_TIMEOUT_MS // 1_000 + 1, beat) == [Void("l", new.epoch)]


def test_silence_is_judged_only_once_caught_up(owner: Partition) -> None:
    _join(owner, "l")
    two = _join(owner, "two")
    beats = []
    for _ in range(60):  # a backlog: the owner was away, and wrote no clock
        owner.now_ms += 1_000
        beats.append(owner.record(catalog.LINKS, Beat("two", two.epoch)))
    assert _voids(owner.commit(beats)) == []
    assert [void.link for void in _pass(owner, 1)] == ["l"]


def test_an_outage_of_the_broker_kills_no_link(owner: Partition) -> None:
    _join(owner, "l")
    owner.now_ms += 3_600_000
    assert _voids(owner.apply(_CLOCK)) == []


def test_a_take_over_gives_every_link_a_full_time_out(owner: Partition) -> None:
    link = _join(owner, "l")
    _pass(owner, 9)
    owner.crash()
    owner.apply(_CLOCK)
    assert _pass(owner, limits.LINK_TIMEOUT_MS // 1_000) == []
    assert _pass(owner, 1) == [Void("l", link.epoch)]


def test_the_owner_beats_so_that_time_passes(owner: Partition) -> None:
    assert owner.core.due_ms() == 0
    assert owner.tick().records(catalog.LINKS) == [Clock()]
    assert owner.core.due_ms() == owner.now_ms + limits.LINK_BEAT_MS
    assert owner.tick(limits.LINK_BEAT_MS - 1).out.records == {}
    assert owner.tick(1).records(catalog.LINKS) == [Clock()]


def test_a_bad_record_hurts_only_itself(owner: Partition) -> None:
    seen = owner.apply((catalog.LINKS, b"{"), _register("l"), (catalog.LINKS, b"\xff"))
    assert seen.rejected() == ["undecodable"] * 2
    assert [answer.link for answer in seen.told(Registered)] == ["l"]
