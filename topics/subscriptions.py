"""What sessions ask to hear: levels of channels and groups, as commands, answers, bindings and views name them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from topics import limits
from topics.wire import Id

#: Of a channel: `messages` (each as it is sent), `unread_count` (that there are new ones, and how many),
#: `unread_status` (that there are any), `typing` (signals of that kind). Of a server: `server` (what of it changes).
Level = Literal["messages", "unread_count", "unread_status", "typing", "server"]
#: What a session hears of a group's channels by its user being a member, unasked.
Joined = Literal["messages", "unread_count", "none"]
#: How messages are distributed: `message`: each to everybody who may see it; `session`: to those who subscribed to the
#: channel's messages because they show it, to others notices; `subscription`: by what each session subscribed to.
DriveMode = Literal["message", "session", "subscription"]

#: The levels that say how the messages of a channel reach a session, the strongest first. It has one of them: of those
#: in one call the strongest; a later call's replaces it.
MESSAGE_LEVELS: Final[tuple[Level, ...]] = ("messages", "unread_count", "unread_status")
#: The levels that one who is no member may have.
VISITOR_LEVELS: Final[tuple[Level, ...]] = ("messages", "server")


class Subscription(Struct, omit_defaults=True, frozen=True, gc=False):
    """One thing that a session asks to hear.

    Attributes:
        group: the group.
        level: what of it.
        channel: of which channel; None for `server`, which is of the group.
    """

    group: Id
    level: Level
    channel: Id | None = None


Subscriptions = Annotated[list[Subscription], Meta(min_length=1, max_length=limits.SUBSCRIPTIONS_PER_CALL)]


class Wanted(Struct, omit_defaults=True, frozen=True, gc=False):
    """A subscription inside one group; see `Subscription`."""

    level: Level
    channel: Id | None = None
