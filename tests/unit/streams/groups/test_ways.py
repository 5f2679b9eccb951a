"""What reaches whom when sessions turn away, come back, join and are kept out; what the users' owners are told."""

from __future__ import annotations

from itertools import count
from typing import Any

from streams.groups.core import GroupsCore
from streams.groups.desk import Desk
from tables.outbox import Outlet
from tests.cores import Partition, Seen, add, ask, create, groups, policy, send
from topics import catalog, limits
from topics.bindings import Bind, BindingLot, Grounded, Listen, Unbind
from topics.deliveries import Background, Bound, Changed, Subscribed, Unbound, Unread
from topics.memberships import Barred, Unheard
from topics.messages import Message
from topics.relations import BanMembers, CreateChannel, DeleteChannel, UpdateGroup
from topics.resync import Resync
from topics.subscriptions import Wanted

_IDS = count()


def _lot(partition: Partition, *entries: Bind | Unbind | Grounded | Listen) -> Seen:
    return partition.apply((catalog.BINDINGS, BindingLot(list(entries))))


def _desk(partition: Partition) -> Desk:
    assert isinstance(partition.core, GroupsCore)
    return partition.core.desk


def _outlet(partition: Partition) -> Outlet:
    outlet = _desk(partition).outbox.find("l", 1)
    assert outlet is not None
    return outlet


def _say(partition: Partition, sender: str, channel: str = "main") -> Seen:
    return partition.apply(send(sender, f"c{next(_IDS)}", partition.now_ms, channel=channel))


def _listen(user: str, slot: int, *wanted: Wanted) -> Listen:
    return Listen("app", "g", user, "l", 1, 3, slot, list(wanted), "r")


def _server(**has: Any) -> Partition:
    """A server with an owner and a channel that visitors see."""
    partition = groups()
    partition.apply(policy(**has), create("owner", "pal", kind="server", owner="owner"))
    partition.apply(ask(CreateChannel, channel="c", visitor_mode="visible"))
    return partition


def test_who_comes_to_a_link_after_the_last_one_left_is_not_taken_for_that_one() -> None:
    partition = groups()
    partition.apply(create("ann", "bob", "cid", kind="team"))
    _lot(partition, Grounded("l", 1, 3, 1, background=True), Bind("app", "g", "ann", 0, "l", 1, 3, 1))
    assert _say(partition, "cid").entries("l", Unread)
    _lot(partition, Unbind("app", "g", 0, "l", 1, 1))
    _lot(partition, Bind("app", "g", "bob", 1, "l", 1, 3, 2))
    assert _say(partition, "cid").entries("l", Message), "bob is in the foreground"
    _lot(partition, Unbind("app", "g", 1, "l", 1, 2))
    _lot(partition, Bind("app", "g", "ann", 0, "l", 1, 3, 1))
    partition.tick(limits.UNREAD_WINDOW_MS)
    assert _say(partition, "cid").entries("l", Unread), "ann is not"


def test_a_session_that_begins_anew_at_its_slot_is_told_so() -> None:
    partition = groups()
    partition.apply(create("ann", kind="team"))
    _lot(partition, Bind("app", "g", "ann", 0, "l", 1, 3, 1))
    seen = _lot(partition, Unbind("app", "g", 0, "l", 1, 1), Bind("app", "g", "ann", 0, "l", 1, 3, 1))
    assert [type(entry) for lot in seen.lots("l") for entry in lot.entries] == [Unbound, Bound]
    seen = _lot(
        partition,
        *(Unbind("app", "g", 0, "l", 1, 1), Bind("app", "g", "ann", 0, "l", 1, 3, 1), Unbind("app", "g", 0, "l", 1, 1)),
    )
    assert [type(entry) for lot in seen.lots("l") for entry in lot.entries] == [Unbound]


def test_however_many_sessions_turned_away_a_link_that_begins_anew_is_told_in_entries_of_bounded_size() -> None:
    partition = groups()
    slots = range(1_000_000, 1_000_000 + limits.ENTRY_PAIRS + 10)
    _lot(partition, *[Grounded("l", 1, 3, slot, background=True) for slot in slots])
    told = partition.apply((catalog.RESYNC, Resync("l", 1, 3, 0))).entries("l", Background)
    assert [len(one.slots) for one in told] == [limits.ENTRY_PAIRS, 10]


def test_of_a_session_that_ended_in_the_background_nothing_is_left() -> None:
    partition = groups()
    _lot(partition, Grounded("l", 1, 3, 1, background=True))
    assert not _lot(partition, Grounded("l", 1, 3, 1, background=False, ended=True)).lots("l")
    assert not _desk(partition).ground.on(_outlet(partition))


def test_a_visitor_hears_that_the_server_changed_also_where_no_member_listens() -> None:
    partition = _server()
    _lot(partition, _listen("vic", 9, Wanted("server")))
    partition.tick(limits.NOTICE_WINDOW_MS)
    assert partition.apply(ask(UpdateGroup, name="new")).entries("l", Changed)


def test_a_visitor_who_joins_goes_on_to_hear_what_it_subscribed_to() -> None:
    partition = _server(subscribe_members=1)
    _lot(partition, _listen("vic", 9, Wanted("messages", "c")))
    partition.apply(add("vic"))
    _lot(partition, Bind("app", "g", "vic", 2, "l", 1, 3, 9))
    assert _say(partition, "owner", "c").entries("l", Message)
    partition.crash()
    assert _say(partition, "owner", "c").entries("l", Message)


def test_who_is_banned_is_no_visitor() -> None:
    partition = _server()
    partition.apply(ask(BanMembers, users=["vic"]))
    (answer,) = _lot(partition, _listen("vic", 9, Wanted("messages", "c"))).entries("l", Subscribed)
    assert [one.code for one in answer.refused] == ["not_visible"]


def test_who_visits_and_is_banned_is_found_by_the_users_owner() -> None:
    partition = _server()
    assert not partition.apply(ask(BanMembers, users=["tom"])).memberships(), "nobody visits"
    _lot(partition, _listen("vic", 9, Wanted("messages", "c")))
    seen = partition.apply(ask(BanMembers, users=["vic", "pal"]))
    assert [one for one in seen.memberships() if isinstance(one, Barred)] == [Barred("app", "g", "vic")]


def test_an_answer_to_who_subscribes_goes_ahead_also_to_a_link_that_is_overrun() -> None:
    partition = groups()
    partition.apply(create("ann", kind="team"))
    _lot(partition, Bind("app", "g", "ann", 0, "l", 1, 3, 1))
    _outlet(partition).run_over()
    seen = _lot(partition, _listen("ann", 1, Wanted("typing", "main")))
    assert [lot.urgent for lot in seen.lots("l") if lot.entries] == [True]
    assert seen.entries("l", Subscribed)


def test_the_users_owner_hears_that_a_channel_is_no_more_if_few_subscribed_to_it_however_many_saw_it() -> None:
    partition = _server(notice_users=1)
    _lot(partition, Bind("app", "g", "pal", 1, "l", 1, 3, 1), _listen("pal", 1, Wanted("messages", "c")))
    seen = partition.apply(ask(DeleteChannel, channel="c"))
    assert seen.memberships() == [Unheard("app", "g", "pal", "l", 1, 1, [Wanted("messages", "c")])]
