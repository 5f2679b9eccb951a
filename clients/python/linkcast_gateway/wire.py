"""What a gateway reads from Kafka, as the contract describes it. Written by hand: nothing of the pipeline is shared.

Only what a gateway reads is typed; what it writes is plain JSON made in `link`. What came later than this library is
skipped where the contract allows it, and else said outright: `LaterVersion` is never taken for an older record.
"""

from __future__ import annotations

import contextlib
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

#: The schema version known here; a record of a later one would be misread.
SCHEMA: Final = 1
Version = Annotated[int, Meta(ge=1, le=SCHEMA)]
_Known = TypeVar("_Known")


class Group(NamedTuple):
    """Names a group: ids are unique inside their app only."""

    app: str
    name: str


class _Wire(Struct, tag_field="t", gc=False):
    """Base of what is read; fields not named here are ignored."""


class Message(
    _Wire,
    tag="m",
    rename={
        "app": "a",
        "group": "g",
        "channel": "c",
        "seq": "s",
        "prev": "p",
        "sender": "f",
        "device": "d",
        "client_id": "i",
        "kind": "k",
        "body": "b",
        "audience": "au",
        "mentions": "mn",
    },
):
    """An accepted message; on the wire its fields have the short names."""

    app: str
    group: str
    channel: str
    seq: int
    prev: int
    sender: str
    device: str
    client_id: str
    at: int
    body: Raw
    kind: str = "text"
    audience: int = 0
    mentions: list[str] = []


class Bound(_Wire, tag="bound"):
    """Sessions listen to a group from here on."""

    app: str
    group: str
    ordinals: list[int]
    slots: list[int]
    heads: list[tuple[str, int]] = []
    audiences: list[list[int]] = []
    joined: str = "messages"


class Unbound(_Wire, tag="unbound"):
    """Sessions listen to a group no more."""

    app: str
    group: str
    ordinals: list[int]
    slots: list[int]


class Drive(_Wire, tag="drive"):
    """What the sessions that listen to a group hear of its channels unasked is another thing from here on."""

    app: str
    group: str
    joined: str


class Background(_Wire, tag="background"):
    """Sessions are in the background from here on, or in the foreground again: in all groups of the source."""

    slots: list[int]
    on: bool = True


class Unread(_Wire, tag="unread"):
    """There are new messages in a channel: in place of them, and merged over a while.

    Attributes:
        app: the group's app.
        group: the group.
        channel: the channel.
        seq: the newest of them.
        count: how many came since the last such notice.
        audience: for whom.
        beside: without those in the foreground of this audience; 0: without nobody.
        background: only for sessions in the background.
        level: `unread_count` or `unread_status`: for which badge.
        mode: why it is a notice: `usual`, `burst`, `slow`; what is not known is one more reason.
    """

    app: str
    group: str
    channel: str
    seq: int
    count: int
    audience: int = 0
    beside: int = 0
    background: bool = False
    level: str = "unread_count"
    mode: str = "usual"


class Mention(_Wire, tag="mention", rename={"message": "m"}):
    """A message for sessions of a user whom it mentions, beside the message itself: no part of the channel's chain."""

    slots: list[int]
    message: Message


class Wanted(Struct, gc=False, omit_defaults=True):
    """A subscription inside one group: a level, and of which channel; `server` is of the group."""

    level: str
    channel: str | None = None


class Turned(Struct, gc=False):
    """A subscription that was refused, and why."""

    code: str
    level: str
    channel: str | None = None


class Subscribed(_Wire, tag="subscribed"):
    """What a session hears of a group from here on because it asked for it; what it asked for in vain.

    Attributes:
        app: the group's app.
        group: the group.
        slot: the session.
        wanted: everything that it asked for and hears.
        refused: what it asked for in vain.
        heads: (channel, head seq) of the channels whose messages it hears.
        request: names the call it answers.
    """

    app: str
    group: str
    slot: int
    wanted: list[Wanted]
    refused: list[Turned] = []
    heads: list[tuple[str, int]] = []
    request: str | None = None


class Signal(_Wire, tag="signal"):
    """For those online only."""

    app: str
    group: str
    channel: str
    sender: str
    body: Raw
    kind: str = "custom"
    audience: int = 0


