"""What members are in a group: the cold half of a member, read when it is asked for and never as a whole.

Only members that have a nick, a picture or the like have a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from tables import keys
from tables.parts import PartRows
from tables.rows import Rows
from topics.entities import MemberProfile

#: Of a member that has none.
NOBODY: Final = MemberProfile()

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(MemberProfile).decode


class Profiles:
    """The profiles of the members of one group's life; without their mutes, which are a noun of their own."""

    def __init__(self, rows: Rows, group: bytes, first: int) -> None:
        self._rows = PartRows(rows, keys.PROFILE, group, first)

    def __len__(self) -> int:
        """How many members have one."""
        return len(self._rows)

    def of(self, ordinal: int) -> MemberProfile:
        """A member's profile."""
        stored = self._rows.get(keys.u32(ordinal))
        return _decode(stored) if stored is not None else NOBODY

    def scan(self, after: int | None = None) -> Iterator[tuple[int, MemberProfile]]:
        """Every (ordinal, profile) of those who have one, by ordinal, after that one."""
        for key, value in self._rows.scan(after=b"" if after is None else keys.u32(after)):
            yield int.from_bytes(key, "big"), _decode(value)

    def set(self, ordinal: int, profile: MemberProfile) -> None:
        """A member has this profile from here on."""
        if profile == NOBODY:
            self._rows.delete(keys.u32(ordinal))
        else:
            self._rows.put(keys.u32(ordinal), _encode(profile))

    def forget(self, ordinals: Iterable[int]) -> None:
        """These are members no more. One look a member, none where nobody has a profile."""
        for ordinal in ordinals:
            if not self._rows:
                return
            self._rows.delete(keys.u32(ordinal))
