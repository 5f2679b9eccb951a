"""Which version the rows of a partition are in, and how older ones are brought to the one that is known here.

One row says it, written with the first change of an empty partition. Older rows are brought up by one step a version,
each a bounded number of rows at a time and each time committed like any other change, so that a crash on the way loses
nothing. Rows that are newer than what is known here are not touched: who knows less must not serve them, and from the
first piece of a step on they count as the newer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tables import keys
from tables.rows import Rows

#: The version of rows from before there was a row that says it.
FIRST: Final = 1

#: Brings the next rows after a key one version up; gives the last key it is done with, or None when no row is left.
Step = Callable[[Rows, bytes], bytes | None]


class NewerStateError(Exception):
    """The rows are of a version that is not known here."""


class Stamp(msgspec.Struct, frozen=True):
    """What the row says.

    Attributes:
        version: the version of the rows.
        after: rows up to this key are brought to it, the others are one version older; None: all are.
    """

    version: int
    after: bytes | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Stamp).decode


@dataclass(frozen=True)
class StateVersion:
    """The version that rows of a kind have here.

    Attributes:
        newest: it; raised when workers of the release before would misread the rows.
        steps: version -> the step from the one before to it, for each version after FIRST.
        latest: the latest that is known here; where it is above `newest`, rows are of it from the first on that workers
            of the release before would misread, and need no step: until then one may go back to that release.
    """

    newest: int = FIRST
    steps: Mapping[int, Step] = field(default_factory=dict)
    latest: int = FIRST

    def stamp(self, rows: Rows) -> None:
        """Say the version of rows that are up to it, with the next change, if nothing says it yet."""
        if rows.get(keys.STAMP) is None:
            rows.put(keys.STAMP, _encode(Stamp(self.newest)))

    def mark(self, rows: Rows) -> None:
        """Say, with the next change, that the rows are of the latest version."""
        if _stamp_of(rows, self.newest).version < self.latest:
            rows.put(keys.STAMP, _encode(Stamp(self.latest)))

    def bring_up(self, rows: Rows) -> str | None:
        """Do the next piece of work on older rows: to be called until it says None, with a commit after each.

        Returns:
            What was worked at, in words; None when all rows are of the newest version.

        Raises:
            NewerStateError: they are of a later one.
        """
        stamp = _stamp_of(rows, self.newest)
        known = max(self.newest, self.latest)
        if stamp.version > known:
            raise NewerStateError(f"state of version {stamp.version}, this worker knows {known}: upgrade this worker")
        if stamp.after is None:
            if stamp.version >= self.newest:
                return None
            stamp = Stamp(stamp.version + 1, b"")
        after = self.steps[stamp.version](rows, stamp.after or b"")
        rows.put(keys.STAMP, _encode(Stamp(stamp.version, after)))
        return f"brings rows from version {stamp.version - 1} to {stamp.version}"


def _stamp_of(rows: Rows, newest: int) -> Stamp:
    if (said := rows.get(keys.STAMP)) is not None:
        return _decode(said)
    return Stamp(newest if next(rows.scan(b""), None) is None else FIRST)


#: 2: servers and rooms, roles, mutes, bans, requests, owners.
GROUPS: Final = StateVersion(latest=2)
#: 2: sessions with a platform, in the background, lost, or that asked to hear something.
USERS: Final = StateVersion(latest=2)
LINKS: Final = StateVersion()