class Head(_Wire, tag="head"):
    """A channel went quiet at `seq`."""

    app: str
    group: str
    channel: str
    seq: int
    audience: int = 0


class AudienceSet(_Wire, tag="audience"):
    """An audience, before its first use here: its members among those who listen on this link, or its sessions."""

    app: str
    group: str
    audience: int
    version: int
    members: str = ""
    by: str = "member"


class AudienceDelta(_Wire, tag="audience_delta"):
    """Who entered an audience and who left it; after `ended` it is used no more."""

    app: str
    group: str
    audience: int
    version: int
    entered: str = ""
    left: str = ""
    ended: bool = False


class Changed(_Wire, tag="changed"):
    """A group changed after `since`, up to `version`: whoever shows it pulls.

    Attributes:
        app: the group's app.
        group: the group.
        version: the group's version now.
        since: its version before the first of these changes.
        what: `group`, `members`, `channels`, `roles`, `visibility`; skip what is not known.
        channels: which channels, where they are few enough to name.
        members: for which ordinals; empty: `audience` says it.
        audience: for which audience; 0: everybody.
        among: of these only who is in this audience too; 0: all.
    """

    app: str
    group: str
    version: int
    since: int
    what: list[str]
    channels: list[str] = []
    members: str = ""
    audience: int = 0
    among: int = 0


class Accepted(_Wire, tag="accepted"):
    """A send has its seq."""

    app: str
    group: str
    channel: str
    client_id: str
    seq: int
    at: int
    again: bool = False
    slot: int | None = None


class Refused(_Wire, tag="refused"):
    """A send or a command changed nothing."""

    code: str
    app: str | None = None
    group: str | None = None
    client_id: str | None = None
    request: str | None = None
    limit: int | None = None
    slot: int | None = None


class Applied(_Wire, tag="applied"):
    """A command was applied."""

    app: str
    group: str
    version: int
    changed: int
    request: str | None = None
    slot: int | None = None


class Done(_Wire, tag="done"):
    """What was asked of a user's sessions or status was done: how many sessions ended; 1 for a new status."""

    app: str
    user: str
    changed: int
    request: str | None = None
    slot: int | None = None


class Registered(_Wire, tag="registered"):
    """A link has an epoch and a partition of `deliveries`."""

    link: str
    epoch: int
    partition: int
    partitions: int


