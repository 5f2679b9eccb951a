"""`bindings`: which sessions listen to a group, told by users to groups role. One lot a groups partition a batch.

Ids are plain text here: the users role has checked them where they came in, and checking them again would be most of
what reading an entry takes.
"""

from __future__ import annotations

from topics.versions import FIRST, BindingsVersion
from topics.wire import U32, Count, Wire


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


class BindingLot(Wire, tag="bindings", frozen=True):
    """A record of `bindings`: what one batch of one users partition changed for the groups of one groups partition."""

    entries: list[Bind | Unbind]
    v: BindingsVersion = FIRST
