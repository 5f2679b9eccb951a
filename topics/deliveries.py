"""`deliveries`: what a gateway reads: one partition a link, one lot a batch of each source.

A source is a groups partition. It numbers its lots per (link, epoch): 1, 2, 3, ... A gateway that finds a hole, or did
not see the source's first lot, asks for `resync`.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from topics.answers import Accepted, Applied, Refused
from topics.links import Void
from topics.messages import Kind, Message
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
        heads: (channel, head seq) of the group now: what a pull reaches up to before the first push.
    """

    app: Id
    group: Id
    map: Count
    ordinals: list[U32]
    slots: list[U32]
    heads: list[tuple[Id, Count]] = []  # noqa: RUF012 -- msgspec copies an empty list


class Unbound(Wire, tag="unbound", frozen=True):
    """Sessions of this link listen to a group no more: they left it, were removed, or the group ended."""

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


Entry = Message | Bound | Unbound | SignalOut | Head | Accepted | Refused | Applied


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


DeliveryRecord = DeliveryLot | Void
