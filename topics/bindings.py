"""`bindings`: which sessions listen to a group, told by users to groups role. One lot a groups partition a batch.

Ids are plain text here: the users role has checked them where they came in, and checking them again would be most of
what reading an entry takes.
"""

from __future__ import annotations

from topics.subscriptions import Wanted
from topics.versions import FIRST, BindingsVersion
from topics.wire import U32, Count, Id, Wire


class Bind(Wire, tag="bind", frozen=True):
    """A session of a member starts to listen to a group.

    Attributes:
        app: the group's app.
        group: the group.
        user: whose session; refused unless the ordinal is this user's.
        ordinal: the member's ordinal.
        link: the session's link.
        epoch: the link's registration.
        partition: that registration's partition of `deliveries`.
        slot: the session.
    """

    app: str
    group: str
    user: str
    ordinal: U32
    link: str
    epoch: Count
    partition: U32
    slot: U32


class Unbind(Wire, tag="unbind", frozen=True):
    """A session listens to a group no more."""

    app: str
    group: str
    ordinal: U32
    link: str
    epoch: Count
    slot: U32


class Grounded(Wire, tag="grounded", frozen=True):
    """A session is in the background, or in the foreground again: for all groups of the partition that it is told to.

    Sessions that were never named are in the foreground.

    Attributes:
        link: the session's link.
        epoch: the link's registration.
        partition: that registration's partition of `deliveries`.
        slot: the session.
        background: whether it is in the background.
        ended: the session is no more: it is forgotten, and its link told nothing.
    """

    link: str
    epoch: Count
    partition: U32
    slot: U32
    background: bool
    ended: bool = False


class Listen(Wire, tag="listen", frozen=True):
    """A session asks to hear something of a group, beside what it hears already.

    Attributes:
        app: the group's app.
        group: the group.
        user: whose session; one who is no member comes as a visitor.
        link: the session's link.
        epoch: the link's registration.
        partition: that registration's partition of `deliveries`.
        slot: the session.
        wanted: what it asks for.
        request: names it in the answer.
        resumed: a resume asks for what the session had before: nobody waits for an answer.
    """

    app: str
    group: str
    user: str
    link: str
    epoch: Count
    partition: U32
    slot: U32
    wanted: list[Wanted]
    request: Id | None = None
    resumed: bool = False


class Unlisten(Wire, tag="unlisten", frozen=True):
    """A session wants to hear something of a group no more.

    Attributes:
        app: the group's app.
        group: the group.
        link: the session's link.
        epoch: the link's registration.
        partition: that registration's partition of `deliveries`.
        slot: the session.
        wanted: what it does not want any more; empty: anything, because a visitor's session ended.
        request: names it in the answer; None: nobody waits.
    """

    app: str
    group: str
    link: str
    epoch: Count
    partition: U32
    slot: U32
    wanted: list[Wanted]
    request: Id | None = None


class BindingLot(Wire, tag="bindings", frozen=True):
    """A record of `bindings`: what one batch of one users partition changed for the groups of one groups partition."""

    entries: list[Bind | Unbind | Grounded | Listen | Unlisten]
    v: BindingsVersion = FIRST
