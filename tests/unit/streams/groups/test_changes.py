"""What those who listen are told: what changed since which version, merged, and only to those who may see it."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import pytest
from pyroaring import BitMap

from tables import keys
from tests.cores import Partition, Seen, ask, bind, create, groups, policy
from topics import catalog, limits
from topics.catalog import Topic
from topics.deliveries import AudienceDelta, AudienceSet, Bound, Changed, Unbound
from topics.entities import GroupKind
from topics.links import Void
from topics.relations import (
    AddMembers,
    AddRoleMembers,
    Apply,
    BanMembers,
    CreateCategory,
    CreateChannel,
    CreateCode,
    CreateRole,
    DeleteCategory,
    DeleteChannel,
    DeleteGroup,
    DeleteRole,
    EditList,
    Invite,
    Mute,
    RemoveMembers,
    RemoveRoleMembers,
    SetOverride,
    TransferOwnership,
    UnbanMembers,
    UpdateCategory,
    UpdateChannel,
    UpdateGroup,
    UpdateMember,
    UpdateRole,
)

_PAUSE = limits.NOTICE_WINDOW_MS
#: Members by ordinal. `owner` and ann listen on the link `l`, bob and cid on `m`.
_USERS = ["owner", "ann", "bob", "cid"]

#: What a link is told: what changed, the channels, and who it is for; None: everybody there.
Told = tuple[Sequence[str], list[str], set[int] | None]


def _world(kind: GroupKind = "server", **has: int) -> Partition:
    partition = groups()
    partition.apply(policy("app", **has))
    partition.apply(create(*_USERS, owner="owner", kind=kind, join_mode="apply"))
    if kind == "server":
        partition.apply(
            ask(CreateRole, role="r"),
            ask(AddRoleMembers, role="r", users=["ann", "bob"]),
            ask(CreateCategory, category="k"),
            ask(CreateChannel, channel="open"),
            ask(CreateChannel, channel="closed", view_mode="private", white_roles=["r"]),
            ask(CreateChannel, channel="follows", category="k", sync=True),
        )
    partition.apply(
        bind("owner", 0, 10), bind("ann", 1, 11), bind("bob", 2, 12, link="m"), bind("cid", 3, 13, link="m")
    )
    partition.tick(10_000)
    return partition


@pytest.fixture
def partition() -> Partition:
    return _world()


class Ear:
    """A gateway, as far as hints go: who is in an audience is what it was told."""

    def __init__(self, link: str, bound: set[int]) -> None:
        self.link = link
        self.bound = bound
        self.audiences: dict[int, set[int]] = {}

    def hear(self, seen: Seen) -> list[Told]:
        """The hints of a batch."""
        told: list[Told] = []
        for lot in seen.lots(self.link):
            for entry in lot.entries:
                match entry:
                    case AudienceSet():
                        self.audiences[entry.audience] = _set(entry.members)
                    case AudienceDelta():
                        known = self.audiences[entry.audience]
                        self.audiences[entry.audience] = (known | _set(entry.entered)) - _set(entry.left)
                    case Changed():
                        assert entry.since < entry.version
                        told.append((entry.what, entry.channels, self._who(entry)))
        return told

    def _who(self, entry: Changed) -> set[int] | None:
        if entry.members:
            assert not entry.audience
            assert _set(entry.members) <= self.bound
            return _set(entry.members)
        return self.audiences[entry.audience] if entry.audience else None


def _set(text: str) -> set[int]:
    return set(BitMap.deserialize(b64decode(text))) if text else set()


def _ears() -> tuple[Ear, Ear]:
    return Ear("l", {0, 1}), Ear("m", {2, 3})


def _heard(partition: Partition, *commands: tuple[Topic, Any]) -> list[list[Told]]:
    """What each of the two links is told of these commands."""
    seen = partition.apply(*commands)
    assert not seen.rejected()
    return [ear.hear(seen) for ear in _ears()]


@pytest.mark.parametrize(
    ("what", "command"),
    [
        ("group", ask(UpdateGroup, name="n")),
        ("group", ask(Mute, until=2_000_000)),
        ("members", ask(AddMembers, users=["eve"])),
        ("members", ask(UpdateMember, user="ann", nick="n")),
        ("members", ask(Mute, users=["ann"], until=2_000_000)),
        ("roles", ask(CreateRole, role="s")),
        ("roles", ask(UpdateRole, role="r", name="n")),
        ("channels", ask(CreateCategory, category="l")),
        ("channels", ask(UpdateCategory, category="k", name="n")),
    ],
)
def test_what_concerns_everybody_is_told_to_everybody(what: str, command: tuple[Topic, Any]) -> None:
    assert _heard(_world(), command) == [[([what], [], None)]] * 2


@pytest.mark.parametrize("kind", ["team", "room", "server"])
def test_groups_of_every_kind_and_size_are_told_alike(kind: GroupKind) -> None:
    assert _heard(_world(kind), ask(AddMembers, users=["eve"])) == [[(["members"], [], None)]] * 2


@pytest.mark.parametrize(
    "command",
    [
        ask(Invite, invite="i", user="eve"),
        ask(Apply, application="a", user="eve", by="eve"),
        ask(CreateCode, code="x"),
        ask(BanMembers, users=["eve"]),
        ask(UpdateGroup, name=""),
        ask(DeleteRole, role="none"),
    ],
)
def test_of_requests_codes_bans_and_what_changed_nothing_nobody_is_told(
    partition: Partition, command: tuple[Topic, Any]
) -> None:
    assert _heard(partition, command) == [[], []]
    assert _heard(partition, ask(UnbanMembers, users=["eve"])) == [[], []]


def test_of_an_open_channel_everybody_is_told(partition: Partition) -> None:
    for command in (
        ask(UpdateChannel, channel="open", name="n"),
        ask(SetOverride, channel="open", role="r", deny=["send"]),
        ask(Mute, channel="open", until=2_000_000),
    ):
        partition.tick(10_000)
        assert _heard(partition, command) == [[(["channels"], ["open"], None)]] * 2


def test_of_a_closed_channel_those_are_told_who_see_it_and_nobody_else(partition: Partition) -> None:
    ears = _ears()
    for command in (
        ask(UpdateChannel, channel="closed", name="n"),
        ask(SetOverride, channel="closed", user="ann", deny=["send"]),
        ask(EditList, channel="closed", which="black", add_users=["cid"]),
    ):
        partition.tick(10_000)
        seen = partition.apply(command)
        assert [ear.hear(seen) for ear in ears] == [
            [(["channels"], ["closed"], {0, 1})],
            [(["channels"], ["closed"], {2})],
        ]


def test_a_link_of_nobody_who_sees_the_channel_is_told_nothing(partition: Partition) -> None:
    partition.apply(ask(RemoveRoleMembers, role="r", users=["bob"]))
    partition.tick(10_000)
    assert _heard(partition, ask(UpdateChannel, channel="closed", name="n"))[1] == []


def test_of_a_categorys_lists_those_are_told_who_see_the_channels_that_follow_it(partition: Partition) -> None:
    command = ask(EditList, category="k", which="black", add_users=["ann"])
    assert _heard(partition, command) == [
        [(["channels"], ["follows"], {0}), (["visibility"], [], {1})],
        [(["channels"], ["follows"], {2, 3})],
    ]


def test_whose_visibility_changed_is_told_so_and_nobody_else(partition: Partition) -> None:
    assert _heard(partition, ask(EditList, channel="closed", which="white", add_users=["cid"])) == [
        [(["channels"], ["closed"], {0, 1})],
        [(["channels"], ["closed"], {2, 3}), (["visibility"], [], {3})],
    ]
    assert _heard(_world(), ask(RemoveRoleMembers, role="r", users=["ann"])) == [
        [(["roles"], [], None), (["visibility"], [], {1})],
        [(["roles"], [], None)],
    ]
    assert _heard(_world(), ask(TransferOwnership, to="ann")) == [
        [(["group"], [], None), (["visibility"], [], {0})],
        [(["group"], [], None)],
    ]


def test_those_whose_visibility_changed_are_everybody_on_a_link_where_they_are_too_many_to_name(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOT_BYTES", 10)
    hints = partition.apply(ask(RemoveRoleMembers, role="r", users=["ann"])).entries("l", Changed)
    assert [(hint.what, hint.members) for hint in hints] == [(["roles"], ""), (["visibility"], "")]


def test_a_link_that_is_told_by_a_delta_is_told_once(partition: Partition) -> None:
    partition.apply(ask(UpdateChannel, channel="closed", name="n"))  # introduces the audience
    partition.tick(10_000)
    seen = partition.apply(ask(RemoveRoleMembers, role="r", users=["ann"]))
    assert [change.what for change in seen.entries("l", Changed)] == [["roles"]]
    assert [_set(delta.left) for delta in seen.entries("l", AudienceDelta)] == [{1}]


def test_a_channel_created_and_deleted_is_a_change_of_visibility_for_those_who_see_it(partition: Partition) -> None:
    created = ask(CreateChannel, channel="d", view_mode="private", white_roles=["r"])
    assert _heard(partition, created) == [[(["visibility"], [], None)], [(["visibility"], [], {2})]]
    partition.tick(10_000)
    deleted = ask(DeleteChannel, channel="d")
    assert _heard(partition, deleted) == [[(["visibility"], [], None)], [(["visibility"], [], {2})]]
    partition.tick(10_000)
    assert _heard(partition, ask(DeleteChannel, channel="follows")) == [[(["visibility"], [], None)]] * 2


def test_a_category_that_ends_gives_its_channels_back_to_their_own_rules(partition: Partition) -> None:
    assert _heard(partition, ask(DeleteCategory, category="k")) == [[(["channels"], [], None)]] * 2


def test_a_channel_that_changed_and_ended_is_not_named(partition: Partition) -> None:
    commands = ask(UpdateChannel, channel="open", name="n"), ask(DeleteChannel, channel="open")
    assert _heard(partition, *commands) == [[(["visibility"], [], None)]] * 2


def test_channels_that_are_told_to_different_people_are_told_apart(partition: Partition) -> None:
    commands = ask(UpdateChannel, channel="open", name="n"), ask(UpdateChannel, channel="closed", name="n")
    assert _heard(partition, *commands)[1] == [(["channels"], ["open"], None), (["channels"], ["closed"], {2})]


def test_too_many_channels_to_name_are_told_without_names() -> None:
    partition = _world()
    names = [f"c{n}" for n in range(limits.NOTICE_CHANNELS + 1)]
    partition.apply(*(ask(CreateChannel, channel=name) for name in names))
    partition.tick(10_000)
    seen = partition.apply(*(ask(UpdateChannel, channel=name, name="n") for name in names))
    assert [(change.what, change.channels) for change in seen.entries("l", Changed)] == [(["channels"], [])]


def test_the_first_change_after_a_pause_is_told_at_once_and_what_follows_as_one_when_the_window_is_over(
    partition: Partition,
) -> None:
    [first] = partition.apply(ask(AddMembers, users=["u0"])).entries("l", Changed)
    assert first.version == first.since + 1
    for n in range(1, 10):
        partition.now_ms += 5
        assert (
            partition.apply(ask(AddMembers, users=[f"u{n}"]), ask(CreateRole, role=f"r{n}")).entries("l", Changed) == []
        )
    due = partition.core.due_ms()
    assert due == partition.now_ms - 45 + _PAUSE
    assert partition.tick(_PAUSE - 46).entries("l", Changed) == []
    seen = partition.tick(1)
    for link in ("l", "m"):
        [merged] = seen.entries(link, Changed)
        assert (merged.since, merged.version, merged.what) == (first.version, first.version + 18, ["members", "roles"])
    assert partition.core.due_ms() is None
    partition.now_ms += 1
    assert partition.apply(ask(UpdateGroup, name="n")).entries("l", Changed) == []
    assert [one.what for one in partition.tick(_PAUSE).entries("l", Changed)] == [["group"]]


def test_an_import_is_at_most_one_hint_a_window_and_link_whatever_its_size(partition: Partition) -> None:
    told = 0
    for part in range(40):
        partition.now_ms += 10
        users = [f"u{part}-{n}" for n in range(40)]
        told += len(partition.apply(ask(AddMembers, users=users)).entries("l", Changed))
    assert told == 40 * 10 // _PAUSE
    assert len(partition.tick(_PAUSE).entries("l", Changed)) == 1


def test_changes_of_one_batch_are_one_hint(partition: Partition) -> None:
    commands = (ask(AddMembers, users=["eve"]), ask(RemoveMembers, users=["cid"]), ask(UpdateGroup, name="n"))
    [told] = partition.apply(*commands).entries("l", Changed)
    assert (told.version - told.since, told.what) == (3, ["group", "members"])


def test_the_window_is_the_apps_policy() -> None:
    partition = _world(notice_window_ms=0)
    for n in range(3):
        assert len(partition.apply(ask(AddMembers, users=[f"u{n}"])).entries("l", Changed)) == 1


def test_a_crash_inside_the_window_loses_nothing(partition: Partition) -> None:
    partition.apply(ask(UpdateGroup, name="n"))
    before = partition.apply(
        ask(AddMembers, users=["eve"]), ask(EditList, channel="closed", which="white", add_users=["cid"])
    )
    assert before.entries("m", Changed) == []
    partition.crash()
    assert partition.core.due_ms() == 0
    assert [ear.hear(seen) for seen in [partition.tick()] for ear in _ears()] == [
        [(["members", "visibility"], [], None), (["channels"], ["closed"], {0, 1})],
        [(["members", "visibility"], [], None), (["channels"], ["closed"], {2, 3})],
    ]
    assert not [key for key in partition.store.rows if key.startswith(keys.CHANGED)]


def test_who_began_to_listen_meanwhile_is_told_after_it_is_bound_and_who_left_is_not(partition: Partition) -> None:
    seen = partition.apply(ask(RemoveMembers, users=["ann"]), bind("bob", 2, 22))
    [lot] = seen.lots("l")
    kinds = [type(entry) for entry in lot.entries]
    assert kinds == [Unbound, Bound, Changed]
    partition.apply(ask(EditList, channel="closed", which="white", add_users=["cid"]))
    seen = partition.apply(ask(RemoveMembers, users=["cid"]))
    assert [entry.what for entry in partition.tick(_PAUSE).entries("m", Changed)] == [["members"], ["channels"]]


def test_a_dead_link_and_a_group_that_ended_are_told_nothing(partition: Partition) -> None:
    partition.apply(ask(UpdateGroup, name="n"))
    partition.apply(ask(UpdateGroup, name="m"))
    partition.apply((catalog.LINK_VOIDS, Void("m", 1)))
    seen = partition.tick(_PAUSE)
    assert (len(seen.entries("l", Changed)), seen.lots("m")) == (1, [])
    partition.apply(ask(UpdateGroup, name="o"))
    seen = partition.apply(ask(DeleteGroup))
    assert (len(seen.entries("l", Unbound)), seen.entries("l", Changed)) == (1, [])
    assert partition.tick(_PAUSE).lots("l") == []
    assert not [key for key in partition.store.rows if key.startswith(keys.CHANGED)]


def test_a_group_that_nobody_listens_to_has_nothing_to_wait_for() -> None:
    partition = groups()
    partition.apply(create("ann"))
    for n in range(3):
        partition.apply(ask(AddMembers, users=[f"u{n}"]))
    assert partition.core.due_ms() is None
    assert not [key for key in partition.store.rows if key.startswith(keys.CHANGED)]
