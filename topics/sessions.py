"""`sessions`: connections of users' devices come and go. Keyed by `app:user`."""

from __future__ import annotations

from topics.versions import FIRST, SessionsVersion
from topics.wire import U32, Count, Id, Wire


class Up(Wire, tag="up", frozen=True):
    """A session began: one connection of one device of one user.

    Attributes:
        app: the user's app.
        user: whose it is.
        device: which of the user's devices.
        link: the link that holds the connection.
        epoch: that link's registration.
        partition: that registration's partition of `deliveries`.
        slot: the connection's number on the link, never used again within the epoch.
    """

    app: Id
    user: Id
    device: Id
    link: Id
    epoch: Count
    partition: U32
    slot: U32
    v: SessionsVersion = FIRST


class Down(Wire, tag="down", frozen=True):
    """A session ended. Names the connection, so a late one can't hurt a session resumed elsewhere."""

    app: Id
    user: Id
    link: Id
    epoch: Count
    slot: U32
    v: SessionsVersion = FIRST


SessionRecord = Up | Down
