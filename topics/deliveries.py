"""`deliveries`: what a gateway reads: one partition a link, one lot a batch of each source.

A source is a groups partition. It numbers its lots per (link, epoch): 1, 2, 3, ... A gateway that finds a hole, or did
not see the source's first lot, asks for `resync`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

from topics.answers import Accepted, Applied, Code, Done, Refused
from topics.links import Void
from topics.messages import Kind, Message
from topics.notices import NoticeOut
from topics.presence import Presence
from topics.subscriptions import Joined, Level, Wanted
from topics.versions import FIRST, DeliveriesVersion
from topics.wire import U32, Count, Id, Wire


class Bound(Wire, tag="bound", frozen=True):
    """Sessions of this link listen to a group from here on: they are *live*.

    Attributes:
        app: the group's app.
        group: the group.
        map: the group's link map version after it.
        ordinals: the members' ordinals.
        slots: their sessions, one an ordinal.
        heads: (channel, head seq) of the group now: what a pull reaches up to before the first push. Empty for a group
            of many channels: the client asks for those that it shows.
        audiences: for each ordinal, the audiences told to this link that it is in; empty where none is in any.
        joined: what the sessions hear of the group's channels unasked; see `drive`.
    """

    app: Id
    group: Id
    map: Count
    ordinals: list[U32]
    slots: list[U32]
    heads: list[tuple[Id, Count]] = []  # noqa: RUF012 -- msgspec copies an empty list
    audiences: list[list[U32]] = []  # noqa: RUF012 -- msgspec copies an empty list
    joined: Joined = "messages"


class Unbound(Wire, tag="unbound", frozen=True):
    """Sessions of this link listen to a group no more: they left it, were removed, or the group ended.

    An ordinal of which no session is left on the link leaves all audiences.
    """

    app: Id
    group: Id
    map: Count
    ordinals: list[U32]
    slots: list[U32]


class Drive(Wire, tag="drive", frozen=True):
    """What the sessions that listen to a group hear of its channels unasked is another thing from here on.

    A group grew or shrank past the size up to which joining subscribes, or its app's policy changed. Who shows a
    channel of a group where it is not `messages` subscribes to it.

    Attributes:
        app: the group's app.
        group: the group.
        version: the group's version.
        joined: what they hear: each message; merged notices of unread ones; nothing.
    """

    app: Id
    group: Id
    version: Count
    joined: Joined


class Background(Wire, tag="background", frozen=True):
    """Sessions of this link are in the background from here on, or back in the foreground: in all groups of a source.

    A session in the background gets `unread` notices in place of messages and signals. Those never named are in the
    foreground.

    Attributes:
        slots: the sessions.
        on: whether they are in the background.
    """

    slots: list[U32]
    on: bool = True


#: Why messages reach sessions as notices: they asked for it, are in the background, or the group is driven so
#: (`usual`); too many messages a second in the channel (`burst`); a link that does not keep up (`slow`).
Mode = Literal["usual", "burst", "slow"]


class Unread(Wire, tag="unread", frozen=True):
    """There are new messages in a channel: in place of them, and merged over a while. Whoever shows it pulls.

    It is for those of `audience`, without those in the foreground of `beside`: they got the messages themselves.

    Attributes:
        app: the group's app.
        group: the group.
        channel: the channel.
        seq: the newest of them.
        count: how many came since the last such notice to the link; 1 where the level is `unread_status`.
        version: the group's version.
        map: the group's link map version.
        audience: as in a message.
        audience_version: its version.
        beside: an audience, or 0 for none.
        background: whether it is only for sessions in the background.
        level: `unread_count` or `unread_status`: for whom it is, so for which badge.
        mode: why it is a notice.
    """

    app: Id
    group: Id
    channel: Id
    seq: Count
    count: Count
    version: Count
    map: Count
    audience: U32 = 0
    audience_version: Count = 0
    beside: U32 = 0
    background: bool = False
    level: Level = "unread_count"
    mode: Mode = "usual"


class Mention(Wire, tag="mention", frozen=True, rename={"message": "m"}):
    """A message for sessions of a user that it mentions, whatever they subscribed to and wherever they are.

    It comes ahead of what else waits for the link, and beside the message itself, where a session hears that too: it is
    not a part of the channel's chain (`prev`).

    Attributes:
        slots: the sessions.
        message: (m) the message.
    """

    slots: list[U32]
    message: Message


class Turned(Struct, omit_defaults=True, frozen=True, gc=False):
    """A subscription that was refused, and why; see `answers.CODES`."""

    code: Code
    level: Level
    channel: Id | None = None


class Subscribed(Wire, tag="subscribed", frozen=True):
    """A session asked to hear something of a group, or to hear it no more: this is in force from here on.

    Attributes:
        app: the group's app.
        group: the group.
        slot: the session.
        wanted: everything that it hears of the group because it asked for it.
        refused: what it asked for in vain.
        heads: (channel, head seq) of the channels whose messages it hears: a pull reaches up to there.
        request: names the call it answers.
    """

    app: Id
    group: Id
    slot: U32
    wanted: list[Wanted]
    refused: list[Turned] = []  # noqa: RUF012 -- msgspec copies an empty list
    heads: list[tuple[Id, Count]] = []  # noqa: RUF012 -- msgspec copies an empty list
    request: Id | None = None


class SignalOut(Wire, tag="signal", frozen=True):
    """A signal for every binding of the group on this link."""

    app: Id
    group: Id
    channel: Id
    version: Count
    map: Count
    sender: Id
    body: Raw
    kind: Kind = "custom"
    audience: U32 = 0
    audience_version: Count = 0


class Head(Wire, tag="head", frozen=True):
    """A channel went quiet at `seq`: whoever holds less has lost the last message, and pulls."""

    app: Id
    group: Id
    channel: Id
    seq: Count
    version: Count
    map: Count
    audience: U32 = 0
    audience_version: Count = 0


class AudienceSet(Wire, tag="audience", frozen=True):
    """An audience, told to this link before its first use here: who of the link's listeners is in it.

    Attributes:
        app: the group's app.
        group: the group.
        audience: its id, never 0; not used again while the group lives.
        version: the group's version at which it last changed.
        members: ordinals: a roaring bitmap in the portable format, base64. Those only that are bound on this link.
        by: `session`: it is made of sessions that asked for it, visitors' among them: the bitmaps hold slots. One that
            ends leaves it; one that begins is in none.
    """

    app: Id
    group: Id
    audience: U32
    version: Count
    members: str = ""
    by: Literal["member", "session"] = "member"


class AudienceDelta(Wire, tag="audience_delta", frozen=True):
    """Who of this link's listeners entered and who left an audience that was told before; both bitmaps are as there.

    Attributes:
        app: the group's app.
        group: the group.
        audience: its id.
        version: the group's version that made it so.
        entered: ordinals that are in it from here on.
        left: ordinals that are in it no more.
        ended: nothing is sent to it any more: forget it. Who was in it has left.
    """

    app: Id
    group: Id
    audience: U32
    version: Count
    entered: str = ""
    left: str = ""
    ended: bool = False


#: What of a group changed.
What = Literal["group", "members", "channels", "roles", "visibility"]


class Changed(Wire, tag="changed", frozen=True):
    """Something changed in a group since `since`: whoever shows it pulls. Changes close together are one notice.

    Attributes:
        app: the group's app.
        group: the group.
        version: the group's version now.
        since: its version before the first of these changes.
        what: what changed; `visibility`: which channels the ones it is for see.
        channels: whose profile, lists or listeners changed; empty: none, or too many to name.
        members: who it is for: ordinals, a bitmap as in `audience`; empty: `audience` says it.
        audience: an audience told to this link before; 0: every binding of the group here.
        audience_version: its version.
        among: of these only who is in this audience too; 0: all of them.
    """

    app: Id
    group: Id
    version: Count
    since: Count
    what: list[What]
    channels: list[Id] = []  # noqa: RUF012 -- msgspec copies an empty list
    members: str = ""
    audience: U32 = 0
    audience_version: Count = 0
    among: U32 = 0


Entry = (
    Message
    | Bound
    | Unbound
    | Drive
    | Background
    | SignalOut
    | Head
    | Unread
    | Mention
    | AudienceSet
    | AudienceDelta
    | Changed
    | Subscribed
    | Accepted
    | Refused
    | Applied
)


class DeliveryLot(Struct, tag_field="t", tag="lot", omit_defaults=True, frozen=True, gc=False):
    """What one batch of one source has for one link.

    Attributes:
        link: whom it is for; a gateway drops what names another (link, epoch).
        epoch: which registration.
        source: the groups partition it comes from.
        number: of this lot, per (source, link, epoch), from 1, without holes.
        entries: what happened, in order.
        reset: forget all bindings of this source first; the entries, and those of the following lots, give them anew.
        urgent: its entries are answers, `subscribed` too, and mentions: they name slots, so may be handed on ahead of
            lots before it.
        overrun: the link fell too far behind: what followed the lot before was dropped. Ask for `resync`; nothing but
            answers comes until then.
    """

    link: Id
    epoch: Count
    source: U32
    number: Count
    entries: list[Entry]
    reset: bool = False
    urgent: bool = False
    overrun: bool = False
    v: DeliveriesVersion = FIRST


class NoticeLot(Struct, tag_field="t", tag="notices", omit_defaults=True, frozen=True, gc=False):
    """Notices to persons, for sessions of this link: hints, not numbered and in no order against lots.

    One that is lost is found in the user's inbox, which is pulled by version.

    Attributes:
        link: whom it is for; a gateway drops what names another (link, epoch).
        epoch: which registration.
        entries: the notices.
    """

    link: Id
    epoch: Count
    entries: list[NoticeOut]
    v: DeliveriesVersion = FIRST


class Resumed(Wire, tag="resumed", frozen=True):
    """A session goes on.

    Attributes:
        slot: the session, where it is now.
        known: whether it is the one that was: if not it began anew, and asks again for what it wants to hear.
        inbox: the number of the newest notice in the user's inbox: a client that holds it has missed none.
    """

    slot: U32
    known: bool
    inbox: Count


class Ended(Wire, tag="ended", frozen=True):
    """A session was ended by another one: close its connection.

    Attributes:
        slot: which.
        why: another session took its place, by the app's policy or as it went on elsewhere; or it was told to go.
    """

    slot: U32
    why: Literal["replaced", "kicked"]


class PresenceOut(Wire, tag="presence", frozen=True):
    """How users are to be found, for the sessions of this link that watch them.

    Attributes:
        app: the users' app.
        slots: the sessions.
        users: the users.
    """

    app: Id
    slots: list[U32]
    users: list[Presence]


class SessionLot(Struct, tag_field="t", tag="sessions", omit_defaults=True, frozen=True, gc=False):
    """What a users partition has for single sessions of this link. Not numbered, in no order against other lots.

    Attributes:
        link: whom it is for; a gateway drops what names another (link, epoch).
        epoch: which registration.
        entries: answers to sessions, ends of sessions, and how others are to be found.
    """

    link: Id
    epoch: Count
    entries: list[Resumed | Ended | PresenceOut | Refused | Done]
    v: DeliveriesVersion = FIRST


DeliveryRecord = DeliveryLot | NoticeLot | SessionLot | Void