Answer = Accepted | Refused | Applied | Done
Entry = (
    Message
    | Bound
    | Unbound
    | Drive
    | Background
    | Signal
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


class Lot(_Wire, tag="lot"):
    """What one source has for one link at one time."""

    link: str
    epoch: int
    source: int
    number: int
    entries: list[Entry]
    reset: bool = False
    urgent: bool = False
    overrun: bool = False
    v: Version = 1


class Notice(Struct, gc=False):
    """What a person is told, as it is in the user's inbox; `Views` pulls those that were missed.

    Attributes:
        number: the user's notice version: rises with each.
        group: the group.
        version: the group's version.
        at: when.
        kind: what happened: `invited`, `removed`, `roles_given`, ...
        count: how many it stands for.
        by: who did it.
        about: the user whom it happened to, where that is another one.
        subject: what it happened to or by: a channel, category, role, invite, application.
        end: how it ended.
    """

    number: int
    group: str
    version: int
    at: int
    kind: str
    count: int = 1
    by: str | None = None
    about: str | None = None
    subject: str | None = None
    end: str = ""


class NoticeOut(Struct, gc=False):
    """One notice for sessions of one user."""

    app: str
    user: str
    slots: list[int]
    notice: Notice


class NoticeLot(_Wire, tag="notices"):
    """Notices to persons: hints, without a number or an order against lots."""

    link: str
    epoch: int
    entries: list[NoticeOut]
    v: Version = 1


class Resumed(_Wire, tag="resumed"):
    """A session goes on.

    Attributes:
        slot: where it is now.
        known: whether it is the one that was; if not, it began anew.
        inbox: the number of the newest notice in its user's inbox.
    """

    slot: int
    known: bool
    inbox: int


class Ended(_Wire, tag="ended"):
    """A session was ended by another one of its user: `replaced` or `kicked`."""

    slot: int
    why: str


class Presence(Struct, gc=False):
    """How a user is to be found: `online`, `background`, `offline`. Of two, the one with the higher version counts."""

    user: str
    state: str
    status: str = ""
    version: int = 0


class PresenceOut(_Wire, tag="presence"):
    """How users are to be found, for sessions that watch them."""

    app: str
    slots: list[int]
    users: list[Presence]


class SessionLot(_Wire, tag="sessions"):
    """What is for single sessions: without a number or an order against lots."""

    link: str
    epoch: int
    entries: list[Resumed | Ended | PresenceOut | Refused | Done]
    v: Version = 1


class Void(_Wire, tag="void"):
    """Every registration of `link` up to `epoch` is dead."""

    link: str
    epoch: int
    v: Version = 1


class AnswerTo(Struct, gc=False):
    """One answer on `answers` and who waits for it."""

    requester: str
    answer: Accepted | Refused | Applied | Done | Registered


class AnswerLot(_Wire, tag="answers"):
    """A record of `answers`."""

    entries: list[AnswerTo]
    v: Version = 1


class _RawSessionLot(_Wire, tag="sessions"):
    """The same, of single sessions."""

    link: str
    epoch: int
    entries: list[Raw]
    v: Version = 1


class _RawLot(_Wire, tag="lot"):
    """A lot whose entries are looked at one by one."""

    link: str
    epoch: int
    source: int
    number: int
    entries: list[Raw]
    reset: bool = False
    urgent: bool = False
    overrun: bool = False
    v: Version = 1


class _Versioned(Struct):
    """Of any record, all that one may read before its version is known."""

    v: int = 1


class LaterVersion(Exception):  # noqa: N818 - it says what the record is
    """A record of a schema version that came later than this library.

    Attributes:
        version: which one.
    """

    def __init__(self, version: int) -> None:
        super().__init__(f"schema version {version}")
        self.version = version


#: A record of `deliveries`.
Delivery = Lot | NoticeLot | SessionLot | Void

_versioned: Final = msgspec.json.Decoder(_Versioned)
_record: Final = msgspec.json.Decoder(Delivery)
_raw_lot: Final = msgspec.json.Decoder(_RawLot | _RawSessionLot)
_entry: Final = msgspec.json.Decoder(Entry)
_session_entry: Final = msgspec.json.Decoder(Resumed | Ended | PresenceOut | Refused | Done)
_answers: Final = msgspec.json.Decoder(AnswerLot)
encode: Final = msgspec.json.Encoder().encode


def delivery(value: bytes) -> Delivery | None:
    """The record of `deliveries` in `value`; None for one not known here.

    A lot with an entry of a kind that came later than this gateway keeps its other entries.

    Raises:
        LaterVersion: it must not be read.
    """
    with contextlib.suppress(msgspec.DecodeError):
        understood: Delivery = _record.decode(value)
        return understood
    _refuse_later(value)
    try:
        raw = _raw_lot.decode(value)
    except msgspec.DecodeError:
        return None
    if isinstance(raw, _RawSessionLot):
        return SessionLot(raw.link, raw.epoch, _known(_session_entry, raw.entries))
    entries = _known(_entry, raw.entries)
    return Lot(raw.link, raw.epoch, raw.source, raw.number, entries, raw.reset, raw.urgent, raw.overrun)


def answers(value: bytes) -> list[AnswerTo]:
    """The answers in a record of `answers`; none of one that is not understood.

    Raises:
        LaterVersion: it must not be read.
    """
    try:
        return _answers.decode(value).entries
    except msgspec.DecodeError:
        _refuse_later(value)
        return []


def _refuse_later(value: bytes) -> None:
    try:
        version = _versioned.decode(value).v
    except msgspec.DecodeError:
        return
    if version > SCHEMA:
        raise LaterVersion(version)


def _known(decoder: msgspec.json.Decoder[_Known], items: list[Raw]) -> list[_Known]:
    """Those entries that are known here."""
    known = []
    for item in items:
        with contextlib.suppress(msgspec.DecodeError):
            known.append(decoder.decode(item))
    return known
