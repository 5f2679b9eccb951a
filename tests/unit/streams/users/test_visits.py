"""What the owner of a user knows of groups that the user only visits."""

from __future__ import annotations

from tests.cores import users
from topics import catalog
from topics.bindings import Grounded, Unbind, Unlisten
from topics.memberships import Barred, Joined, MembershipLot
from topics.sessions import Down, Subscribe, Up
from topics.subscriptions import Subscription


def test_the_visits_of_who_is_kept_out_end() -> None:
    partition = users()
    partition.apply((catalog.SESSIONS, Up("app", "vic", "phone", "l", 1, 3, 9)))
    partition.apply((catalog.SESSIONS, Subscribe("app", "vic", "l", 1, 9, [Subscription("g", "messages", "c")])))
    seen = partition.apply((catalog.MEMBERSHIPS, MembershipLot([Barred("app", "g", "vic")])))
    assert seen.bindings() == [Unlisten("app", "g", "l", 1, 3, 9, [])]
    assert not partition.apply((catalog.MEMBERSHIPS, MembershipLot([Barred("app", "g", "vic")]))).bindings()


def test_a_session_that_ends_in_the_background_is_forgotten_by_the_owners_that_knew_it() -> None:
    partition = users()
    partition.apply((catalog.MEMBERSHIPS, MembershipLot([Joined("app", "g", 1, ["ann"], [0])])))
    partition.apply((catalog.SESSIONS, Up("app", "ann", "phone", "l", 1, 3, 9, background=True)))
    told = partition.apply((catalog.SESSIONS, Down("app", "ann", "l", 1, 9))).bindings()
    assert told == [Unbind("app", "g", 0, "l", 1, 9), Grounded("l", 1, 3, 9, background=False, ended=True)]
    partition.apply((catalog.SESSIONS, Up("app", "ann", "phone", "l", 1, 3, 10)))
    told = partition.apply((catalog.SESSIONS, Down("app", "ann", "l", 1, 10))).bindings()
    assert told == [Unbind("app", "g", 0, "l", 1, 10)]
