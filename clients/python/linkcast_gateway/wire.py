"""What a gateway reads from Kafka, as the contract describes it. Written by hand: nothing of the pipeline is shared.

Only what a gateway reads is typed; what it writes is plain JSON made in `link`. What came later than this library is
skipped where the contract allows it, and else said outright: `LaterVersion` is never taken for an older record.
"""

from __future__ import annotations

import contextlib
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

#: The schema version known here; a record of a later one would be misread.
SCHEMA: Final = 1
Version = Annotated[int, Meta(ge=1, le=SCHEMA)]


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


class Bound(_Wire, tag="bound"):
    """Sessions listen to a group from here on."""

    app: str
    group: str
    ordinals: list[int]
    slots: list[int]
    heads: list[tuple[str, int]] = []
    audiences: list[list[int]] = []


class Unbound(_Wire, tag="unbound"):
    """Sessions listen to a group no more."""

    app: str
    group: str
    ordinals: list[int]
    slots: list[int]


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
    """An audience, before its first use here: its members among those who listen on this link."""

    app: str
    group: str
    audience: int
    version: int
    members: str


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
    """

    app: str
    group: str
    version: int
    since: int
    what: list[str]
    channels: list[str] = []
    members: str = ""
    audience: int = 0


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


class Registered(_Wire, tag="registered"):
    """A link has an epoch and a partition of `deliveries`."""

    link: str
    epoch: int
    partition: int
    partitions: int


Answer = Accepted | Refused | Applied
Entry = Message | Bound | Unbound | Signal | Head | AudienceSet | AudienceDelta | Changed | Accepted | Refused | Applied


class Lot(_Wire, tag="lot"):
    """What one source has for one link at one time."""

    link: str
    epoch: int
    source: int
    number: int
    entries: list[Entry]
    reset: bool = False
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


class Void(_Wire, tag="void"):
    """Every registration of `link` up to `epoch` is dead."""

    link: str
    epoch: int
    v: Version = 1


class AnswerTo(Struct, gc=False):
    """One answer on `answers` and who waits for it."""

    requester: str
    answer: Accepted | Refused | Applied | Registered


class AnswerLot(_Wire, tag="answers"):
    """A record of `answers`."""

    entries: list[AnswerTo]
    v: Version = 1


class _RawLot(_Wire, tag="lot"):
    """A lot whose entries are looked at one by one."""

    link: str
    epoch: int
    source: int
    number: int
    entries: list[Raw]
    reset: bool = False
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


_versioned: Final = msgspec.json.Decoder(_Versioned)
_record: Final = msgspec.json.Decoder(Lot | NoticeLot | Void)
_raw_lot: Final = msgspec.json.Decoder(_RawLot)
_entry: Final = msgspec.json.Decoder(Entry)
_answers: Final = msgspec.json.Decoder(AnswerLot)
encode: Final = msgspec.json.Encoder().encode


def delivery(value: bytes) -> Lot | NoticeLot | Void | None:
    """The record of `deliveries` in `value`; None for one not known here.

    A lot with an entry of a kind that came later than this gateway keeps its other entries.

    Raises:
        LaterVersion: it must not be read.
    """
    with contextlib.suppress(msgspec.DecodeError):
        understood: Lot | NoticeLot | Void = _record.decode(value)
        return understood
    _refuse_later(value)
    try:
        raw = _raw_lot.decode(value)
    except msgspec.DecodeError:
        return None
    known = [entry for item in raw.entries if (entry := _known(item)) is not None]
    return Lot(raw.link, raw.epoch, raw.source, raw.number, known, raw.reset)


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


def _known(item: Raw) -> Entry | None:
    with contextlib.suppress(msgspec.DecodeError):
        entry: Entry = _entry.decode(item)
        return entry
    return None
