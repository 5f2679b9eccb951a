"""Where the next page begins, in a form that nobody but us reads.

A cursor is good for the list that gave it, and holds a place in it, nothing that opens anything: who may see the list
is asked anew with each page. What is no cursor of this list is refused.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, TypeVar
from zlib import crc32

import msgspec

from streams.web.problems import ProblemError
from topics import limits

P = TypeVar("P", int, str)

_encode: Final = msgspec.msgpack.Encoder().encode


def cursor_for(of: str, place: int | str) -> str:
    """The cursor of a place in the list `of`."""
    packed = _encode((crc32(of.encode()), place))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def place_of(cursor: str | None, of: str, kind: type[P]) -> P | None:
    """The place that a cursor of the list `of` names; None without one.

    Raises:
        ProblemError: bad_cursor.
    """
    if cursor is None:
        return None
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        list_, place = msgspec.msgpack.decode(packed, type=tuple[int, kind])  # type: ignore[valid-type]
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise ProblemError("bad_cursor") from None
    # What decodes to the same place is not the same cursor: only what we gave out is taken.
    if list_ != crc32(of.encode()) or len(cursor) > limits.CURSOR_CHARS or cursor_for(of, place) != cursor:
        raise ProblemError("bad_cursor")
    return place
