"""Sends into the channels of a server: who may, whom they reach, and what links are told of it."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest
from msgspec import Raw
from pyroaring import BitMap

from tests.cores import Partition, Seen, ask, bind, create, groups, send
from topics import catalog, limits
from topics.answers import Accepted, Refused
from topics.deliveries import AudienceDelta, AudienceSet, Bound, Head, SignalOut, Unbound
from topics.links import Void
from topics.messages import Message, Signal
from topics.relations import (
    AddRoleMembers,
    CreateChannel,
    CreateRole,
    DeleteChannel,
    EditList,
    Mute,
    RemoveMembers,
    RemoveRoleMembers,
    SetOverride,
    UpdateChannel,
    UpdateRole,
)
from topics.resync import Resync
from topics.wire import ToRequester

_ORDINALS = {"owner": 0, "ann": 1, "bob": 2, "cid": 3}


@pytest.fixture
def server() -> Partition:
    """A server: `open` for all, `staff` for the role of ann and bob; ann on links one and two, bob and cid on two."""
    made = groups()
    made.apply(create(*_ORDINALS, kind="server", owner="owner"))
    made.apply(
        ask(CreateRole, role="staff"),
        ask(AddRoleMembers, role="staff", users=["ann", "bob"]),
        ask(CreateChannel, channel="open"),
        ask(CreateChannel, channel="staff", view_mode="private", white_roles=["staff"]),
    )
    made.apply(
        bind("ann", 1, 10, link="one"),
        bind("ann", 1, 20, link="two"),
        bind("bob", 2, 21, link="two"),
        bind("cid", 3, 22, link="two"),
    )
    return made


def _say(server: Partition, sender: str, channel: str, client_id: str = "c") -> Seen:
    return server.apply(send(sender, client_id, server.now_ms, channel=channel, reply=ToRequester("me")))


def _code(server: Partition, sender: str, channel: str) -> str:
    [refused] = _say(server, sender, channel).told(Refused)
    return refused.code


def _said(server: Partition, sender: str, channel: str, client_id: str) -> Seen:
    seen = _say(server, sender, channel, client_id)
    assert seen.told(Accepted)
    return seen


def _set(text: str) -> set[int]:
    return set(BitMap.deserialize(b64decode(text))) if text else set()


def test_unknown_channel(server: Partition) -> None:
    assert _code(server, "ann", "other") == "unknown_channel"
    assert _code(server, "ann", "main") == "unknown_channel"  # a server has none but those that were created
    server.apply(ask(DeleteChannel, channel="open"))
    assert _code(server, "ann", "open") == "unknown_channel"


def test_not_visible(server: Partition) -> None:
    assert _code(server, "cid", "staff") == "not_visible"
    signal = catalog.MESSAGES, Signal("app", "g", "cid", Raw(b'"x"'), channel="staff")
    assert server.apply(signal).out.records == {}
    server.apply(ask(RemoveRoleMembers, role="staff", users=["ann"]))
    assert _code(server, "ann", "staff") == "not_visible"


def test_not_permitted(server: Partition) -> None:
    server.apply(ask(SetOverride, channel="open", role="everyone", deny=["send"]))
    assert _code(server, "ann", "open") == "not_permitted"
    _said(server, "owner", "open", "a")
    server.apply(ask(SetOverride, channel="open", user="ann", allow=["send"]))
    _said(server, "ann", "open", "b")


@pytest.mark.parametrize("muted", [{"users": ["ann"]}, {"channel": "open"}, {}])
def test_muted(server: Partition, muted: dict[str, Any]) -> None:
    until = server.now_ms + 1_000
    server.apply(ask(Mute, until=until, **muted))
    [refused] = _say(server, "ann", "open").told(Refused)
    assert (refused.code, refused.limit) == ("muted", until)
    _said(server, "owner", "open", "a")
    server.now_ms = until
    _said(server, "ann", "open", "b")


def test_who_may_mute_speaks_where_all_are_muted_but_not_when_muted_itself(server: Partition) -> None:
    server.apply(ask(Mute, until=server.now_ms + 1_000), ask(UpdateRole, role="staff", allow=["mute"]))
    _said(server, "ann", "open", "a")
    server.apply(ask(Mute, until=server.now_ms + 500, users=["ann"]))
    assert _code(server, "ann", "open") == "muted"


def test_a_channel_that_every_member_sees_needs_no_audience(server: Partition) -> None:
    seen = _said(server, "cid", "open", "a")
    for link in ("one", "two"):
        assert not seen.entries(link, AudienceSet)
        assert [(m.channel, m.seq, m.audience) for m in seen.entries(link, Message)] == [("open", 1, 0)]


def test_an_audience_is_told_before_its_first_use_on_a_link_and_only_who_is_bound_there(server: Partition) -> None:
    seen = _said(server, "owner", "staff", "a")
    told = {link: seen.entries(link, AudienceSet) for link in ("one", "two")}
    assert {link: [_set(one.members) for one in sets] for link, sets in told.items()} == {"one": [{1}], "two": [{1, 2}]}
    [message] = seen.entries("two", Message)
    assert (message.audience, message.audience_version) == (told["two"][0].audience, told["two"][0].version)
    again = _said(server, "owner", "staff", "b")
    assert not again.entries("two", AudienceSet)
    assert len(again.entries("two", Message)) == 1


def test_a_link_without_a_listener_who_sees_the_channel_gets_nothing_of_it(server: Partition) -> None:
    server.apply(ask(RemoveRoleMembers, role="staff", users=["ann"]))
    seen = _said(server, "bob", "staff", "a")
    assert not seen.lots("one")
    assert [_set(one.members) for one in seen.entries("two", AudienceSet)] == [{2}]


def test_a_change_is_told_in_its_own_batch_and_as_a_delta(server: Partition) -> None:
    _said(server, "owner", "staff", "a")
    seen = server.apply(
        ask(RemoveRoleMembers, role="staff", users=["bob"]), ask(AddRoleMembers, role="staff", users=["cid"])
    )
    assert not seen.entries("one", AudienceDelta)
    [delta] = seen.entries("two", AudienceDelta)
    assert (_set(delta.entered), _set(delta.left)) == ({3}, {2})


def test_a_change_between_two_messages_of_a_batch_is_told_between_them(server: Partition) -> None:
    at = server.now_ms
    seen = server.apply(
        send("owner", "a", at, channel="staff"),
        ask(RemoveRoleMembers, role="staff", users=["bob"]),
        send("owner", "b", at, channel="staff"),
    )
    kinds = [
        type(entry) for entry in seen.lots("two")[0].entries if type(entry) in {AudienceSet, AudienceDelta, Message}
    ]
    assert kinds == [AudienceSet, Message, AudienceDelta, Message]


def test_what_comes_and_goes_within_a_batch_is_not_told(server: Partition) -> None:
    _said(server, "owner", "staff", "a")
    seen = server.apply(
        ask(AddRoleMembers, role="staff", users=["cid"]), ask(RemoveRoleMembers, role="staff", users=["cid"])
    )
    assert not seen.entries("two", AudienceDelta)


def test_who_begins_to_listen_is_told_with_the_audiences_that_the_link_knows(server: Partition) -> None:
    _said(server, "owner", "staff", "a")
    seen = server.apply(bind("bob", 2, 11, link="one"), bind("cid", 3, 12, link="one"))
    [bound] = seen.entries("one", Bound)
    [known] = {m.audience for m in _said(server, "owner", "staff", "b").entries("one", Message)}
    assert dict(zip(bound.ordinals, bound.audiences, strict=True)) == {2: [known], 3: []}


def test_a_link_whose_last_listener_went_is_told_of_the_audience_anew(server: Partition) -> None:
    _said(server, "owner", "staff", "a")
    server.apply(ask(RemoveMembers, users=["ann"]))
    seen = server.apply(bind("bob", 2, 11, link="one"))
    assert not seen.entries("one", Bound)[0].audiences
    again = _said(server, "owner", "staff", "b")
    assert [_set(one.members) for one in again.entries("one", AudienceSet)] == [{2}]
    assert not again.entries("two", AudienceSet)


def test_a_link_whose_listeners_were_all_replaced_at_once_is_told_of_the_audience_anew(server: Partition) -> None:
    _said(server, "owner", "staff", "a")
    seen = server.apply(ask(RemoveMembers, users=["ann"]), bind("bob", 2, 11, link="one"))
    assert [type(entry) for entry in seen.lots("one")[0].entries][:2] == [Unbound, Bound]
    assert not seen.entries("one", Bound)[0].audiences
    assert len(_said(server, "owner", "staff", "b").entries("one", AudienceSet)) == 1


def test_a_link_that_begins_anew_or_died_is_told_of_the_audience_anew(server: Partition) -> None:
    _said(server, "owner", "staff", "a")
    seen = server.apply((catalog.RESYNC, Resync("two", 1, 3, 0, 1)))
    assert seen.lots("two")[0].reset
    assert not any(any(bound.audiences) for bound in seen.entries("two", Bound))
    assert len(_said(server, "owner", "staff", "b").entries("two", AudienceSet)) == 1
    server.apply((catalog.LINK_VOIDS, Void("two", 1)))
    server.apply(bind("bob", 2, 1, link="two", epoch=2))
    assert len(_said(server, "owner", "staff", "c").entries("two", AudienceSet)) == 1


def test_a_take_over_knows_what_links_were_told(server: Partition) -> None:
    [first] = _said(server, "owner", "staff", "a").entries("two", AudienceSet)
    server.crash()
    seen = _said(server, "owner", "staff", "b")
    assert not seen.entries("two", AudienceSet)
    assert [m.audience for m in seen.entries("two", Message)] == [first.audience]
    server.crash()
    [delta] = server.apply(ask(RemoveRoleMembers, role="staff", users=["bob"])).entries("two", AudienceDelta)
    assert _set(delta.left) == {2}


def test_channels_under_one_rule_share_an_audience_and_part_when_one_changes(server: Partition) -> None:
    server.apply(ask(CreateChannel, channel="more", view_mode="private", white_roles=["staff"]))
    [staff] = _said(server, "owner", "staff", "a").entries("two", Message)
    seen = _said(server, "owner", "more", "b")
    assert not seen.entries("two", AudienceSet)
    assert [m.audience for m in seen.entries("two", Message)] == [staff.audience]
    server.apply(ask(EditList, channel="more", which="white", add_users=["cid"]))
    [apart] = _said(server, "owner", "more", "c").entries("two", AudienceSet)
    assert apart.audience != staff.audience
    assert _set(apart.members) == {1, 2, 3}
    assert [m.audience for m in _said(server, "owner", "staff", "d").entries("two", Message)] == [staff.audience]


def test_an_audience_that_nothing_is_sent_to_any_more_ends(server: Partition) -> None:
    [first] = _said(server, "owner", "staff", "a").entries("two", AudienceSet)
    seen = server.apply(ask(UpdateChannel, channel="staff", view_mode="public"))
    assert [(one.audience, one.ended) for one in seen.entries("two", AudienceDelta)] == [(first.audience, True)]
    assert [m.audience for m in _said(server, "cid", "staff", "b").entries("one", Message)] == [0]


def test_seqs_are_each_channels_own_and_go_on_when_it_is_created_again(server: Partition) -> None:
    for at, (channel, seq) in enumerate([("open", 1), ("staff", 1), ("open", 2)]):
        [message] = _said(server, "owner", channel, f"a{at}").entries("two", Message)
        assert (message.seq, message.prev) == (seq, seq - 1)
    server.apply(ask(DeleteChannel, channel="open"))
    server.crash()
    server.apply(ask(CreateChannel, channel="open"))
    server.now_ms += 1
    assert [m.seq for m in _said(server, "owner", "open", "b").entries("two", Message)] == [3]


def test_signals_and_heads_are_for_the_audience_too(server: Partition) -> None:
    [message] = _said(server, "bob", "staff", "a").entries("two", Message)
    signal = catalog.MESSAGES, Signal("app", "g", "bob", Raw(b'"x"'), channel="staff")
    assert [one.audience for one in server.apply(signal).entries("one", SignalOut)] == [message.audience]
    seen = server.tick(limits.QUIET_MS)
    for link in ("one", "two"):
        assert [(one.channel, one.seq, one.audience) for one in seen.entries(link, Head)] == [
            ("staff", 1, message.audience)
        ]


def test_a_new_listener_is_told_the_heads_of_channels_that_every_member_sees(server: Partition) -> None:
    _said(server, "owner", "staff", "a")
    _said(server, "owner", "open", "b")
    [bound] = server.apply(bind("bob", 2, 30, link="three")).entries("three", Bound)
    assert bound.heads == [("open", 1)]
