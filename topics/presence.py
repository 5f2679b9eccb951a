"""Who is online, as users' owners tell those who watch. `watches`: lots between users partitions: who watches whom."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from topics.versions import FIRST, WatchesVersion
from topics.wire import U32, Count, Id, Wire

#: `online`: with a session in the foreground; `background`: with sessions, none of them there; `offline`: with none.
State = Literal["online", "background", "offline"]


class Watching(Wire, tag="watching", frozen=True):
    """A session watches users from here on.

    Attributes:
        app: the users' app.
        users: whom: of one users partition.
        link: the session's link.
        epoch: the link's registration.
        partition: that registration's partition of `deliveries`.
        slot: the session.
    """

    app: str
    users: list[str]
    link: str
    epoch: Count
    partition: U32
    slot: U32


class Unwatched(Wire, tag="unwatched", frozen=True):
    """A session watches users no more: it said so, or ended."""

    app: str
    users: list[str]
    link: str
    epoch: Count
    slot: U32


class WatchLot(Wire, tag="watches", frozen=True):
    """A record of `watches`: what one batch of one users partition changed for the users of another."""

    entries: list[Watching | Unwatched]
    v: WatchesVersion = FIRST


class Presence(Struct, omit_defaults=True, frozen=True, gc=False):
    """How a user is to be found.

    Attributes:
        user: who.
        state: online, background, offline.
        status: the user's custom status.
        version: rises with each change of the user's: one that is not newer is old news.
    """

    user: Id
    state: State
    status: str = ""
    version: Count = 0
