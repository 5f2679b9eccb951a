"""A policy is in force from its record on, in both roles that ask for it, and after a crash."""

from __future__ import annotations

import pytest

from streams.groups.core import GroupsCore
from streams.users.core import UsersCore
from tables.policy import Policies
from tests.cores import Partition, groups, policy, users
from topics.policy import Policy


def _policies(partition: Partition) -> Policies:
    assert isinstance(partition.core, GroupsCore | UsersCore)
    return partition.core.desk.policies


@pytest.mark.parametrize("partition", [groups(), users()], ids=["groups", "users"])
def test_the_newest_record_of_an_app_is_its_policy(partition: Partition) -> None:
    assert _policies(partition).of("app") == Policy()
    partition.apply(policy("app", roles=3), policy("app", channels=2, sessions="any"), policy("other", roles=1))
    for _ in range(2):
        assert _policies(partition).of("app") == Policy(channels=2, sessions="any")
        assert _policies(partition).of("other") == Policy(roles=1)
        assert _policies(partition).of("third") == Policy()
        partition.crash()


def test_an_app_that_is_served_as_usual_again_leaves_no_row() -> None:
    partition = groups()
    before = dict(partition.store.rows)
    partition.apply(policy("app", roles=3))
    partition.apply(policy("app"), policy("never"))
    assert partition.store.rows == before
    assert _policies(partition).of("app") == Policy()
