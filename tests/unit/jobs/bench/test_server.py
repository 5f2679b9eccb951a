from __future__ import annotations

import pytest

from jobs.bench.server import Server, in_parts, lots
from jobs.bench.server_memory import Sizes, _structure
from jobs.bench.world import APP
from topics import limits
from topics.codec import decode
from topics.keys import key_of, partition_of
from topics.relations import AddMembers, AddRoleMembers, CreateChannel, CreateGroup, Large

SERVER = Server(members=25_000, links=10, partitions=4)


def test_a_change_of_many_is_parts_of_one_change_set_that_fit_a_record() -> None:
    users = SERVER.users()
    parts = in_parts(AddMembers, users, "import", app=APP, group=SERVER.name)
    assert [(one.change_set, one.part, one.parts) for one in parts] == [("import", number, 3) for number in (1, 2, 3)]
    assert [user for one in parts if isinstance(one, AddMembers) for user in one.users] == users
    assert all(len(lot) <= limits.LOT_USERS for lot in lots(users))
    for partition, key, value in SERVER.fillings(parts):
        assert key == key_of(APP, SERVER.name)
        assert partition == partition_of(key, 4)
        assert isinstance(decode("relations", value), AddMembers)


def test_an_import_makes_a_server_with_its_owner_and_adds_all_others() -> None:
    first, *others = SERVER.imported()
    assert isinstance(first, CreateGroup)
    assert (first.kind, first.members) == ("server", [first.owner])
    added = [user for one in others if isinstance(one, AddMembers) for user in one.users]
    assert [first.owner, *added] == SERVER.users()


def test_a_role_is_given_to_those_who_are_drawn_the_same_for_the_same_seed() -> None:
    drawn = SERVER.some(5_000, seed=1)
    assert drawn == SERVER.some(5_000, seed=1)
    assert drawn != SERVER.some(5_000, seed=2)
    assert len(set(drawn)) == 5_000
    given = [one for one in SERVER.role("citizens", drawn) if isinstance(one, AddRoleMembers)]
    assert [user for one in given for user in one.users] == SERVER.users(drawn)


@pytest.mark.parametrize("sizes", [Sizes(1_000, 50, 500), Sizes(1_000, 5, 10)])
def test_the_channels_of_the_large_server_are_private_and_as_many_different_rules(sizes: Sizes) -> None:
    commands = list(_structure(Server(1_000, 10, 4), sizes))
    channels = [one for one in commands if isinstance(one, CreateChannel)]
    assert len(channels) == sizes.channels
    assert {(one.view_mode, len(one.white_roles)) for one in channels} == {("private", 2)}
    assert all(one.change_set for one in commands if isinstance(one, Large) and not hasattr(one, "which"))
