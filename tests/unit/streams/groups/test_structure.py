"""Commands on channels, categories, lists and overrides: what they change, refuse and tell, and who then sees what."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest
from pyroaring import BitMap

from streams.groups.core import GroupsCore
from tables.grants import names_of
from tables.groups import Group
from tables.structure import category_place
from tables.visibility import visible
from tests.cores import Partition, add, ask, bind, create, delete, do, groups, policy, remove, send
from topics import limits
from topics.answers import Refused
from topics.deliveries import AudienceDelta, AudienceSet, Bound
from topics.entities import EVERYONE, Category, Channel, GroupKind, Override, Permission
from topics.events import (
    CategoryCreated,
    CategoryDeleted,
    CategoryUpdated,
    ChannelCreated,
    ChannelDeleted,
    ChannelUpdated,
    ListEdited,
    OverrideSet,
)
from topics.messages import Message
from topics.relations import (
    AddRoleMembers,
    BanMembers,
    Command,
    CreateCategory,
    CreateChannel,
    CreateRole,
    DeleteCategory,
    DeleteChannel,
    DeleteRole,
    EditList,
    RemoveRoleMembers,
    SetOverride,
    TransferOwnership,
    UpdateCategory,
    UpdateChannel,
)
from topics.wire import ToRequester

_AT = 1_000_000  # the moment of everything here
_USERS = ["owner", "ann", "bob", "eve"]


@pytest.fixture
def partition() -> Partition:
    """A server of which `owner` is the owner, and ann, bob and eve are members; with a role `r`, which ann holds."""
    partition = groups()
    partition.apply(
        create(*_USERS, owner="owner", kind="server"),
        ask(CreateRole, role="r"),
        ask(AddRoleMembers, role="r", users=["ann"]),
    )
    return partition


def _group(partition: Partition) -> Group:
    core = partition.core
    assert isinstance(core, GroupsCore)
    return core.desk.groups.look("app", "g")


def _who_sees(partition: Partition, channel: str = "c") -> list[str]:
    """By what the structure says, in the order of ordinals."""
    group = _group(partition)
    rule = group.structure.rule(group.structure.place_of(channel))
    seen = visible(rule, group.members.bits, group.owner)
    return [user for ordinal, user in group.members if ordinal in seen]


def _who_may_send(partition: Partition, channel: str = "c") -> list[str]:
    """By whose sends are accepted: those who see the channel."""
    reply = ToRequester("me")
    at = partition.now_ms
    users = [user for _, user in _group(partition).members]
    seen = {user: partition.apply(send(user, f"m{at}", at, channel=channel, reply=reply)) for user in users}
    partition.tick(limits.QUIET_MS)  # nothing of these is left to be done
    return [user for user in users if not seen[user].told(Refused)]


def _allow(partition: Partition, user: str, *permissions: Permission, priority: int = 5) -> None:
    """A member gets a role of its own that allows this."""
    role = f"of-{user}"
    partition.apply(
        ask(CreateRole, role=role, priority=priority, allow=list(permissions)),
        ask(AddRoleMembers, role=role, users=[user]),
    )


# Channels.


def test_a_channel_is_created_changed_and_deleted(partition: Partition) -> None:
    made = do(partition, CreateChannel, channel="c", kind="voice", name="Talk", weight=3, white_roles=["r"])
    channel = Channel("c", "voice", "Talk", weight=3)
    assert (made.answer, made.events) == (1, [ChannelCreated("app", "g", 4, _AT, channel, [], ["r"])])
    changed = do(partition, UpdateChannel, channel="c", name="New", visitor_mode="visible", by="owner")
    channel = Channel("c", "voice", "New", weight=3, visitor_mode="visible")
    assert (changed.answer, changed.events) == (1, [ChannelUpdated("app", "g", 5, _AT, channel, by="owner")])
    assert do(partition, UpdateChannel, channel="c", name="New").answer == 0
    gone = do(partition, DeleteChannel, channel="c")
    assert (gone.answer, gone.events) == (1, [ChannelDeleted("app", "g", 6, _AT, "c")])
    assert do(partition, UpdateChannel, channel="c", name="New").answer == "unknown_channel"


def test_a_re_created_channel_goes_on_with_its_numbers_and_has_nothing_else_of_the_old_one(
    partition: Partition,
) -> None:
    partition.apply(ask(CreateChannel, channel="c", view_mode="private"), bind("owner", 0, 1))
    partition.apply(ask(EditList, which="white", channel="c", add_users=["bob"]))
    partition.apply(send("owner", "m1", _AT, channel="c"))
    partition.apply(ask(DeleteChannel, channel="c"))
    partition.crash()
    partition.apply(ask(CreateChannel, channel="c", view_mode="private"))
    assert _who_sees(partition) == ["owner"]
    [message] = partition.apply(send("owner", "m2", _AT + 1, channel="c")).entries("l", Message)
    assert (message.seq, message.prev) == (2, 1)


@pytest.mark.parametrize("kind", ["team", "room", "direct"])
@pytest.mark.parametrize(
    ("command", "more"),
    [
        (CreateChannel, {"channel": "c"}),
        (UpdateChannel, {"channel": "c"}),
        (DeleteChannel, {"channel": "main"}),
        (CreateCategory, {"category": "c"}),
        (UpdateCategory, {"category": "c"}),
        (DeleteCategory, {"category": "c"}),
        (EditList, {"which": "black", "channel": "main"}),
        (EditList, {"which": "black"}),
        (SetOverride, {"channel": "main", "user": "ann"}),
    ],
)
def test_only_a_server_has_channels_categories_and_lists(
    kind: GroupKind, command: type[Command], more: dict[str, Any]
) -> None:
    partition = groups()
    partition.apply(create("ann", "bob", kind=kind))
    assert do(partition, command, **more).answer == "wrong_kind"


@pytest.mark.parametrize(
    ("command", "more", "code"),
    [
        (CreateChannel, {"channel": "c"}, "exists_already"),
        (CreateChannel, {"channel": "d", "category": "none"}, "unknown_category"),
        (CreateChannel, {"channel": "d", "white_roles": ["r", "none"]}, "unknown_role"),
        (CreateChannel, {"channel": "d", "black_roles": [EVERYONE]}, "unknown_role"),
        (UpdateChannel, {"channel": "none"}, "unknown_channel"),
        (UpdateChannel, {"channel": "c", "category": "none"}, "unknown_category"),
        (DeleteChannel, {"channel": "none"}, "unknown_channel"),
        (CreateCategory, {"category": "cat"}, "exists_already"),
        (CreateCategory, {"category": "d", "black_roles": ["none"]}, "unknown_role"),
        (UpdateCategory, {"category": "none"}, "unknown_category"),
        (DeleteCategory, {"category": "none"}, "unknown_category"),
        (EditList, {"which": "white", "channel": "none"}, "unknown_channel"),
        (EditList, {"which": "white", "category": "none"}, "unknown_category"),
        (EditList, {"which": "white"}, "bad_command"),
        (EditList, {"which": "white", "channel": "c", "category": "cat"}, "bad_command"),
        (SetOverride, {"channel": "none", "role": "r"}, "unknown_channel"),
        (SetOverride, {"channel": "c", "role": "none"}, "unknown_role"),
        (SetOverride, {"channel": "c", "user": "nobody"}, "unknown_member"),
        (SetOverride, {"channel": "c"}, "bad_command"),
        (SetOverride, {"channel": "c", "role": "r", "user": "ann"}, "bad_command"),
        (SetOverride, {"role": "r"}, "bad_command"),
    ],
)
def test_what_is_not_there_or_there_already_is_refused(
    partition: Partition, command: type[Command], more: dict[str, Any], code: str
) -> None:
    partition.apply(ask(CreateChannel, channel="c"), ask(CreateCategory, category="cat"))
    assert do(partition, command, **more).answer == code


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (CreateChannel, {"channel": "new"}),
        (UpdateChannel, {"channel": "c", "name": "n"}),
        (CreateCategory, {"category": "new"}),
        (UpdateCategory, {"category": "cat", "name": "n"}),
        (EditList, {"which": "white", "channel": "c", "add_users": ["eve"]}),
        (EditList, {"which": "black", "category": "cat", "add_roles": ["r"]}),
        (SetOverride, {"channel": "c", "user": "eve", "deny": ["send"]}),
        (SetOverride, {"category": "cat", "role": "r", "deny": ["send"]}),
        (DeleteChannel, {"channel": "c"}),
        (DeleteCategory, {"category": "cat"}),
    ],
)
def test_it_takes_the_permission_manage_channels(
    partition: Partition, command: type[Command], more: dict[str, Any]
) -> None:
    _allow(partition, "bob", "manage_channels")
    _allow(partition, "ann", "manage_roles", "ban", "kick")
    partition.apply(ask(CreateChannel, channel="c"), ask(CreateCategory, category="cat"))
    assert do(partition, command, **more, by="ann").answer == "not_permitted"
    assert do(partition, command, **more, by="stranger").answer == "not_permitted"
    assert do(partition, command, **more, by="bob").answer == 1


def test_who_manages_one_channel_by_an_override_manages_no_other(partition: Partition) -> None:
    for name in ("c", "d"):
        partition.apply(ask(CreateCategory, category=f"cat-{name}"), ask(CreateChannel, channel=name))
    partition.apply(ask(SetOverride, channel="c", user="bob", allow=["manage_channels"]))
    assert do(partition, UpdateChannel, channel="c", name="n", by="bob").answer == 1
    assert do(partition, UpdateChannel, channel="d", name="n", by="bob").answer == "not_permitted"
    assert do(partition, UpdateChannel, channel="c", category="cat-c", by="bob").answer == "not_permitted"
    partition.apply(ask(SetOverride, category="cat-c", user="bob", allow=["manage_channels"]))
    assert do(partition, UpdateChannel, channel="c", category="cat-c", by="bob").answer == 1
    assert do(partition, CreateChannel, channel="e", by="bob").answer == "not_permitted"


def test_channels_and_categories_up_to_what_the_policy_allows() -> None:
    partition = groups()
    partition.apply(policy("app", channels=2, categories=1))
    partition.apply(create("ann", kind="server"), ask(CreateChannel, channel="a"))
    assert do(partition, CreateChannel, channel="b").answer == 1
    full = do(partition, CreateChannel, channel="c")
    assert full.answer == "limit_reached"
    assert full.seen.told(Refused)[0].limit == 2
    partition.apply(ask(DeleteChannel, channel="a"))
    assert do(partition, CreateChannel, channel="c").answer == 1
    partition.apply(ask(CreateCategory, category="x"))
    assert do(partition, CreateCategory, category="y").seen.told(Refused)[0].limit == 1


# Categories.


def test_a_category_is_created_changed_and_deleted(partition: Partition) -> None:
    made = do(partition, CreateCategory, category="cat", name="All", black_roles=["r"])
    assert made.events == [CategoryCreated("app", "g", 4, _AT, Category("cat", "All"), ["r"], [])]
    changed = do(partition, UpdateCategory, category="cat", view_mode="private")
    assert changed.events == [CategoryUpdated("app", "g", 5, _AT, Category("cat", "All", "private"))]
    assert do(partition, UpdateCategory, category="cat", view_mode="private").answer == 0
    gone = do(partition, DeleteCategory, category="cat")
    assert gone.events == [CategoryDeleted("app", "g", 6, _AT, "cat")]


def test_a_channel_and_a_category_of_the_same_id_are_two(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c"), ask(CreateCategory, category="c", view_mode="private"))
    assert _who_sees(partition) == _USERS
    partition.apply(ask(EditList, which="white", category="c", add_users=["ann"]))
    partition.apply(ask(UpdateChannel, channel="c", category="c", sync=True))
    assert _who_sees(partition) == ["owner", "ann"]


def test_a_channel_without_a_category_follows_none(partition: Partition) -> None:
    made = do(partition, CreateChannel, channel="c", sync=True)
    assert made.events[0].channel == Channel("c")
    assert do(partition, UpdateChannel, channel="c", sync=True).answer == 0


def test_deleting_a_category_leaves_each_follower_with_its_own_lists(partition: Partition) -> None:
    partition.apply(
        ask(CreateCategory, category="cat", view_mode="private"),
        ask(EditList, which="white", category="cat", add_users=["eve"]),
        ask(CreateChannel, channel="a", category="cat", sync=True, view_mode="private", white_roles=["r"]),
        ask(CreateChannel, channel="b", category="cat", sync=True),
        ask(CreateChannel, channel="c", category="cat", view_mode="private"),
        ask(EditList, which="black", channel="b", add_users=["bob"]),
        ask(SetOverride, category="cat", user="eve", deny=["send"]),
    )
    seen = {name: _who_sees(partition, name) for name in "abc"}
    assert seen == {"a": ["owner", "eve"], "b": ["owner", "eve"], "c": ["owner"]}
    assert _who_may_send(partition, "a") == ["owner"]
    do(partition, DeleteCategory, category="cat")
    seen = {name: _who_sees(partition, name) for name in "abc"}
    assert seen == {"a": ["owner", "ann"], "b": ["owner", "ann", "eve"], "c": ["owner"]}
    assert {name: _who_may_send(partition, name) for name in "abc"} == seen
    assert [info.category for info in _group(partition).structure.channels.values()] == [None] * 3


def test_what_changes_in_a_category_changes_in_every_channel_that_follows_it_and_in_no_other(
    partition: Partition,
) -> None:
    partition.apply(
        ask(CreateCategory, category="cat"),
        ask(CreateChannel, channel="a", category="cat", sync=True),
        ask(CreateChannel, channel="b", category="cat", sync=True),
        ask(CreateChannel, channel="c", category="cat"),
    )
    changes: list[tuple[type[Command], dict[str, Any], list[str]]] = [
        (EditList, {"which": "black", "add_roles": ["r"]}, ["owner", "bob", "eve"]),
        (EditList, {"which": "black", "add_users": ["eve"]}, ["owner", "bob"]),
        (EditList, {"which": "black", "remove_roles": ["r"]}, ["owner", "ann", "bob"]),
        (EditList, {"which": "black", "remove_users": ["eve"]}, _USERS),
        (UpdateCategory, {"view_mode": "private"}, ["owner"]),
        (EditList, {"which": "white", "add_roles": ["r"], "add_users": ["bob"]}, ["owner", "ann", "bob"]),
    ]
    for command, more, expected in changes:
        do(partition, command, category="cat", **more)
        assert {name: _who_sees(partition, name) for name in "abc"} == {"a": expected, "b": expected, "c": _USERS}
    assert {name: _who_may_send(partition, name) for name in "abc"} == {"a": expected, "b": expected, "c": _USERS}


def test_a_channel_that_follows_another_category_or_none_is_seen_by_those_who_see_that(partition: Partition) -> None:
    partition.apply(
        ask(CreateCategory, category="x", view_mode="private", white_roles=["r"]),
        ask(CreateCategory, category="y", view_mode="private"),
        ask(EditList, which="white", category="y", add_users=["eve"]),
        ask(CreateChannel, channel="c", view_mode="private"),
        ask(EditList, which="white", channel="c", add_users=["bob"]),
    )
    moves: list[tuple[dict[str, Any], list[str]]] = [
        ({"category": "x"}, ["bob"]),
        ({"sync": True}, ["ann"]),
        ({"category": "y"}, ["eve"]),
        ({"sync": False}, ["bob"]),
        ({"category": "x", "sync": True}, ["ann"]),
        ({"category": None}, ["bob"]),
    ]
    for move, expected in moves:
        assert do(partition, UpdateChannel, channel="c", **move).answer == 1
        assert _who_sees(partition) == _who_may_send(partition) == ["owner", *expected]


# Who sees a channel.


def test_a_public_channel_is_seen_by_all_members_but_those_on_the_black_list(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c"))
    assert _who_may_send(partition) == _USERS
    do(partition, EditList, which="black", channel="c", add_roles=["r"], add_users=["eve", "nobody", "owner"])
    assert _who_sees(partition) == _who_may_send(partition) == ["owner", "bob"]


def test_a_private_channel_is_seen_by_those_on_the_white_list(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c", view_mode="private"))
    assert _who_sees(partition) == ["owner"]
    do(partition, EditList, which="white", channel="c", add_roles=["r", "none", EVERYONE], add_users=["eve"])
    assert _who_sees(partition) == _who_may_send(partition) == ["owner", "ann", "eve"]


def test_the_list_that_is_not_of_the_mode_lies_dormant_until_the_mode_changes(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c"))
    do(partition, EditList, which="white", channel="c", add_users=["bob"])
    assert _who_sees(partition) == _USERS
    do(partition, UpdateChannel, channel="c", view_mode="private")
    assert _who_sees(partition) == _who_may_send(partition) == ["owner", "bob"]
    do(partition, EditList, which="black", channel="c", add_users=["bob"])
    assert _who_sees(partition) == ["owner", "bob"]
    do(partition, UpdateChannel, channel="c", view_mode="public")
    assert _who_sees(partition) == _who_may_send(partition) == ["owner", "ann", "eve"]


def test_the_owner_sees_every_channel_and_a_new_owner_from_then_on(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c", view_mode="private"))
    partition.apply(ask(EditList, which="black", channel="c", add_users=["owner"]))
    assert _who_may_send(partition) == ["owner"]
    do(partition, TransferOwnership, to="bob")
    assert _who_sees(partition) == _who_may_send(partition) == ["bob"]


def test_who_is_banned_never_sees_a_channel_and_comes_back_without_a_place_on_lists(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c", view_mode="private", white_roles=["r"]))
    partition.apply(ask(EditList, which="white", channel="c", add_users=["ann", "bob"]))
    partition.apply(ask(BanMembers, users=["ann"]))
    assert _who_sees(partition) == ["owner", "bob"]
    reply = ToRequester("me")
    refused = partition.apply(send("ann", "m", _AT, channel="c", reply=reply)).told(Refused)
    assert [one.code for one in refused] == ["not_a_member"]


def test_who_left_holds_no_role_and_is_on_no_list_when_added_again(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c", view_mode="private", white_roles=["r"]))
    partition.apply(ask(EditList, which="white", channel="c", add_users=["ann", "bob"]))
    partition.apply(ask(SetOverride, channel="c", user="ann", allow=["kick"]))
    partition.apply(remove("ann", "bob"), add("ann", "bob"))
    assert _who_sees(partition) == _who_may_send(partition) == ["owner"]
    structure = _group(partition).structure
    assert not structure.roles.members("r")
    assert structure.overrides("c") == {}


def test_u_leaves_a_role_and_so_those_channels_where_nothing_else_admits_them(partition: Partition) -> None:
    names = [f"c{at}" for at in range(20)]
    for at, name in enumerate(names):
        partition.apply(ask(CreateChannel, channel=name, view_mode="private", white_roles=["r"]))
        if at % 5 == 0:
            partition.apply(ask(EditList, which="white", channel=name, add_users=["ann"]))
    assert [name for name in names if "ann" in _who_may_send(partition, name)] == names
    gone = do(partition, RemoveRoleMembers, role="r", users=["ann"])
    assert (gone.answer, len(gone.events)) == (1, 1)
    assert [name for name in names if "ann" in _who_may_send(partition, name)] == names[::5]


def test_a_deleted_role_opens_and_closes_nothing_any_more(partition: Partition) -> None:
    partition.apply(
        ask(CreateChannel, channel="open", view_mode="private", white_roles=["r"]),
        ask(CreateChannel, channel="shut", black_roles=["r"]),
    )
    assert _who_may_send(partition, "open") == ["owner", "ann"]
    assert _who_may_send(partition, "shut") == ["owner", "bob", "eve"]
    partition.apply(ask(DeleteRole, role="r"))
    assert _who_sees(partition, "open") == _who_may_send(partition, "open") == ["owner"]
    assert _who_sees(partition, "shut") == _who_may_send(partition, "shut") == _USERS


def test_links_hear_who_entered_and_left_in_the_batch_of_the_change(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c", view_mode="private", white_roles=["r"]))
    partition.apply(*(bind(user, at, 10 + at) for at, user in enumerate(_USERS)))
    first = partition.apply(send("ann", "m1", _AT, channel="c"))
    [told] = first.entries("l", AudienceSet)
    [message] = first.entries("l", Message)
    assert message.audience == told.audience
    seen = partition.apply(
        ask(RemoveRoleMembers, role="r", users=["ann"]),
        ask(EditList, which="white", channel="c", add_users=["eve"]),
        send("eve", "m2", _AT, channel="c"),
    )
    assert seen.entries("l", AudienceDelta)
    assert len(seen.entries("l", Message)) == 1


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize(
    ("command", "more", "entered", "left"),
    [
        (TransferOwnership, {"to": "bob"}, [2], [0]),
        (RemoveRoleMembers, {"role": "r", "users": ["ann"]}, [], [1]),
        (AddRoleMembers, {"role": "r", "users": ["eve"]}, [3], []),
        (EditList, {"which": "white", "channel": "c", "clear": True, "add_users": ["bob"]}, [2], [1]),
        (DeleteRole, {"role": "r"}, [], [1]),
    ],
)
def test_links_hear_of_a_change_also_of_one_right_after_a_take_over(
    partition: Partition, command: type[Command], more: dict[str, Any], entered: list[int], left: list[int], crash: bool
) -> None:
    partition.apply(ask(CreateChannel, channel="c", view_mode="private", white_roles=["r"]))
    partition.apply(*(bind(user, at, 10 + at) for at, user in enumerate(_USERS)))
    assert partition.apply(send("owner", "m1", _AT, channel="c")).entries("l", AudienceSet)
    if crash:
        partition.crash()
    [delta] = partition.apply(ask(command, **more)).entries("l", AudienceDelta)
    told = [list(BitMap.deserialize(b64decode(text))) if text else [] for text in (delta.entered, delta.left)]
    assert told == [entered, left]


def test_a_listener_who_begins_in_the_batch_of_a_change_enters_once(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c", view_mode="private", white_roles=["r"]), bind("ann", 1, 11))
    partition.apply(send("ann", "m1", _AT, channel="c"))
    seen = partition.apply(ask(AddRoleMembers, role="r", users=["bob", "eve"]), bind("bob", 2, 12))
    [bound], [delta] = seen.entries("l", Bound), seen.entries("l", AudienceDelta)
    assert (bound.ordinals, bound.audiences) == ([2], [])
    assert list(BitMap.deserialize(b64decode(delta.entered))) == [2]
    [bound] = partition.apply(bind("eve", 3, 13)).entries("l", Bound)
    assert (bound.ordinals, bound.audiences) == ([3], [[delta.audience]])


# Lists.


def test_a_list_says_what_came_and_went(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c"), ask(CreateRole, role="s"))
    first = do(partition, EditList, which="black", channel="c", add_roles=["r"], add_users=["ann", "ann", "nobody"])
    assert first.answer == 2
    assert first.events == [
        ListEdited("app", "g", 6, _AT, "black", "c", added_roles=["r"], added=["ann"], added_ordinals=[1])
    ]
    second = do(
        partition, EditList, which="black", channel="c", add_roles=["s"], remove_roles=["r"], remove_users=["ann"]
    )
    assert second.answer == 3
    assert second.events == [
        ListEdited("app", "g", 7, _AT, "black", "c", None, False, ["s"], ["r"], [], [], ["ann"], [1])
    ]
    third = do(partition, EditList, which="black", channel="c", clear=True, add_users=["eve"])
    assert third.answer == 2
    assert third.events == [
        ListEdited("app", "g", 8, _AT, "black", "c", cleared=True, added=["eve"], added_ordinals=[3])
    ]
    assert do(partition, EditList, which="black", channel="c", clear=True, add_users=["eve"]).answer == 0
    both = do(partition, EditList, which="black", channel="c", add_users=["bob"], remove_users=["bob"])
    assert both.answer == 0


def test_a_list_names_so_many_roles_and_no_more(partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIST_ROLES", 2)
    partition.apply(ask(CreateChannel, channel="c"), ask(CreateRole, role="s"), ask(CreateRole, role="t"))
    assert do(partition, EditList, which="white", channel="c", add_roles=["r", "s"]).answer == 2
    full = do(partition, EditList, which="white", channel="c", add_roles=["t"])
    assert full.answer == "limit_reached"
    assert full.seen.told(Refused)[0].limit == 2
    assert do(partition, EditList, which="white", channel="c", remove_roles=["r"], add_roles=["t"]).answer == 2


# Overrides.


def test_an_override_lets_one_send_and_another_not(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c"))
    first = do(partition, SetOverride, channel="c", role=EVERYONE, deny=["send"])
    assert first.events == [OverrideSet("app", "g", 5, _AT, Override(EVERYONE, deny=["send"]), "c")]
    second = do(partition, SetOverride, channel="c", user="eve", allow=["send", "send"])
    assert second.events == [OverrideSet("app", "g", 6, _AT, Override(user="eve", allow=["send"]), "c")]
    assert _who_may_send(partition) == ["owner", "eve"]
    assert _who_sees(partition) == _USERS
    assert do(partition, SetOverride, channel="c", role=EVERYONE).answer == 1
    assert _who_may_send(partition) == _USERS


def test_one_overrides_only_those_below_oneself_and_gives_only_what_one_holds(partition: Partition) -> None:
    partition.apply(ask(CreateChannel, channel="c"))
    _allow(partition, "bob", "manage_channels", "send", priority=5)
    _allow(partition, "eve", "kick", priority=5)

    def answer(**more: Any) -> int | str:
        return do(partition, SetOverride, channel="c", by="bob", **more).answer

    assert answer(user="ann", deny=["send"]) == 1
    assert answer(user="ann", allow=["send"]) == 1
    assert answer(user="ann", allow=["kick"]) == "not_permitted"
    assert answer(user="eve", deny=["send"]) == "not_permitted"
    assert answer(user="owner", deny=["send"]) == "not_permitted"
    assert answer(role="r", deny=["kick"]) == 1
    assert answer(role="r") == "not_permitted"  # to lift a denial is to give
    assert answer(role="of-eve", deny=["send"]) == "not_permitted"
    assert answer(role=EVERYONE, deny=["send"]) == 1
    assert names_of(_group(partition).structure.overrides("c")["r"].deny) == ["kick"]


def test_a_place_has_so_many_overrides_and_no_more(partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OVERRIDES", 1)
    partition.apply(ask(CreateCategory, category="cat"))
    assert do(partition, SetOverride, category="cat", user="ann", deny=["send"]).answer == 1
    assert do(partition, SetOverride, category="cat", user="ann", deny=["kick"]).answer == 1
    assert do(partition, SetOverride, category="cat", user="bob", deny=["send"]).answer == "limit_reached"
    assert do(partition, SetOverride, category="cat", user="bob").answer == 0
    assert list(_group(partition).structure.overrides(category_place("cat"))) == [1]


# The end.


def test_a_re_created_server_has_nothing_of_the_one_before_and_its_rows_go_in_steps(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHORE_ROWS", 3)
    for at in range(10):
        partition.apply(ask(CreateChannel, channel=f"c{at}", white_roles=["r"]))
        partition.apply(ask(EditList, which="white", channel=f"c{at}", add_users=["bob"]))
    before = len(partition.store.rows)
    seen = partition.apply(delete(), create("new", kind="server"), ask(CreateChannel, channel="c0"))
    assert not seen.told(Refused)
    steps = 0
    while partition.core.due_ms() == 0:
        rows = len(partition.store.rows)
        partition.crash()
        partition.apply(send("new", f"m{steps}", _AT, channel="c0"))  # messages go on
        assert rows - len(partition.store.rows) <= 3 + 2
        steps += 1
    assert steps > 7
    assert len(partition.store.rows) < before
    assert _who_sees(partition, "c0") == ["new"]
    assert _group(partition).structure.listed_roles("c0", "white") == []
    partition.apply(delete())
    while partition.core.due_ms() == 0:
        partition.tick()
    assert {key[:1] for key in partition.store.rows} <= {b"g", b"c", b"n", b"q", b"r", b"!"}


def test_a_server_that_never_had_a_member_leaves_nothing_to_its_next_life() -> None:
    partition = groups()
    partition.apply(create(kind="server"), ask(CreateRole, role="r"), ask(CreateChannel, channel="c"))
    partition.apply(delete(), create(kind="server"))
    assert do(partition, UpdateChannel, channel="c", name="n").answer == "unknown_channel"
    while partition.core.due_ms() == 0:
        partition.tick()
    assert {key[:1] for key in partition.store.rows} == {b"g", b"!"}
