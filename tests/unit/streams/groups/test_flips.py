"""The member lists of channels: kept by who entered and who left, while few enough see the channel."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pyroaring import BitMap

from tests.cores import Seen, create, groups, policy
from topics import catalog, relations
from topics.events import Flips

LIMIT = 4
APP = "app"


class Lists:
    """What whoever applies the flips in order holds."""

    def __init__(self) -> None:
        self.partition = groups()
        self.partition.apply(policy(APP, channel_list_members=LIMIT))
        self.held: dict[str, dict[int, str]] = {}
        self.versions: dict[str, int] = {}

    def apply(self, *commands: Any) -> list[Flips]:
        return self.read(self.partition.apply(*((catalog.RELATIONS, command) for command in commands)))

    def read(self, seen: Seen) -> list[Flips]:
        found = [flips for lot in seen.records(catalog.CHANNEL_MEMBERS) for flips in lot.entries]
        for flips in found:
            assert flips.version >= self.versions.get(flips.channel, 0)
            self.versions[flips.channel] = flips.version
            entered = dict(zip(flips.entered_ordinals, flips.entered, strict=True))
            if flips.ended:
                self.held.pop(flips.channel, None)
            elif flips.whole:
                self.held[flips.channel] = entered
            else:
                for ordinal in flips.left_ordinals:
                    self.held[flips.channel].pop(ordinal, None)
                self.held[flips.channel] |= entered
        return found

    @property
    def group(self) -> Any:
        return self.partition.core.desk.groups.look(APP, "g")  # type: ignore[attr-defined]

    def check(self) -> None:
        """Each list is who sees the channel; there is one while few enough do."""
        group = self.group
        users = dict(group.members.users_from(0, 10_000))
        for channel in group.structure.channels:
            audience = group.audiences.of(channel)
            seen: BitMap = group.members.bits if audience is None else audience.among(group.members.bits)
            expected = {ordinal: users[ordinal] for ordinal in seen}
            if len(expected) > LIMIT:
                assert channel not in self.held
            else:
                assert self.held.get(channel, {}) == expected
        assert set(self.held) <= set(group.structure.channels)


@pytest.fixture
def lists() -> Lists:
    made = Lists()
    made.partition.apply(create("ann", "bob", "cid", kind="server", owner="ann"))
    made.apply(relations.CreateRole(APP, "g", "mods"))
    return made


def test_a_new_channel_of_few_has_a_list_at_once(lists: Lists) -> None:
    (flips,) = lists.apply(relations.CreateChannel(APP, "g", "c"))
    assert (flips.entered, flips.entered_ordinals, flips.whole) == (["ann", "bob", "cid"], [0, 1, 2], True)
    lists.check()


def test_who_gets_or_loses_a_role_enters_or_leaves_the_channels_that_name_it(lists: Lists) -> None:
    lists.apply(relations.CreateChannel(APP, "g", "c", view_mode="private", white_roles=["mods"]))
    (flips,) = lists.apply(relations.AddRoleMembers(APP, "g", "mods", ["bob"]))
    assert (flips.entered, flips.left, flips.whole) == (["bob"], [], False)
    (flips,) = lists.apply(relations.RemoveRoleMembers(APP, "g", "mods", ["bob"]))
    assert (flips.entered, flips.left) == ([], ["bob"])
    lists.check()


def test_above_the_limit_the_list_ends_once_and_below_it_is_given_anew(lists: Lists) -> None:
    lists.apply(relations.CreateChannel(APP, "g", "c"))
    assert not lists.apply(relations.AddMembers(APP, "g", ["dan"]))[0].whole
    (flips,) = lists.apply(relations.AddMembers(APP, "g", ["eve"]))
    assert flips.ended
    assert lists.apply(relations.AddMembers(APP, "g", ["fay"])) == []
    assert lists.apply(relations.RemoveMembers(APP, "g", ["fay"])) == []
    (flips,) = lists.apply(relations.RemoveMembers(APP, "g", ["bob"]))
    assert (flips.whole, flips.entered) == (True, ["ann", "cid", "dan", "eve"])
    lists.check()


def test_a_deleted_channels_list_ends(lists: Lists) -> None:
    lists.apply(relations.CreateChannel(APP, "g", "c"))
    assert [flips.ended for flips in lists.apply(relations.DeleteChannel(APP, "g", "c"))] == [True]
    assert lists.held == {}


def test_groups_with_an_implicit_channel_need_no_list(lists: Lists) -> None:
    seen = lists.partition.apply(create("ann", "bob", group="team"))
    seen.records(catalog.RELATION_EVENTS)
    assert lists.read(seen) == []
    assert lists.apply(relations.CreateRole(APP, "team", "r"), relations.AddMembers(APP, "team", ["x"])) == []


@pytest.mark.parametrize("seed", range(12))
def test_lists_are_who_sees_the_channels_after_any_commands(lists: Lists, seed: int) -> None:
    dice = random.Random(seed)
    users = ["bob", "cid", *(f"u{n}" for n in range(6))]
    channels, categories, roles = ["c1", "c2", "c3"], ["k1"], ["mods", "staff"]
    for step in range(120):
        some = dice.sample(users, dice.randint(1, 4))
        channel, role = dice.choice(channels), dice.choice(roles)
        mode: Any = dice.choice(["public", "private"])
        which: Any = dice.choice(["black", "white"])
        command: Any = dice.choice(
            [
                relations.AddMembers(APP, "g", some),
                relations.RemoveMembers(APP, "g", some),
                relations.BanMembers(APP, "g", some[:1], until=lists.partition.now_ms + 5),
                relations.CreateRole(APP, "g", role, priority=1 + step),
                relations.DeleteRole(APP, "g", role),
                relations.AddRoleMembers(APP, "g", role, some),
                relations.RemoveRoleMembers(APP, "g", role, some),
                relations.CreateChannel(APP, "g", channel, view_mode=mode, white_roles=[role]),
                relations.UpdateChannel(APP, "g", channel, view_mode=mode, sync=dice.random() < 0.5),
                relations.UpdateChannel(APP, "g", channel, category=dice.choice([None, "k1"]), sync=True),
                relations.DeleteChannel(APP, "g", channel)
                if dice.random() < 0.3
                else relations.AddMembers(APP, "g", some),
                relations.CreateCategory(APP, "g", categories[0], view_mode=mode, white_roles=[role]),
                relations.UpdateCategory(APP, "g", categories[0], view_mode=mode),
                relations.DeleteCategory(APP, "g", categories[0]),
                relations.EditList(APP, "g", which, channel=channel, add_users=some, remove_roles=[role]),
                relations.EditList(APP, "g", which, channel=channel, remove_users=some, add_roles=[role]),
                relations.EditList(APP, "g", which, category="k1", add_users=some, clear=dice.random() < 0.3),
                relations.TransferOwnership(APP, "g", dice.choice(users)),
            ]
        )
        lists.partition.now_ms += 1
        lists.apply(command)
        if dice.random() < 0.1:
            lists.partition.crash()
        lists.check()
