"""`deliveries`: what a gateway reads: one partition a link, one lot a batch of each source.

A source is a groups partition. It numbers its lots per (link, epoch): 1, 2, 3, ... A gateway that finds a hole, or did
not see the source's first lot, asks for `resync`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

from topics.answers import Accepted, Applied, Refused
from topics.links import Void
from topics.messages import Kind, Message
from topics.notices import NoticeOut
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
    """

    app: Id
    group: Id
    map: Count
    ordinals: list[U32]
    slots: list[U32]
    heads: list[tuple[Id, Count]] = []  # noqa: RUF012 -- msgspec copies an empty list
    audiences: list[list[U32]] = []  # noqa: RUF012 -- msgspec copies an empty list


class Unbound(Wire, tag="unbound", frozen=True):
    """Sessions of this link listen to a group no more: they left it, were removed, or the group ended.

    An ordinal of which no session is left on the link leaves all audiences.
    """

    app: Id
    group: Id
    map: Count
    ordinals: list[U32]
    slots: list[U32]


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
    """

    app: Id
    group: Id
    audience: U32
    version: Count
    members: str


class AudienceDelta(Wire, tag="audience_delta", frozen=True):
    """Who of this link's listeners entered and who left an audience that was told before; both bitmaps as there.

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


Entry = (
    Message | Bound | Unbound | SignalOut | Head | AudienceSet | AudienceDelta | Changed | Accepted | Refused | Applied
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
    """

    link: Id
    epoch: Count
    source: U32
    number: Count
    entries: list[Entry]
    reset: bool = False
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


DeliveryRecord = DeliveryLot | NoticeLot | Void
