"""Sessions hear what they subscribed to, or what joining gives; others, and those in the background, get notices."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from tests.cores import Partition, Seen, ask, bind, create, groups, policy, send
from tests.model.hearing import Ear, Heard
from topics import catalog, limits
from topics.bindings import BindingLot, Grounded, Listen, Unlisten
from topics.catalog import Topic
from topics.deliveries import Changed, Drive, Mention, Subscribed, Unread
from topics.entities import GroupKind
from topics.links import Void
from topics.memberships import Unheard
from topics.messages import Signal
from topics.relations import (
    AddMembers,
    CreateChannel,
    DeleteChannel,
    DeleteGroup,
    EditList,
    RemoveMembers,
    UpdateChannel,
    UpdateGroup,
)
from topics.resync import Resync
from topics.subscriptions import Level, Wanted
from topics.wire import LinkAddress

#: Members by ordinal; each has a session under ten times it and one, owner and ann on `l`, bob and cid on `m`.
_USERS = ["owner", "ann", "bob", "cid"]
_OWNER, _ANN, _UNBOUND, _BOB, _CID, _VISITOR = 1, 11, 12, 21, 31, 41
_LINK = {_UNBOUND: "l", _OWNER: "l", _ANN: "l", _BOB: "m", _CID: "m", _VISITOR: "m"}


class World:
    """One group on a partition, and what its sessions hear."""

    def __init__(self, kind: GroupKind = "server", **has: Any) -> None:
        self.partition: Partition = groups()
        self.ears = {link: Ear(LinkAddress(link, 1, 3)) for link in "lm"}
        self.sent = 0
        self.do(policy("app", **has), create(*_USERS, owner="owner", kind=kind))
        if kind == "server":
            self.do(ask(CreateChannel, channel="c"), ask(CreateChannel, channel="d"))
        self.do(*[bind(user, at, 10 * at + 1, link=_LINK[10 * at + 1]) for at, user in enumerate(_USERS)])
        self.pause()

    def do(self, *records: tuple[Topic, Any]) -> list[Heard]:
        """One batch; what sessions hear of it."""
        self.partition.now_ms += 5
        return self.hear(self.partition.apply(*records))

    def pause(self, later_ms: int = 10_000) -> list[Heard]:
        """Time passes."""
        return self.hear(self.partition.tick(later_ms))

    def hear(self, seen: Seen) -> list[Heard]:
        """What sessions hear of a batch."""
        self.seen = seen
        assert not seen.rejected()
        return [heard for link, ear in self.ears.items() for lot in seen.lots(link) for heard in ear.read(lot)]

    def say(self, channel: str = "c", sender: str = "owner", count: int = 1, **more: Any) -> list[Heard]:
        """Messages in one batch."""
        self.sent += count
        now = self.partition.now_ms
        return self.do(*[send(sender, f"i{self.sent}-{n}", now, channel=channel, **more) for n in range(count)])

    def subscribe(self, slot: int, *wanted: Wanted, user: str | None = None, **more: Any) -> list[Heard]:
        """A session asks."""
        who = user or _USERS[slot // 10]
        listen = Listen("app", "g", who, _LINK[slot], 1, 3, slot, list(wanted), "r", **more)
        return self.do((catalog.BINDINGS, BindingLot([listen])))

    def unsubscribe(self, slot: int, *wanted: Wanted) -> list[Heard]:
        """A session asks no more."""
        return self.do(
            (catalog.BINDINGS, BindingLot([Unlisten("app", "g", _LINK[slot], 1, 3, slot, list(wanted), "r")]))
        )

    def ground(self, slot: int, *, background: bool) -> list[Heard]:
        """A session turns away, or comes back."""
        return self.do((catalog.BINDINGS, BindingLot([Grounded(_LINK[slot], 1, 3, slot, background)])))

    def crash(self) -> None:
        """All memory is gone."""
        self.partition.crash()


def _explicit(**has: Any) -> World:
    """A server that is subscribed to explicitly."""
    return World(subscribe_members=2, **has)


def _who(heard: list[Heard], what: str) -> set[int]:
    return {one.slot for one in heard if one.what == what}


def _on(level: Level, channel: str | None = "c") -> Wanted:
    return Wanted(level, channel)


@pytest.mark.parametrize("kind", ["server", "team", "room"])
def test_a_small_server_a_team_and_a_room_are_heard_by_joining(kind: GroupKind) -> None:
    world = World(kind)
    channel = "c" if kind == "server" else "main"
    assert _who(world.say(channel), "message") == {_OWNER, _ANN, _BOB, _CID}
    assert not world.pause(limits.UNREAD_WINDOW_MS)


def test_above_the_policys_size_a_session_hears_the_channels_that_it_subscribed_to_alone() -> None:
    world = _explicit()
    assert not world.say()
    world.subscribe(_ANN, _on("messages"))
    assert _who(world.say(), "message") == {_ANN}
    assert not world.say("d")
    world.unsubscribe(_ANN, _on("messages"))
    assert not world.say()


def test_a_message_costs_only_links_with_a_session_that_is_to_hear_it() -> None:
    world = _explicit()
    world.subscribe(_ANN, _on("messages"))
    world.say()
    assert world.seen.lots("l")
    assert not world.seen.lots("m")


@pytest.mark.parametrize(("level", "window_ms"), [("unread_count", "UNREAD"), ("unread_status", "STATUS")])
def test_who_counts_unread_messages_gets_merged_notices(level: Level, window_ms: str) -> None:
    world = _explicit()
    world.subscribe(_ANN, _on(level))
    first = world.say()
    assert [(one.what, one.slot, one.seq) for one in first] == [(level, _ANN, 1)]
    assert not world.say(count=20)
    assert not world.say(count=20)
    (later,) = world.pause(getattr(limits, f"{window_ms}_WINDOW_MS"))
    assert (later.what, later.slot, later.seq) == (level, _ANN, 41)
    assert later.entry.count == (40 if level == "unread_count" else 1)


def test_the_highest_level_of_a_channel_counts() -> None:
    world = _explicit()
    world.subscribe(_ANN, _on("unread_count"))
    world.subscribe(_ANN, _on("messages"))
    heard = [*world.say(), *world.pause(limits.STATUS_WINDOW_MS)]
    assert _who(heard, "message") == {_ANN}
    assert not _who(heard, "unread_count")
    (answer,) = [one.entry for one in world.subscribe(_ANN, _on("unread_status")) if one.what == "subscribed"]
    assert answer.wanted == [_on("unread_status")]


def test_typing_is_heard_by_who_asked_for_it_alone() -> None:
    world = World("team")
    typing = catalog.MESSAGES, Signal("app", "g", "ann", Raw(b"1"), kind="typing")
    assert not world.do(typing)
    world.subscribe(_BOB, _on("typing", "main"))
    assert _who(world.do(typing), "signalout") == {_BOB}
    other = catalog.MESSAGES, Signal("app", "g", "ann", Raw(b"1"), kind="wave")
    assert _who(world.do(other), "signalout") == {_OWNER, _ANN, _BOB, _CID}


def test_a_group_that_grows_past_the_size_tells_its_links_and_one_that_shrinks_only_well_below_it() -> None:
    world = World(subscribe_members=10)
    world.do(ask(AddMembers, users=[f"x{n}" for n in range(7)]))
    assert [one.joined for one in world.seen.entries("l", Drive)] == ["none"]
    assert not world.say()
    world.do(ask(RemoveMembers, users=["x0"]))
    assert not world.seen.entries("l", Drive)
    world.crash()
    world.do(ask(RemoveMembers, users=["x1"]))
    assert [one.joined for one in world.seen.entries("l", Drive)] == ["messages"]
    assert _who(world.say(), "message") == {_OWNER, _ANN, _BOB, _CID}


def test_drive_mode_message_gives_everybody_each_message_whatever_the_size() -> None:
    world = _explicit(drive_server="message")
    assert _who(world.say(), "message") == {_OWNER, _ANN, _BOB, _CID}


def test_drive_mode_session_gives_messages_to_who_shows_the_channel_and_notices_to_the_others() -> None:
    world = World("team", drive_team="session")
    world.subscribe(_ANN, _on("messages", "main"))
    heard = [*world.say("main"), *world.pause(limits.UNREAD_WINDOW_MS)]
    assert _who(heard, "message") == {_ANN}
    assert _who(heard, "unread_count") == {_OWNER, _BOB, _CID}


def test_a_policy_is_in_force_with_the_next_thing_that_happens_to_a_group() -> None:
    world = World("team")
    world.do(policy("app", drive_team="session"))
    assert _who(world.say("main"), "message") == set()
    assert world.seen.entries("l", Drive)[0].joined == "unread_count"


def test_a_session_in_the_background_gets_merged_notices_in_place_of_messages() -> None:
    world = World("team")
    world.ground(_BOB, background=True)
    first = world.say("main")
    assert _who(first, "message") == {_OWNER, _ANN, _CID}
    assert _who(first, "unread_count") == {_BOB}
    world.say("main", count=5)
    (later,) = world.pause(limits.UNREAD_WINDOW_MS)
    assert (later.slot, later.seq, later.entry.count) == (_BOB, 6, 5)
    world.crash()
    world.ground(_BOB, background=False)
    assert _who(world.say("main"), "message") == {_OWNER, _ANN, _BOB, _CID}


def test_a_link_whose_sessions_are_all_in_the_background_gets_no_message() -> None:
    world = World("team")
    world.ground(_BOB, background=True)
    world.ground(_CID, background=True)
    world.say("main")
    assert all(isinstance(entry, Unread) for lot in world.seen.lots("m") for entry in lot.entries)


def test_turning_away_twice_is_told_once() -> None:
    world = World("team")
    world.ground(_BOB, background=True)
    world.ground(_BOB, background=True)
    assert not world.seen.lots("m")


def test_a_mention_reaches_the_user_whatever_is_subscribed_ahead_of_the_rest() -> None:
    world = _explicit()
    world.ground(_BOB, background=True)
    heard = world.say(mentions=["bob", "ann", "nobody"])
    assert _who(heard, "mention") == {_ANN, _BOB}
    (lot,) = world.seen.lots("m")
    assert lot.urgent
    (mention,) = world.seen.entries("m", Mention)
    assert mention.message.mentions == ("bob", "ann", "nobody")


def test_who_does_not_see_the_channel_is_not_reached_by_a_mention() -> None:
    world = World()
    world.do(ask(EditList, channel="c", which="black", add_users=["bob"]))
    assert _who(world.say(mentions=["bob", "ann"]), "mention") == {_ANN}


def test_who_loses_sight_of_a_channel_loses_what_it_subscribed_to_there_for_good() -> None:
    world = _explicit()
    world.subscribe(_ANN, _on("messages"), _on("typing"), _on("messages", "d"))
    world.say()
    world.do(ask(EditList, channel="c", which="black", add_users=["ann"]))
    (first, second) = world.seen.memberships()
    assert {wanted for one in (first, second) for wanted in one.wanted} == {_on("messages"), _on("typing")}
    assert not world.say()
    world.do(ask(EditList, channel="c", which="black", remove_users=["ann"]))
    assert not world.say()
    assert _who(world.say("d"), "message") == {_ANN}


def test_who_is_removed_loses_everything_and_hears_nothing_when_back() -> None:
    world = _explicit()
    world.subscribe(_ANN, _on("messages"))
    world.say()
    world.do(ask(RemoveMembers, users=["ann"]))
    world.do(ask(AddMembers, users=["ann"]))
    world.do(bind("ann", 4, _ANN))
    assert not world.say()


def test_a_deleted_channels_subscriptions_end() -> None:
    world = _explicit()
    world.subscribe(_ANN, _on("messages"))
    world.say()
    world.do(ask(DeleteChannel, channel="c"))
    world.do(ask(CreateChannel, channel="c"))
    assert not world.say()


def test_a_deleted_groups_subscriptions_end_and_leave_no_row() -> None:
    world = _explicit()
    world.subscribe(_ANN, _on("messages"), _on("server", None))
    world.say()
    world.do(ask(DeleteGroup))
    world.pause()
    world.pause()
    assert not [key for key in world.partition.store.rows if key[:1] in b"eu"]


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (_on("messages", "none"), "unknown_channel"),
        (_on("messages", None), "wrong_level"),
        (_on("server", "c"), "wrong_level"),
        (_on("messages", "hidden"), "not_visible"),
    ],
)
def test_what_may_not_be_heard_is_refused_with_a_code_and_hurts_nothing_else(wanted: Wanted, code: str) -> None:
    world = _explicit()
    world.do(ask(CreateChannel, channel="hidden", view_mode="private"))
    world.subscribe(_ANN, wanted, _on("messages"))
    (answer,) = world.seen.entries("l", Subscribed)
    assert [(one.code, one.level, one.channel) for one in answer.refused] == [(code, wanted.level, wanted.channel)]
    assert answer.wanted == [_on("messages")]
    (unheard,) = world.seen.memberships()
    assert unheard == Unheard("app", "g", "ann", "l", 1, _ANN, [wanted])


def test_an_answer_names_the_heads_up_to_which_a_pull_reaches() -> None:
    world = _explicit()
    world.say(count=3)
    world.subscribe(_ANN, _on("messages"), _on("unread_count", "d"))
    (answer,) = world.seen.entries("l", Subscribed)
    assert answer.heads == [("c", 3)]


def test_a_session_that_is_not_bound_cannot_subscribe() -> None:
    world = _explicit()
    world.subscribe(_UNBOUND, _on("messages"), user="ann")
    (answer,) = world.seen.entries("l", Subscribed)
    assert [one.code for one in answer.refused] == ["unknown_session"]


def test_a_visitor_hears_channels_that_visitors_see_until_they_do_not() -> None:
    world = World()
    assert _refused(world, "stranger") == ["not_visible"]
    world.do(ask(UpdateChannel, channel="c", visitor_mode="follow"))
    world.subscribe(_VISITOR, _on("messages"), user="stranger")
    assert _who(world.say(), "message") == {_OWNER, _ANN, _BOB, _CID, _VISITOR}
    assert _who(world.say("d"), "message") == {_OWNER, _ANN, _BOB, _CID}
    world.crash()
    assert _who(world.say(), "message") == {_OWNER, _ANN, _BOB, _CID, _VISITOR}
    world.do(ask(UpdateChannel, channel="c", view_mode="private"))
    assert _who(world.say(), "message") == {_OWNER}


def _refused(world: World, user: str) -> list[str]:
    world.subscribe(_VISITOR, _on("messages"), user=user)
    return [one.code for answer in world.seen.entries("m", Subscribed) for one in answer.refused]


def test_a_visitor_who_becomes_a_member_hears_each_message_once() -> None:
    world = World()
    world.do(ask(UpdateChannel, channel="c", visitor_mode="visible"))
    world.subscribe(_VISITOR, _on("messages"), user="stranger")
    world.do(ask(AddMembers, users=["stranger"]))
    world.do(bind("stranger", 4, _VISITOR, link="m"))
    heard = [one for one in world.say() if one.slot == _VISITOR]
    assert len(heard) == 1


def test_a_visitors_session_that_ends_is_told_nothing_more() -> None:
    world = World()
    world.do(ask(UpdateChannel, channel="c", visitor_mode="visible"))
    world.subscribe(_VISITOR, _on("messages"), user="stranger")
    world.say()
    world.do((catalog.BINDINGS, BindingLot([Unlisten("app", "g", "m", 1, 3, _VISITOR, [])])))
    assert _VISITOR not in _who(world.say(), "message")


def test_a_visitor_hears_that_the_server_changed_until_no_channel_is_open_to_visitors() -> None:
    world = _explicit()
    world.do(ask(UpdateChannel, channel="c", visitor_mode="visible"))
    world.subscribe(_VISITOR, _on("server", None), user="stranger")
    world.pause()
    world.do(ask(UpdateGroup, name="new"))
    assert world.seen.entries("m", Changed)
    world.pause()
    world.do(ask(UpdateChannel, channel="c", visitor_mode="hidden"))
    world.pause()
    world.do(ask(UpdateGroup, name="newer"))
    assert not world.seen.entries("m", Changed)


def test_server_subscribers_hear_that_the_server_changed_and_nobody_else() -> None:
    world = _explicit()
    world.pause()
    world.subscribe(_ANN, _on("server", None))
    world.do(ask(UpdateGroup, name="new"))
    assert world.seen.entries("l", Changed)
    assert not world.seen.entries("m", Changed)


def test_server_subscribers_hear_of_the_channels_that_they_see_alone() -> None:
    world = _explicit()
    world.do(ask(CreateChannel, channel="closed", view_mode="private"))
    world.subscribe(_ANN, _on("server", None))
    world.pause()
    world.do(ask(UpdateChannel, channel="closed", topic="secret"))
    (changed,) = world.seen.entries("l", Changed)
    assert changed.channels == ["closed"]
    assert len({changed.audience, changed.among, 0}) == 3


def test_channel_subscribers_hear_that_the_channel_changed() -> None:
    world = _explicit()
    world.subscribe(_BOB, _on("unread_count"))
    world.pause()
    world.do(ask(UpdateChannel, channel="c", topic="new"))
    assert [one.channels for one in world.seen.entries("m", Changed)] == [["c"]]


def test_a_burst_turns_messages_into_notices_for_those_who_do_not_show_the_channel_and_back() -> None:
    world = World(burst_per_s=5)
    world.subscribe(_ANN, _on("messages"))
    heard = world.say(count=50)
    world.say(count=50)
    shown = world.say()
    assert _who(shown, "message") == {_ANN}
    (others, *_) = [one for one in [*shown, *world.pause(limits.UNREAD_WINDOW_MS)] if one.what == "unread_count"]
    assert others.entry.mode == "burst"
    assert _who(heard, "message") >= {_ANN}
    world.pause(5 * limits.BURST_MS)
    assert _who(world.say(), "message") == {_OWNER, _ANN, _BOB, _CID}


def test_a_dead_links_subscriptions_are_gone_with_their_rows() -> None:
    world = _explicit()
    world.subscribe(_BOB, _on("messages"))
    world.ground(_BOB, background=True)
    world.say()
    world.partition.apply((catalog.LINK_VOIDS, Void("m", 1)))
    world.say()
    assert not world.seen.lots("m")
    world.pause()
    rows = [key for key in world.partition.store.rows if key[:1] in b"ef"]
    assert not rows


def test_a_link_that_begins_anew_learns_who_is_in_the_background_and_who_subscribed() -> None:
    world = _explicit()
    world.subscribe(_ANN, _on("messages"))
    world.subscribe(_OWNER, _on("messages"))
    world.ground(_OWNER, background=True)
    world.say()
    for crash in (False, True):
        if crash:
            world.crash()
        world.do((catalog.RESYNC, Resync("l", 1, 3, 0, 9)))
        heard = [*world.say(), *world.pause(limits.UNREAD_WINDOW_MS)]
        assert _who(heard, "message") == {_ANN}
        assert _who(heard, "unread_count") == {_OWNER}


def test_a_crash_forgets_no_subscription_and_no_notice_that_waits() -> None:
    world = _explicit()
    world.subscribe(_ANN, _on("messages"))
    world.subscribe(_BOB, _on("unread_count"))
    world.say()
    world.say()
    world.crash()
    heard = [*world.pause(0), *world.say(), *world.pause(limits.UNREAD_WINDOW_MS)]
    assert _who(heard, "message") == {_ANN}
    assert max(one.seq for one in heard if one.what == "unread_count") == 3


def test_the_head_of_a_channel_that_went_quiet_is_told_to_those_who_hear_its_messages() -> None:
    world = _explicit()
    world.subscribe(_ANN, _on("messages"))
    world.say()
    assert _who(world.pause(limits.QUIET_MS), "head") == {_ANN}
