"""What the kit and the gateway under test say to each other: one JSON object a line, told on stdin, happened on stdout.

The gateway's program is started with nothing but its command line. It plays its own clients as well: they connect when
told to, and say what a person at that client would see. The schema is generated: docs/contract/conformance.json.
"""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec
from msgspec import Raw, Struct

from topics.subscriptions import Subscription, Wanted


class _Tell(Struct, tag_field="do", frozen=True, omit_defaults=True):
    """Base of what the kit tells."""


class Start(_Tell, tag="start", frozen=True):
    """Begin: register the link. The first line, told once.

    Attributes:
        kafka: brokers to ask first, `host:port`, by commas.
        link: the link's id.
        app: the app of all clients.
        views: where a web view is, for pulls.
        token: what the view wants to see, as a bearer token.
    """

    kafka: str
    link: str
    app: str
    views: str
    token: str


class Connect(_Tell, tag="connect", frozen=True, rename={"client": "as"}):
    """A client connects. Before the link is registered it waits, or tries again, until it is let in.

    Attributes:
        client: (as) the number by which this connection is called from here on; never used twice.
        user: who it is.
        device: from which device.
        resumes: the number of a connection of the same device that was lost: it wants to go on as that one.
        background: whether it begins in the background.
    """

    client: int
    user: str
    device: str
    resumes: int | None = None
    background: bool = False


class Send(_Tell, tag="send", frozen=True, rename={"client": "as"}):
    """A client sends a message; it sends again by itself what nobody answers.

    Attributes:
        client: (as) which one.
        group: into which group.
        client_id: its own id of the message.
        body: the message, any JSON.
        mentions: users whom it mentions.
    """

    client: int
    group: str
    client_id: str
    body: Raw
    mentions: list[str] = []


class Disconnect(_Tell, tag="disconnect", frozen=True, rename={"client": "as"}):
    """A client goes.

    Attributes:
        client: (as) which one.
    """

    client: int


class Lose(_Tell, tag="lose", frozen=True, rename={"client": "as"}):
    """A client's connection breaks, without a word: it may want to resume.

    Attributes:
        client: (as) which one.
    """

    client: int


class Ground(_Tell, tag="ground", frozen=True, rename={"client": "as"}):
    """A client goes to the background, or comes to the foreground.

    Attributes:
        client: (as) which one.
        background: where it is now.
    """

    client: int
    background: bool


class Subscribe(_Tell, tag="subscribe", frozen=True, rename={"client": "as"}):
    """A client asks to hear something.

    Attributes:
        client: (as) which one.
        subscriptions: what, as in the contract.
    """

    client: int
    subscriptions: list[Subscription]


class Unsubscribe(_Tell, tag="unsubscribe", frozen=True, rename={"client": "as"}):
    """A client wants to hear something no more; fields as in `subscribe`."""

    client: int
    subscriptions: list[Subscription]


class Watch(_Tell, tag="watch", frozen=True, rename={"client": "as"}):
    """A client wants to know whether users are online.

    Attributes:
        client: (as) which one.
        users: whom.
    """

    client: int
    users: list[str]


class Stop(_Tell, tag="stop", frozen=True):
    """Shut down in order, and end the program. So does the end of stdin."""


class _Happened(Struct, tag_field="event", frozen=True):
    """Base of what the gateway's program says. Events and fields not named here are ignored."""


class Live(_Happened, tag="live", frozen=True, rename={"client": "as"}):
    """A client was told that it hears a group from here on.

    Attributes:
        client: (as) which one.
        group: the group.
        joined: what of its channels it hears unasked, as in the contract.
    """

    client: int
    group: str
    joined: str = "messages"


class Gone(_Happened, tag="gone", frozen=True, rename={"client": "as"}):
    """A client was told that it hears a group no more.

    Attributes:
        client: (as) which one.
        group: the group.
    """

    client: int
    group: str


class Message(_Happened, tag="message", frozen=True, rename={"client": "as"}):
    """A client shows a message: in the order of the channel, each once, pulled or pushed.

    Attributes:
        client: (as) which one.
        group: the group.
        seq: the message's number.
        body: the message.
    """

    client: int
    group: str
    seq: int
    body: Any = None


class Signal(_Happened, tag="signal", frozen=True, rename={"client": "as"}):
    """A client got a signal.

    Attributes:
        client: (as) which one.
        group: the group.
        body: the signal.
    """

    client: int
    group: str
    body: Any = None


class Accepted(_Happened, tag="accepted", frozen=True, rename={"client": "as"}):
    """A client was told that its message was accepted.

    Attributes:
        client: (as) which one.
        client_id: the message.
        seq: its number.
    """

    client: int
    client_id: str
    seq: int


