"""`messages`: sends and signals, keyed by `app:group`; and `Message`, the form in which an accepted one travels on."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

from topics import limits
from topics.versions import FIRST, HistoryVersion, MessagesVersion
from topics.wire import U32, Count, FastId, Id, Millis, ReplyTo, Wire

#: The implicit channel of a `team` or `direct` group.
MAIN: Final = "main"

#: The kind that is left out of a message's bytes. Encoders know it by identity, so whoever makes a `Message` of decoded
#: words has to use this very value.
USUAL_KIND: Final = "text"

Kind = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z_]+\Z")]


#: Signals of this kind go to those who subscribed to them alone.
TYPING: Final = "typing"

Mentions = Annotated[tuple[FastId, ...], Meta(max_length=limits.MENTIONS)]


class Send(Wire, tag="send", frozen=True):
    """A user sends a message into a channel.

    Attributes:
        app: the group's app.
        group: the group.
        sender: who sends; the gateway has made sure of it.
        device: which of the sender's devices; resends are known per (channel, sender, device).
        client_id: the sender's id of the message; a resend carries the same.
        tried_at: when the sender first tried, by the sender's clock set by the gateway's; a resend carries the same.
        body: the message, opaque JSON; never decoded on the way.
        channel: the channel; MAIN where the group has one only.
        kind: text, image, custom, ...; opaque here.
        reply: where the answer goes; None: nobody waits.
        mentions: users whom it mentions: those who see the channel hear it, whatever they subscribed to.
    """

    app: FastId
    group: FastId
    sender: FastId
    device: FastId
    client_id: FastId
    tried_at: Millis
    body: Raw
    channel: Id = MAIN
    kind: Kind = USUAL_KIND
    reply: ReplyTo | None = None
    mentions: Mentions = ()
    v: MessagesVersion = FIRST


class Signal(Wire, tag="signal", frozen=True):
    """Something for those online only: no seq, nothing kept, not known again when resent."""

    app: FastId
    group: FastId
    sender: FastId
    body: Raw
    channel: Id = MAIN
    kind: Kind = "custom"
    v: MessagesVersion = FIRST


MessageRecord = Send | Signal


class Message(
    Wire,
    tag="m",
    frozen=True,
    rename={
        "app": "a",
        "group": "g",
        "channel": "c",
        "seq": "s",
        "prev": "p",
        "counter": "n",
        "version": "gv",
        "map": "lm",
        "audience": "au",
        "audience_version": "av",
        "sender": "f",
        "device": "d",
        "client_id": "i",
        "kind": "k",
        "body": "b",
        "mentions": "mn",
    },
):
    """An accepted message, encoded once: the same bytes stand in `history` and in each link's deliveries.

    Attributes:
        app: (a) the group's app.
        group: (g) the group.
        channel: (c) the channel.
        seq: (s) its number in the channel; rises strictly.
        prev: (p) the seq before it, 0 for the first: a receiver that holds another one last has a hole to fill.
        counter: (n) the channel's event counter: orders messages and their later changes.
        version: (gv) the group's version that it was decided at.
        map: (lm) the group's link map version that it was decided at.
        audience: (au) who hears it: 0 is every binding of the group on the link.
        audience_version: (av) the version of that audience.
        sender: (f) who sent it.
        device: (d) from which device.
        client_id: (i) the sender's id of it.
        at: when the send was appended.
        kind: (k) text, ...
        body: (b) the message.
        mentions: (mn) users whom it mentions.
    """

    app: Id
    group: Id
    channel: Id
    seq: Count
    prev: Count
    counter: Count
    version: Count
    map: Count
    sender: Id
    device: Id
    client_id: Id
    at: Millis
    body: Raw
    kind: Kind = USUAL_KIND
    audience: U32 = 0
    audience_version: Count = 0
    mentions: tuple[Id, ...] = ()


class HistoryLot(Struct, tag_field="t", tag="history", omit_defaults=True, frozen=True, gc=False):
    """A record of `history`: the messages that one batch of one groups partition accepted, in order.

    Attributes:
        source: the groups partition.
        entries: each an encoded `Message`.
    """

    source: U32
    entries: list[Message]
    v: HistoryVersion = FIRST
