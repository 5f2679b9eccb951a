"""What all records have in common: JSON by msgspec, a tag `t`, a schema version `v` (see `versions`), and checked ids.

A record type is one Struct; a topic's records are a tagged union of them. Unknown fields are ignored, so that a field
can be added; a change that old readers would misread raises its family's version.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from topics import limits

#: An id: letters, digits, `_`, `.`, `-`, and `@`; no colon, so that `app:thing` splits in one way only.
ID_PATTERN: Final = r"^[A-Za-z0-9_.@-]+\Z"
Id = Annotated[str, Meta(min_length=1, max_length=limits.ID_CHARS, pattern=ID_PATTERN)]
#: An id in the records that come by the thousand: `codec` checks the letters of all ids of a record at once (a pattern
#: costs 0.4 µs a field, which was half of decoding a send).
FastId = Annotated[str, Meta(min_length=1, max_length=limits.ID_CHARS, extra_json_schema={"pattern": ID_PATTERN})]
#: A number that starts at 0 and never goes back.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
#: A moment: milliseconds since 1970, by the broker's clock unless said otherwise.
Millis = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Wire(Struct, tag_field="t", omit_defaults=True, frozen=True, gc=False):
    """Base of all records."""


class LinkAddress(Struct, omit_defaults=True, frozen=True, gc=False):
    """One registration of a link, and where its deliveries go.

    Attributes:
        link: the link.
        epoch: which registration of it.
        partition: its partition of `deliveries`.
    """

    link: Id
    epoch: Count
    partition: U32


class SessionId(Struct, omit_defaults=True, frozen=True, gc=False):
    """One connection, as everybody names it.

    Attributes:
        link: the link that holds it.
        epoch: that link's registration.
        slot: its number on the link, never used again within the epoch.
    """

    link: Id
    epoch: Count
    slot: U32


class ToSession(Wire, tag="session", frozen=True):
    """Answer to a session: the answer travels among its link's deliveries."""

    link: Id
    epoch: Count
    partition: U32
    slot: U32


class ToRequester(Wire, tag="requester", frozen=True):
    """Answer to a caller without a session: the answer goes to `answers`, keyed by `requester`."""

    requester: Id


ReplyTo = ToSession | ToRequester


def slot_of(reply: ReplyTo | None) -> int | None:
    """The session an answer is for, as the answer names it."""
    return reply.slot if isinstance(reply, ToSession) else None
