"""The roles of one group's life, and who holds them.

EVERYONE is every member's: it has permissions, and neither a list of members nor a place on lists.
"""

from __future__ import annotations

from typing import Final

import msgspec
from pyroaring import BitMap

from tables import keys
from tables.grants import Grant, mask_of
from tables.ordinals import StoredSet
from tables.rows import Rows
from topics.entities import EVERYONE, Role

#: What EVERYONE is until somebody changes it.
DEFAULT: Final = Role(EVERYONE, priority=0, allow=["send", "invite"])

#: Of how many members it is kept in memory which roles they hold; then it is found anew.
_KNOWN_MEMBERS: Final = 4_096
_BYTES_PER_ROLE: Final = 700  # without its members, measured
_BYTES_PER_KNOWN: Final = 120

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Role).decode


class Roles:
    """The roles of a group.

    Attributes:
        infos: what each role is, by its id; EVERYONE among them.
        grants: what each allows and denies.
    """

    def __init__(self, rows: Rows, group: bytes, first: int) -> None:
        self.infos: dict[str, Role] = {EVERYONE: DEFAULT}
        self._rows = rows
        self._group = group
        self._first = first
        prefix = self._key(keys.ROLE)
        for key, row in rows.scan(prefix):
            self.infos[key[len(prefix) :].decode()] = _decode(row)
        self.grants = {role: _grant(info) for role, info in self.infos.items()}
        self._holders: dict[str, StoredSet] = {}
        self._dirty: dict[StoredSet, None] = {}
        self._of: dict[int, tuple[str, ...]] = {}

    def __len__(self) -> int:
        """How many there are, without EVERYONE."""
        return len(self.infos) - 1

    def given(self, role: str) -> bool:
        """Whether there is such a role that members are given: not EVERYONE."""
        return role in self.infos and role != EVERYONE

    def members(self, role: str) -> BitMap:
        """The ordinals of who holds a role; always the same object, to be read, not changed."""
        return self._set(role).bits

    def of(self, ordinal: int) -> tuple[str, ...]:
        """The roles that a member holds, the highest first, without EVERYONE."""
        if (found := self._of.get(ordinal)) is None:
            held = [role for role in self.infos if role != EVERYONE and ordinal in self._set(role)]
            found = tuple(sorted(held, key=lambda role: (-self.infos[role].priority, role)))
            if len(self._of) >= _KNOWN_MEMBERS:
                self._of.clear()
            self._of[ordinal] = found
        return found

    def put(self, info: Role) -> None:
        """A role comes to be, or is another one now."""
        self.infos[info.role] = info
        self.grants[info.role] = _grant(info)
        self._rows.put(self._key(keys.ROLE) + info.role.encode(), _encode(info))
        self._of.clear()

    def delete(self, role: str) -> None:
        """A role ends; nobody holds it."""
        holders = self._set(role)
        holders.drop()
        self._dirty.pop(holders, None)
        self._rows.delete(self._key(keys.ROLE) + role.encode())
        for held in (self.infos, self.grants, self._holders):
            held.pop(role, None)
        self._of.clear()

    def add(self, role: str, ordinals: BitMap) -> BitMap:
        """Members get a role; returns those who had it not."""
        return self._changed(role, self._set(role).add(ordinals))

    def remove(self, role: str, ordinals: BitMap) -> BitMap:
        """Members lose a role; returns those who had it."""
        return self._changed(role, self._set(role).remove(ordinals))

    def forget(self, ordinals: BitMap) -> None:
        """These are members no more."""
        for role in self.infos:
            if role != EVERYONE:
                self.remove(role, ordinals)

    def flush(self) -> None:
        """Write what changed to the rows."""
        for holders in self._dirty:
            holders.flush()
        self._dirty = {}

    @property
    def memory_bytes(self) -> int:
        """About what they take in memory. O(roles)."""
        holders = sum([one.memory_bytes for one in self._holders.values()])
        return _BYTES_PER_ROLE * len(self.infos) + _BYTES_PER_KNOWN * len(self._of) + holders

    def _changed(self, role: str, changed: BitMap) -> BitMap:
        if changed:
            self._dirty[self._set(role)] = None
            if len(changed) > len(self._of):
                self._of.clear()
            else:
                for ordinal in changed:
                    self._of.pop(ordinal, None)
        return changed

    def _set(self, role: str) -> StoredSet:
        if (found := self._holders.get(role)) is None:
            prefix = self._key(keys.HOLDERS) + keys.name(b"", role.encode())
            found = self._holders[role] = StoredSet(self._rows, prefix)
        return found

    def _key(self, prefix: bytes) -> bytes:
        return keys.name(prefix, self._group) + keys.u32(self._first)


def _grant(info: Role) -> Grant:
    return Grant(mask_of(info.allow), mask_of(info.deny))
