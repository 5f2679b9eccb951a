"""`notices`: what the groups role has to say to persons, keyed in lots by users partition.

Participants of a change are told, online or later: the users role puts the notice into each user's inbox, under the
user's next notice version, and tells the sessions that the user has now. A notice says what changed; the client pulls.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from topics.versions import FIRST, NoticesVersion
from topics.wire import U32, Count, Id, Millis, Wire

NoticeKind = Literal[
    "invited",
    "invite_ended",
    "applied",
    "application_ended",
    "joined",
    "removed",
    "banned",
    "unbanned",
    "muted",
    "profile_changed",
    "group_created",
    "group_changed",
    "group_deleted",
    "owner_changed",
    "channel_created",
    "channel_changed",
    "channel_deleted",
    "category_changed",
    "list_changed",
    "role_changed",
    "roles_given",
    "roles_taken",
]


class Notice(Wire, tag="notice", frozen=True):
    """Something happened that these users took part in.

    Attributes:
        app: the group's app.
        users: who is to be told.
        group: the group.
        version: the group's version that made it so.
        at: when.
        kind: what happened.
        by: who did it; None: the app's back end, or time.
        about: the user whom it happened to, where that is another one.
        subject: what it happened to or by: a channel, category, role, invite, application.
        end: how an invite or application ended; why a member was removed; empty else.
    """

    app: Id
    users: list[Id]
    group: Id
    version: Count
    at: Millis
    kind: NoticeKind
    by: Id | None = None
    about: Id | None = None
    subject: Id | None = None
    end: str = ""


class PersonLot(Struct, tag_field="t", tag="persons", omit_defaults=True, frozen=True, gc=False):
    """A record of `notices`: what one batch of a groups partition has for the users of a users partition."""

    entries: list[Notice]
    v: NoticesVersion = FIRST


class Kept(Struct, omit_defaults=True, frozen=True, gc=False):
    """A notice in a user's inbox. Of one group and kind, those close together are one.

    Attributes:
        number: the user's notice version: rises with each; a reader asks for those after the one it knows.
        group: the group.
        version: the group's version of the newest that it stands for.
        at: when that was.
        kind: what happened.
        count: how many it stands for.
        by: who did it.
        about: the user whom it happened to, where that is another one.
        subject: what it happened to or by.
        end: how it ended.
    """

    number: Count
    group: Id
    version: Count
    at: Millis
    kind: NoticeKind
    count: Count = 1
    by: Id | None = None
    about: Id | None = None
    subject: Id | None = None
    end: str = ""


class NoticeOut(Struct, omit_defaults=True, frozen=True, gc=False):
    """One notice for sessions of one user on one link.

    Attributes:
        app: the user's app.
        user: whose inbox it is in.
        slots: the user's sessions on this link.
        notice: it.
    """

    app: Id
    user: Id
    slots: list[U32]
    notice: Kept
