"""`memberships`: what the groups role tells the users role: whose groups changed. One lot a users partition a batch."""

from __future__ import annotations

from topics.subscriptions import Wanted
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


class Unheard(Wire, tag="unheard", frozen=True):
    """What a session had asked for is not in force, or no longer: a resume does not ask for it again.

    Told where an ask was refused, and where few lose sight of a channel; of a change that takes sight of many, not
    (see `limits.NOTICE_USERS`): a resume asks for all that it had, and gets what is seen then.

    Attributes:
        app: the group's app.
        group: the group.
        user: whose session.
        link: the session's link.
        epoch: the link's registration.
        slot: the session.
        wanted: what ended.
    """

    app: Id
    group: Id
    user: Id
    link: Id
    epoch: Count
    slot: U32
    wanted: list[Wanted]


class Barred(Wire, tag="barred", frozen=True):
    """A user who is no member is kept out of a group: what sessions of theirs asked to hear there as visitors ends."""

    app: Id
    group: Id
    user: Id


class MembershipLot(Wire, tag="memberships", frozen=True):
    """A record of `memberships`: what one batch of a groups partition changed for the users of a users partition."""

    entries: list[Joined | Left | Unheard | Barred]
    v: MembershipsVersion = FIRST
