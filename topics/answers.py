"""Answers to whoever sent a record: in its link's deliveries with a session's `slot`, or on `answers` by requester."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from topics.versions import FIRST, AnswersVersion
from topics.wire import U32, Count, Id, Millis, Wire

Code = Literal[
    "unknown_group",
    "group_exists",
    "unknown_channel",
    "not_a_member",
    "message_too_large",
    "expired",
    "throttled",
    "clock_ahead",
    "overloaded",
    "direct_needs_two",
    "direct_is_fixed",
    "no_free_partition",
    "bad_command",
    "wrong_kind",
    "version_changed",
    "not_permitted",
    "limit_reached",
    "unknown_member",
    "unknown_category",
    "unknown_role",
    "unknown_request",
    "unknown_code",
    "exists_already",
    "banned",
    "owner_stays",
    "everyone_stays",
    "not_visible",
    "muted",
    "wrong_level",
    "unknown_session",
]

#: What a code means and what to do: also the table in the docs.
CODES: Final[dict[Code, str]] = {
    "unknown_group": "No such group in this app. Create it first.",
    "group_exists": "A group with this id lives already. Use it, or choose another id.",
    "unknown_channel": "The group has no such channel.",
    "not_a_member": "The sender is not a member of the group.",
    "message_too_large": "The body is larger than `limit` bytes. Send a reference instead.",
    "expired": "The first try is too old to tell a resend from a new send. Send it as a new message.",
    "throttled": "Too many sends of this device inside the dedupe window. Wait, then resend with the same client_id.",
    "clock_ahead": "`tried_at` lies too far ahead of the broker's clock. Set the clock.",
    "overloaded": "More comes in than can be delivered in time. Wait a moment, then resend with the same client_id.",
    "direct_needs_two": "A direct group has exactly two users, given when it is created.",
    "direct_is_fixed": "The users of a direct group do not change.",
    "no_free_partition": "Every partition of `deliveries` has a living link. Stop one, or run a larger cluster.",
    "bad_command": "The command contradicts itself, an earlier part of its change set, or the clock: see its fields.",
    "wrong_kind": "Groups of this kind have no such thing: channels, categories and lists are a server's.",
    "version_changed": "The group's version is not the expected one. Read what changed, then decide again.",
    "not_permitted": "The user who asks may not do that.",
    "limit_reached": "There are `limit` of these already. Delete some, or let the app's policy allow more.",
    "unknown_member": "The user that the command is about is not a member of the group.",
    "unknown_category": "The group has no such category.",
    "unknown_role": "The group has no such role.",
    "unknown_request": "No such invite or application is open.",
    "unknown_code": "No such invite code, or it is used up or expired.",
    "exists_already": "One with this id is there already. Use it, or choose another id.",
    "banned": "The user is banned from the group.",
    "owner_stays": "The owner cannot leave, be removed, muted or banned. Transfer the ownership first.",
    "everyone_stays": "The role `everyone` is every member's: it can be changed, not deleted or given.",
    "not_visible": "The sender does not see this channel.",
    "muted": "The sender, the channel or the group is muted until `limit`.",
    "wrong_level": "This level goes without a channel, needs one, or is not for who is no member.",
    "unknown_session": "No such session of the user lives. Bring it up first.",
}


class Accepted(Wire, tag="accepted", frozen=True):
    """A send was accepted; a resend gets the same answer with `again`.

    Attributes:
        app: the group's app.
        group: the group.
        channel: the channel.
        client_id: the send it answers.
        seq: the message's number.
        at: when the (first) send was appended.
        again: it was accepted before.
        slot: the session it is for; None on `answers`.
    """

    app: Id
    group: Id
    channel: Id
    client_id: Id
    seq: Count
    at: Millis
    again: bool = False
    slot: U32 | None = None


class Refused(Wire, tag="refused", frozen=True):
    """A send or a command was refused and changed nothing.

    Attributes:
        code: why; see CODES.
        app: the group's app; None where no group was named.
        group: the group.
        client_id: the send it answers, if it was one.
        request: the command it answers, if it named one.
        limit: the limit that was passed, where there is one.
        slot: the session it is for; None on `answers`.
    """

    code: Code
    app: Id | None = None
    group: Id | None = None
    client_id: Id | None = None
    request: Id | None = None
    limit: Count | None = None
    slot: U32 | None = None


class Applied(Wire, tag="applied", frozen=True):
    """A command was applied.

    Attributes:
        app: the group's app.
        group: the group.
        version: the group's version now.
        changed: users it changed; 0 with an unchanged version: it was so already.
        request: the command it answers.
        slot: the session it is for; None on `answers`.
    """

    app: Id
    group: Id
    version: Count
    changed: Count
    request: Id | None = None
    slot: U32 | None = None


class Done(Wire, tag="done", frozen=True):
    """What was asked of a user's sessions or status was done.

    Attributes:
        app: the user's app.
        user: the user.
        changed: how many sessions ended; 1 for a new status; 0: it was so already.
        request: the call it answers.
        slot: the session it is for; None on `answers`.
    """

    app: Id
    user: Id
    changed: Count
    request: Id | None = None
    slot: U32 | None = None


class Registered(Wire, tag="registered", frozen=True):
    """A link is registered.

    Attributes:
        link: the link.
        epoch: its registration.
        partition: the partition of `deliveries` that its gateway alone reads, from its end.
        partitions: how many partitions the pipeline's topics have.
    """

    link: Id
    epoch: Count
    partition: U32
    partitions: U32


Answer = Accepted | Refused | Applied | Done | Registered


class AnswerTo(Struct, omit_defaults=True, frozen=True, gc=False):
    """One answer of a lot and who it is for."""

    requester: Id
    answer: Answer


class AnswerLot(Wire, tag="answers", frozen=True):
    """A record of `answers`: those of one batch whose requesters' keys fall on one partition."""

    entries: list[AnswerTo]
    v: AnswersVersion = FIRST
