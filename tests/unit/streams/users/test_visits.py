"""What the owner of a user knows of groups that the user only visits."""

from __future__ import annotations

from tests.cores import users
from topics import catalog
from topics.bindings import Unlisten
from topics.memberships import Barred, MembershipLot
from topics.sessions import Subscribe, Up
from topics.subscriptions import Subscription


def test_the_visits_of_who_is_kept_out_end() -> None:
    partition = users()
    partition.apply((catalog.SESSIONS, Up("app", "vic", "phone", "l", 1, 3, 9)))
    partition.apply((catalog.SESSIONS, Subscribe("app", "vic", "l", 1, 9, [Subscription("g", "messages", "c")])))
    seen = partition.apply((catalog.MEMBERSHIPS, MembershipLot([Barred("app", "g", "vic")])))
    assert seen.bindings() == [Unlisten("app", "g", "l", 1, 3, 9, [])]
    assert not partition.apply((catalog.MEMBERSHIPS, MembershipLot([Barred("app", "g", "vic")]))).bindings()
