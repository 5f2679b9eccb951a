"""Long clean-ups, worked off in steps between which messages go on. Each is a row: a take-over goes on with it."""

from __future__ import annotations

import msgspec

from tables import keys
from tables.rows import Rows


class Disband(msgspec.Struct, tag="disband", frozen=True):
    """A group ended: tell the users role of its members, page by page, and remove their rows; then those of its parts.

    Attributes:
        app: the group's app.
        group: the group.
        version: the version at which it ended.
        first: the next ordinal to work off.
        end: the first ordinal that is none of it.
        life: the first ordinal of the life that ended; -1: it had no parts.
        part: where the removal of parts goes on; empty: it has not begun.
    """

    app: str
    group: str
    version: int
    first: int
    end: int
    life: int = -1
    part: bytes = b""


class Sweep(msgspec.Struct, tag="sweep", frozen=True):
    """Registrations of a link up to an epoch died: remove the rows of their bindings."""

    link: str
    epoch: int


Chore = Disband | Sweep

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Chore).decode


class Chores:
    """The clean-ups of one partition that are not done yet, in the order they came up."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        found = list(rows.scan(keys.CHORE))
        self._chores: dict[int, Chore] = {int.from_bytes(key[1:], "big"): _decode(value) for key, value in found}

    def __bool__(self) -> bool:
        """Whether any is left."""
        return bool(self._chores)

    def concern(self, app: str, group: str) -> bool:
        """Whether any is about this group."""
        return any(
            not isinstance(chore, Sweep) and (chore.app, chore.group) == (app, group) for chore in self._chores.values()
        )

    def add(self, chore: Chore) -> None:
        """Another one came up."""
        self._set(max(self._chores, default=-1) + 1, chore)

    def next(self) -> Chore:
        """The one to work at now."""
        return self._chores[min(self._chores)]

    def worked(self, left: Chore | None) -> None:
        """What is left of the one worked at; None if it is done."""
        number = min(self._chores)
        if left is not None:
            self._set(number, left)
            return
        del self._chores[number]
        self._rows.delete(keys.CHORE + keys.u64(number))

    def _set(self, number: int, chore: Chore) -> None:
        self._chores[number] = chore
        self._rows.put(keys.CHORE + keys.u64(number), _encode(chore))
