"""`memberships`: what the groups role tells the users role: whose groups changed. One lot a users partition a batch."""

from __future__ import annotations

from topics.wire import SCHEMA, Count, Id, U32, Version, Wire


class Joined(Wire, tag="joined"):
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


class Left(Wire, tag="left"):
    """Users are members of a group no more, since `version`."""

    app: Id
    group: Id
    version: Count
    users: list[Id]
    ordinals: list[U32]


class MembershipLot(Wire, tag="memberships"):
    """A record of `memberships`: what one batch of one groups partition changed for the users of one users partition."""

    entries: list[Joined | Left]
    v: Version = SCHEMA
