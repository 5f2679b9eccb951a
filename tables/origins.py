"""Since when, how and by whom members of a group are such.

Ordinals rise with each joining, so those who came together stand together: a row a page of ordinals holds its runs, and
an import in lots is one row a page, not one a member. Rows of those who left stay until the group ends: an ordinal is
never given again.
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from tables import keys
from tables.rows import Rows
from topics import limits
from topics.events import How


class Origin(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a run of members came to be such.

    Attributes:
        first: the ordinal of the first of them.
        at: when.
        how: how.
        by: who added, invited or approved them, or made the code; None: the app's back end, or nobody.
    """

    first: int
    at: int
    how: How
    by: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Origin]).decode


class Origins:
    """The origins of the members of one group's life."""

    def __init__(self, rows: Rows, group: bytes, first: int) -> None:
        self._rows = rows
        self._base = keys.name(keys.ORIGIN, group) + keys.u32(first)
        self._dirty: dict[int, list[Origin]] = {}

    def add(self, first: int, count: int, at: int, how: How, by: str | None) -> None:
        """`count` members from the ordinal `first` on, higher than all before, are such since now."""
        end = first + count
        while first < end:
            page = first // limits.PAGE_ORDINALS
            runs = self._dirty.setdefault(page, self._page(page))
            if not runs or (runs[-1].at, runs[-1].how, runs[-1].by) != (at, how, by):
                runs.append(Origin(first, at, how, by))
            first = (page + 1) * limits.PAGE_ORDINALS

    def of(self, ordinal: int) -> Origin | None:
        """How the member under this ordinal came to be such; `first` is that of its run on the page."""
        runs = self._page(ordinal // limits.PAGE_ORDINALS)
        at = bisect_right(runs, ordinal, key=lambda run: run.first)
        return runs[at - 1] if at else None

    def flush(self) -> None:
        """Write what changed to the rows."""
        for page, runs in self._dirty.items():
            self._rows.put(self._base + keys.u32(page), _encode(runs))
        self._dirty = {}

    def _page(self, page: int) -> list[Origin]:
        if (runs := self._dirty.get(page)) is not None:
            return runs
        stored = self._rows.get(self._base + keys.u32(page))
        return _decode(stored) if stored else []
