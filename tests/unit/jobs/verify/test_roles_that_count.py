"""The verifier counts as many of a member's roles as the pipeline does: the highest."""

from __future__ import annotations

import pytest

from jobs.verify.judge import judge
from tests.small_world import APP, SmallWorld, requester
from topics import limits
from topics.relations import AddRoleMembers, CreateGroup, CreateRole, UpdateRole


@pytest.mark.parametrize("counting", [1, 2])
def test_a_lower_role_than_the_highest_that_count_gives_nothing(counting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROLES_OF_MEMBER", counting)
    made = SmallWorld()
    made.command(CreateGroup(APP, "g", members=["ann", "bob"], kind="server"))
    made.command(CreateRole(APP, "g", "low", priority=1, allow=["manage_roles"]))
    made.command(CreateRole(APP, "g", "high", priority=5))
    for role in ("low", "high"):
        made.command(AddRoleMembers(APP, "g", role, ["ann"]))
    made.command(UpdateRole(APP, "g", "low", name="n", by="ann", reply=requester("x")))
    made.settle()
    world = made.world()
    assert judge(world, settled=True).good
    refused = [row for log in world.topics.values() for row in log if b"not_permitted" in (row.value or b"")]
    assert bool(refused) == (counting == 1)
