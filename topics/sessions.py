"""`sessions`: connections of users' devices come, go, turn away and ask to hear things. Keyed by `app:user`.

All that a session asks for lives as long as it does, and with the user: so a resume, wherever it happens, finds it.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from topics import limits
from topics.subscriptions import Subscriptions
from topics.versions import FIRST, SessionsVersion
from topics.wire import U32, Count, Id, ReplyTo, SessionId, Wire

#: What kind of device a session is on.
Platform = Annotated[str, Meta(max_length=limits.ID_CHARS)]


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
        platform: what kind of device it is: `web`, `ios`, ...; opaque, but an app may allow one session each.
        background: whether it begins in the background.
    """

    app: Id
    user: Id
    device: Id
    link: Id
    epoch: Count
    partition: U32
    slot: U32
    platform: Platform = ""
    background: bool = False
    v: SessionsVersion = FIRST


class Resume(Wire, tag="resume", frozen=True):
    """A session goes on, here: with what it had asked for, if it was lost no longer ago than the app allows.

    On the link that it was on, a session may keep its slot: then nothing changes for anybody; one that was lost is told
    anew of those whom it watches. One that is not known any
    more begins anew, as by `up`. Answered by `resumed`.

    Attributes:
        app: the user's app.
        user: whose it is.
        device: which of the user's devices.
        link: the link that holds the connection now.
        epoch: that link's registration.
        partition: that registration's partition of `deliveries`.
        slot: the connection's number now.
        was: what it was before; may be the same connection, which then was not lost at all.
        platform: as in `up`.
        background: whether it is in the background.
    """

    app: Id
    user: Id
    device: Id
    link: Id
    epoch: Count
    partition: U32
    slot: U32
    was: SessionId
    platform: Platform = ""
    background: bool = False
    v: SessionsVersion = FIRST


class Lost(Wire, tag="lost", frozen=True):
    """A connection broke. The session may be resumed for a while; until then it counts as it was, and hears nothing."""

    app: Id
    user: Id
    link: Id
    epoch: Count
    slot: U32
    v: SessionsVersion = FIRST


class Ground(Wire, tag="ground", frozen=True):
    """A session went to the background, or came to the foreground. The same twice is harmless.

    Attributes:
        app: the user's app.
        user: whose it is.
        link: the link that holds the connection.
        epoch: that link's registration.
        slot: the connection.
        background: where it is now: in the background it gets merged notices in place of messages.
    """

    app: Id
    user: Id
    link: Id
    epoch: Count
    slot: U32
    background: bool
    v: SessionsVersion = FIRST


class Down(Wire, tag="down", frozen=True):
    """A session ended. Names the connection, so a late one can't hurt a session resumed elsewhere."""

    app: Id
    user: Id
    link: Id
    epoch: Count
    slot: U32
    v: SessionsVersion = FIRST


class Kick(Wire, tag="kick", frozen=True):
    """End other sessions of a user: asked for by one of them, or by the app's back end.

    Attributes:
        app: the user's app.
        user: whose sessions.
        spared: the session that stays; None: none does.
        device: only those of this device; None: of all.
        request: names it in the answer.
        reply: where the answer goes: `done` with how many ended. None: nobody waits.
    """

    app: Id
    user: Id
    spared: SessionId | None = None
    device: Id | None = None
    request: Id | None = None
    reply: ReplyTo | None = None
    v: SessionsVersion = FIRST


class SetStatus(Wire, tag="set_status", frozen=True):
    """A user's custom status, shown to those who watch the user; empty: none. It outlives sessions.

    Attributes:
        app: the user's app.
        user: whose.
        status: for people.
        request: names it in the answer.
        reply: where the answer, `done`, goes.
    """

    app: Id
    user: Id
    status: Annotated[str, Meta(max_length=limits.STATUS_CHARS)]
    request: Id | None = None
    reply: ReplyTo | None = None
    v: SessionsVersion = FIRST


class Subscribe(Wire, tag="subscribe", frozen=True):
    """A session asks to hear something. Each group's owner answers for what is its own, with `subscribed`.

    Attributes:
        app: the groups' app.
        user: whose session.
        link: the link that holds the connection.
        epoch: that link's registration.
        slot: the connection.
        subscriptions: what it asks for, of any groups.
        request: names it in the answers.
    """

    app: Id
    user: Id
    link: Id
    epoch: Count
    slot: U32
    subscriptions: Subscriptions
    request: Id | None = None
    v: SessionsVersion = FIRST


class Unsubscribe(Wire, tag="unsubscribe", frozen=True):
    """A session wants to hear something no more; fields as in `subscribe`, and answered like it."""

    app: Id
    user: Id
    link: Id
    epoch: Count
    slot: U32
    subscriptions: Subscriptions
    request: Id | None = None
    v: SessionsVersion = FIRST


class Watch(Wire, tag="watch", frozen=True):
    """A session wants to know which of these users are online: told at once, and with each change, merged.

    Attributes:
        app: the users' app.
        user: whose session asks.
        link: the link that holds the connection.
        epoch: that link's registration.
        slot: the connection.
        users: whom it watches from here on, beside those before.
        request: names it in a refusal of the whole call. The refusal by a user whom too many watch has none.
    """

    app: Id
    user: Id
    link: Id
    epoch: Count
    slot: U32
    users: Annotated[list[Id], Meta(min_length=1, max_length=limits.SUBSCRIPTIONS_PER_CALL)]
    request: Id | None = None
    v: SessionsVersion = FIRST


class Unwatch(Wire, tag="unwatch", frozen=True):
    """A session watches these users no more; fields as in `watch`."""

    app: Id
    user: Id
    link: Id
    epoch: Count
    slot: U32
    users: Annotated[list[Id], Meta(min_length=1, max_length=limits.SUBSCRIPTIONS_PER_CALL)]
    request: Id | None = None
    v: SessionsVersion = FIRST


SessionRecord = Up | Resume | Lost | Ground | Down | Kick | SetStatus | Subscribe | Unsubscribe | Watch | Unwatch
