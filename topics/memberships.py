"""`memberships`: what the groups role tells the users role: whose groups changed. One lot a users partition a batch."""

from __future__ import annotations

from topics.versions import FIRST, MembershipsVersion
from topics.wire import U32, Count, Id, Wire


class Joined(Wire, tag="joined", frozen=True):
    """Users are members of a group since `version`.

    Attributes:
        app: the group's app.
        group: the group.
        version: the group's version that made it so; news older than what is known of a user is ignored.
        users: who.
        ordinals: under which ordinals.
    """

    app: Id
    group: Id
    version: Count
    users: list[Id]
    ordinals: list[U32]


class Left(Wire, tag="left", frozen=True):
    """Users are members of a group no more, since `version`."""

    app: Id
    group: Id
    version: Count
    users: list[Id]
    ordinals: list[U32]


class MembershipLot(Wire, tag="memberships", frozen=True):
    """A record of `memberships`: what one batch of a groups partition changed for the users of a users partition."""

    entries: list[Joined | Left]
    v: MembershipsVersion = FIRST
