"""The people that logins are measured on, and how what links are told of them is counted."""

from __future__ import annotations

from collections import Counter

from jobs.bench.people import Bindings, People, addresses
from topics.codec import decode, encode
from topics.deliveries import Bound, DeliveryLot, Unbound
from topics.keys import key_of, partition_of
from topics.relations import CreateGroup
from topics.sessions import Up

PEOPLE = People(users=600, groups=100, each=20, partitions=4, links=tuple(addresses(3)))


def _groups() -> dict[str, list[str]]:
    found = {}
    for partition, key, value in PEOPLE.relations():
        group = decode("relations", value)
        assert isinstance(group, CreateGroup)
        right = key_of(group.app, group.group)
        assert (partition, key) == (partition_of(right, 4), right)
        found[group.group] = group.members
    return found


def test_everybody_is_in_as_many_different_groups() -> None:
    of = Counter(user for members in _groups().values() for user in {*members})
    assert of == {f"u{user}": 20 for user in range(600)}


def test_neighbours_are_not_in_the_same_groups() -> None:
    groups = _groups()
    first, second = ({group for group, members in groups.items() if user in members} for user in ("u0", "u1"))
    assert first != second


def test_everybody_comes_once_on_a_link_of_their_own_number() -> None:
    ups = [(partition, key, decode("sessions", value)) for partition, key, value in PEOPLE.ups(range(600))]
    for partition, key, up in ups:
        assert isinstance(up, Up)
        right = key_of(up.app, up.user)
        assert (partition, key) == (partition_of(right, 4), right)
        assert up.link == f"L{int(up.user[1:]) % 3}"
    assert len({(up.link, up.slot) for _, _, up in ups}) == 600


def test_binds_are_counted_for_the_links_that_are_asked_about() -> None:
    bound = Bound("bench", "g", 1, [1, 2], [11, 12])
    lots = [
        encode(DeliveryLot("L0", 1, 0, 1, [bound, bound])),
        encode(DeliveryLot("L0", 2, 0, 1, [bound])),
        encode(DeliveryLot("L0", 1, 0, 2, [Unbound("bench", "g", 2, [1], [11])])),
    ]
    everybody, some = Bindings(), Bindings()
    for at_ms, lot in enumerate(lots):
        everybody.add(lot, at_ms)
        some.add(lot, at_ms, [("L0", 1)])
    assert (everybody.count, everybody.last_ms) == (6, 1)
    assert (some.count, some.last_ms) == (4, 0)