class Refused(_Happened, tag="refused", frozen=True, rename={"client": "as"}):
    """A client was told that its message was refused.

    Attributes:
        client: (as) which one.
        client_id: the message.
        code: why.
    """

    client: int
    client_id: str
    code: str


class Changed(_Happened, tag="changed", frozen=True, rename={"client": "as"}):
    """A client was told that a group changed, by a `changed` or because it sees other channels than before.

    Attributes:
        client: (as) which one.
        group: the group.
        version: the group's version now.
        what: what changed.
    """

    client: int
    group: str
    version: int
    what: list[str]


class Noticed(_Happened, tag="noticed", frozen=True, rename={"client": "as"}):
    """A client was handed a notice to its user.

    Attributes:
        client: (as) which one.
        group: the group that it is about.
        number: its number in the user's inbox.
        kind: what happened.
    """

    client: int
    group: str
    number: int
    kind: str


class Drive(_Happened, tag="drive", frozen=True, rename={"client": "as"}):
    """A client was told that it hears another thing of a group unasked from here on.

    Attributes:
        client: (as) which one.
        group: the group.
        joined: what.
    """

    client: int
    group: str
    joined: str


class Unread(_Happened, tag="unread", frozen=True, rename={"client": "as"}):
    """A client was told that there are new messages in a channel, in place of them.

    Attributes:
        client: (as) which one.
        group: the group.
        seq: the newest of them.
        count: how many.
        level: for which badge, as in the contract.
    """

    client: int
    group: str
    seq: int
    count: int
    level: str = "unread_count"


class Mentioned(_Happened, tag="mentioned", frozen=True, rename={"client": "as"}):
    """A client was told of a message that mentions its user. Showing the message is another thing.

    Attributes:
        client: (as) which one.
        group: the group.
        seq: the message's number.
    """

    client: int
    group: str
    seq: int


class Subscribed(_Happened, tag="subscribed", frozen=True, rename={"client": "as"}):
    """A client was told what it hears of a group because it asked for it.

    Attributes:
        client: (as) which one.
        group: the group.
        wanted: all of it.
        refused: the codes of what it asked for in vain.
    """

    client: int
    group: str
    wanted: list[Wanted]
    refused: list[str] = []


class Resumed(_Happened, tag="resumed", frozen=True, rename={"client": "as"}):
    """A client that wanted to go on was told whether it does.

    Attributes:
        client: (as) which one.
        known: whether it is the session that it was.
    """

    client: int
    known: bool


class Present(_Happened, tag="presence", frozen=True, rename={"client": "as"}):
    """A client was told how a user is to be found.

    Attributes:
        client: (as) which one.
        user: the user.
        state: online, background, offline.
        status: the user's custom status.
    """

    client: int
    user: str
    state: str
    status: str = ""


class Closed(_Happened, tag="closed", frozen=True, rename={"client": "as"}):
    """The gateway closed a client's connection.

    Attributes:
        client: (as) which one.
        why: what it said about it: `replaced` or `kicked` where another session ended this one.
    """

    client: int
    why: str = ""


class Failed(_Happened, tag="failed", frozen=True):
    """The gateway has given up and says so to whoever runs it.

    Attributes:
        code: why; `unknown_version` for a record of a later schema version.
    """

    code: str


Tell = Start | Connect | Send | Lose | Ground | Subscribe | Unsubscribe | Watch | Disconnect | Stop

#: Events of one client.
OfClient = (
    Live
    | Gone
    | Message
    | Signal
    | Accepted
    | Refused
    | Changed
    | Noticed
    | Drive
    | Unread
    | Mentioned
    | Subscribed
    | Resumed
    | Present
    | Closed
)
Happened = OfClient | Failed

encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(Happened)
_any: Final = msgspec.json.Decoder(dict[str, Any])


class NotUnderstood(Exception):  # noqa: N818 - it says what the line is
    """A line that is no event."""


def decode(line: bytes) -> Happened | None:
    """The event in a line; None for one of a kind not named here.

    Raises:
        NotUnderstood: it is no JSON object, has no `event`, or an event's fields are wrong.
    """
    try:
        event: Happened = _decoder.decode(line)
    except msgspec.DecodeError as error:
        try:
            kind = _any.decode(line).get("event")
        except msgspec.DecodeError:
            raise NotUnderstood("no JSON object") from None
        if not isinstance(kind, str):
            raise NotUnderstood("no `event`") from None
        if kind in _KINDS:
            raise NotUnderstood(str(error)) from None
        return None
    return event


_KINDS: Final = {kind.__struct_config__.tag for kind in get_args(Happened)}


def schema() -> dict[str, Any]:
    """The JSON Schema of a line: in either direction."""
    (told, happened), defs = msgspec.json.schema_components([Tell, Happened], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "conformance",
        "description": "A line that `linkcast conformance` tells a gateway's program, or reads from it.",
        "anyOf": [told, happened],
        "$defs": defs,
    }
