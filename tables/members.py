"""Who is a member of a group, under which ordinal.

Ordinals are dense: 0, 1, 2, ... in the order of joining, never used again while the group lives. Rows are pages of
PAGE_ORDINALS names plus small rows for what changed since: one edit doesn't rewrite a page, and a million members are
some thousand rows. In memory a member takes some 12 bytes more than the name: a sorted array of hashes beside one
of ordinals, found by bisection; a hash is checked against the name on its page, so a collision can't admit a stranger.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress, groupby
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from tables import keys
from tables.rows import Rows
from topics import limits

_SEPARATOR: Final = b"\n"
_FOLD_AT_LEAST: Final = 256
_MANY: Final = 64  # from so many on, names are found together
# What things take in memory, measured: a page beside its names, a member in the arrays, one not sorted into them yet.
_BYTES_PER_PAGE: Final = 140
_BYTES_PER_SORTED: Final = 12
_BYTES_PER_RECENT: Final = 140


#: 64 bits, others in each process: nobody can choose names that collide. Hashes are never stored.
_hash: Final[Callable[[bytes], int]] = hash


def _names(page: int, value: bytes) -> Iterator[tuple[int, bytes]]:
    """(ordinal, name) of a page's row: each name on a line, after a first empty one; the name of nobody is empty."""
    return enumerate(value.split(_SEPARATOR)[1:-1], page * limits.PAGE_ORDINALS)


def _as_numpy(hashes: array[int], ordinals: array[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    return np.frombuffer(hashes.tobytes(), np.int64), np.frombuffer(ordinals.tobytes(), np.uint32)


def _hashes_of(names: Iterable[bytes]) -> npt.NDArray[np.int64]:
    return np.fromiter(map(_hash, names), np.int64)


class Members:
    """The members of one group.

    `next` is the ordinal that the next member gets; ordinals below `first` belong to earlier lives of the group and are
    not looked at.
    """

    def __init__(self, rows: Rows, group: bytes, first: int, next_: int) -> None:
        self.next = next_
        self.bits = BitMap()  #: the ordinals of all; to be read, not changed
        self._rows = rows
        self._group = group
        self._first = first
        self._pages: dict[int, bytes] = {}
        self._deltas: dict[int, set[int]] = {}
        self._dirty: set[int] = set()
        self._hashes: array[int] = array("q")
        self._ordinals: array[int] = array("I")
        self._recent: dict[bytes, int] = {}  # added since the arrays were sorted
        self._gone: set[bytes] = set()  # in the arrays, but members no more
        self._twins: dict[bytes, int] = {}  # whose hash another member has
        self.count = 0
        self._name_bytes = 0
        self._load()

    def __len__(self) -> int:
        """How many there are."""
        return self.count

    @property
    def memory_bytes(self) -> int:
        """About what they take in memory. O(1)."""
        recent = _BYTES_PER_RECENT * (len(self._recent) + len(self._gone))
        return self._name_bytes + _BYTES_PER_PAGE * len(self._pages) + _BYTES_PER_SORTED * len(self._hashes) + recent

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Every (ordinal, user), by ordinal."""
        for page in sorted(self._pages):
            for ordinal, name in self._names(page):
                yield ordinal, name.decode()

    def ordinal_of(self, user: str) -> int | None:
        """The user's ordinal, or None for who is no member. O(log n)."""
        return self._find(user.encode())

    def holds(self, user: str, ordinal: int) -> bool:
        """Whether the user is the member of this ordinal: one look at its page, cheaper than to find the ordinal."""
        page = self._pages.get(ordinal // limits.PAGE_ORDINALS, b"")
        at = page.find(_SEPARATOR + user.encode() + _SEPARATOR) if user else -1
        return at >= 0 and page.count(_SEPARATOR, 0, at) == ordinal % limits.PAGE_ORDINALS

    def named(self, users: Iterable[str]) -> list[tuple[str, int]]:
        """Those of these users who are members, once each, with their ordinals; many at once faster than each alone."""
        asked = list(dict.fromkeys(users))
        if len(asked) < _MANY or not self._hashes:
            found = [(user, self.ordinal_of(user)) for user in asked]
            return [(user, ordinal) for user, ordinal in found if ordinal is not None]
        names = [user.encode() for user in asked]
        wanted = _hashes_of(names)
        hashes, ordinals = np.frombuffer(self._hashes, np.int64), np.frombuffer(self._ordinals, np.uint32)
        at = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
        sorted_in = np.where(hashes[at] == wanted, ordinals[at].astype(np.int64), -1).tolist()
        return [
            (user, ordinal)
            for user, name, one in zip(asked, names, sorted_in, strict=True)
            if (ordinal := self._checked(name, one)) is not None
        ]

    def users_from(self, ordinal: int, count: int) -> list[tuple[int, str]]:
        """Up to `count` (ordinal, user) from `ordinal` on."""
        found: list[tuple[int, str]] = []
        for page in range(ordinal // limits.PAGE_ORDINALS, -(-self.next // limits.PAGE_ORDINALS)):
            for at, name in self._names(page):
                if at >= ordinal:
                    found.append((at, name.decode()))
            if len(found) >= count:
                break
        return found[:count]

    def on_page(self, page: int) -> list[tuple[int, str]]:
        """(ordinal, user) of those on one page of ordinals."""
        return [(ordinal, name.decode()) for ordinal, name in self._names(page)]

    def users_at(self, ordinals: Iterable[int]) -> list[str]:
        """The names of members, in the order of the ordinals. A page is split once for those next to each other."""
        found: list[str] = []
        for page, of_page in groupby(ordinals, lambda ordinal: ordinal // limits.PAGE_ORDINALS):
            names = self._pages[page].split(_SEPARATOR)
            found += [names[1 + ordinal % limits.PAGE_ORDINALS].decode() for ordinal in of_page]
        return found

    def add(self, users: Iterable[str]) -> list[tuple[str, int]]:
        """Make members of users who are none yet; returns these with their ordinals."""
        added: list[tuple[str, int]] = []
        asked = dict.fromkeys(users)
        known = dict(self.named(asked))
        for user in asked:
            if user in known:
                continue
            name = user.encode()
            ordinal, self.next = self.next, self.next + 1
            page = ordinal // limits.PAGE_ORDINALS
            self._pages[page] = self._pages.get(page, _SEPARATOR) + name + _SEPARATOR
            self._name_bytes += len(name) + 1
            self._dirty.add(ordinal)
            self._recent[name] = ordinal
            self.bits.add(ordinal)
            added.append((user, ordinal))
        self.count += len(added)
        self._fold_if_due()
        return added

    def remove(self, users: Iterable[str]) -> list[tuple[str, int]]:
        """Drop users who are members; returns these with the ordinals they had."""
        removed: dict[int, str] = {}
        for user, ordinal in self.named(users):  # once each: the pages are blanked at the end
            name = user.encode()
            if self._recent.pop(name, None) is None and self._twins.pop(name, None) is None:
                self._gone.add(name)
            removed[ordinal] = user
            self.bits.discard(ordinal)
        by_page: dict[int, list[int]] = {}
        for ordinal in removed:
            by_page.setdefault(ordinal // limits.PAGE_ORDINALS, []).append(ordinal)
        for page, ordinals in by_page.items():
            self._blank(page, ordinals)
        self._dirty.update(removed)
        self.count -= len(removed)
        self._fold_if_due()
        return [(user, ordinal) for ordinal, user in removed.items()]

    def flush(self) -> None:
        """Write what changed to the rows: single members, or whole pages where many changed."""
        by_page: dict[int, set[int]] = {}
        for ordinal in self._dirty:
            by_page.setdefault(ordinal // limits.PAGE_ORDINALS, set()).add(ordinal)
        self._dirty.clear()
        for page, changed in by_page.items():
            deltas = self._deltas.get(page, set())
            if len(deltas | changed) > limits.PAGE_DELTAS:
                self._rows.put(self._page_key(page), self._pages[page])
                for ordinal in deltas:
                    self._rows.delete(self._delta_key(ordinal))
                self._deltas.pop(page, None)
                continue
            names = dict(self._names(page))
            for ordinal in changed:
                self._rows.put(self._delta_key(ordinal), names.get(ordinal, b""))
            self._deltas[page] = deltas | changed

    @staticmethod
    def take_pages(rows: Rows, group: bytes, first: int, end: int) -> list[tuple[int, str]]:
        """Remove the rows of ordinals from `first` to before `end`, whole pages; returns the (ordinal, user) held."""
        found: dict[int, bytes] = {}
        for page in range(first // limits.PAGE_ORDINALS, -(-end // limits.PAGE_ORDINALS)):
            key = keys.name(keys.PAGE, group) + keys.u32(page)
            if (value := rows.get(key)) is not None:
                found.update(_names(page, value))
                rows.delete(key)
            start = page * limits.PAGE_ORDINALS
            for ordinal in range(start, start + limits.PAGE_ORDINALS):
                key = keys.name(keys.DELTA, group) + keys.u32(ordinal)
                if (name := rows.get(key)) is not None:
                    found[ordinal] = name
                    rows.delete(key)
        return [(ordinal, name.decode()) for ordinal, name in sorted(found.items()) if name and first <= ordinal < end]

    def _find(self, name: bytes) -> int | None:
        wanted = _hash(name)
        at = bisect_left(self._hashes, wanted)
        there = at < len(self._hashes) and self._hashes[at] == wanted
        return self._checked(name, self._ordinals[at] if there else -1)

    def _checked(self, name: bytes, sorted_in: int) -> int | None:
        """A member's ordinal, given the one that is sorted in under the name's hash; -1: none is."""
        if (ordinal := self._recent.get(name, self._twins.get(name))) is not None:
            return ordinal
        if sorted_in < 0 or name in self._gone:
            return None
        page = self._pages[sorted_in // limits.PAGE_ORDINALS]
        return sorted_in if _SEPARATOR + name + _SEPARATOR in page else None

    def _names(self, page: int) -> Iterator[tuple[int, bytes]]:
        """(ordinal, name) of those on a page who are members."""
        return ((ordinal, name) for ordinal, name in _names(page, self._pages.get(page, b"")) if name)

    def _blank(self, page: int, ordinals: Sequence[int]) -> None:
        names = self._pages[page].split(_SEPARATOR)
        for ordinal in ordinals:
            names[1 + ordinal % limits.PAGE_ORDINALS] = b""
        self._pages[page] = _SEPARATOR.join(names)

    def _fold_if_due(self) -> None:
        """Sort the recent changes into the arrays once they are an eighth of them: amortized O(1) a change."""
        if len(self._recent) + len(self._gone) > max(_FOLD_AT_LEAST, len(self._hashes) // 8):
            gone = _hashes_of(self._gone)
            hashes, ordinals = _as_numpy(self._hashes, self._ordinals)
            kept = ~np.isin(hashes, gone)
            self._sort(
                np.concatenate([hashes[kept], _hashes_of(self._recent)]),
                np.concatenate([ordinals[kept], np.fromiter(self._recent.values(), np.uint32)]),
            )

    def _load(self) -> None:
        first_page = self._first // limits.PAGE_ORDINALS
        page_prefix = keys.name(keys.PAGE, self._group)
        for key, value in self._rows.scan(page_prefix):
            if (page := int.from_bytes(key[len(page_prefix) :], "big")) >= first_page:
                self._pages[page] = value
        delta_prefix = keys.name(keys.DELTA, self._group)
        changed: dict[int, dict[int, bytes]] = {}
        for key, value in self._rows.scan(delta_prefix):
            if (ordinal := int.from_bytes(key[len(delta_prefix) :], "big")) >= self._first:
                changed.setdefault(ordinal // limits.PAGE_ORDINALS, {})[ordinal] = value
        for page, names_by_ordinal in changed.items():
            self._deltas[page] = set(names_by_ordinal)
            names = self._pages.get(page, _SEPARATOR).split(_SEPARATOR)[1:-1]
            for ordinal, name in sorted(names_by_ordinal.items()):
                at = ordinal % limits.PAGE_ORDINALS
                names.extend([b""] * (at + 1 - len(names)))
                names[at] = name
            self._pages[page] = _SEPARATOR + b"".join(name + _SEPARATOR for name in names)
        hashes, ordinals = array("q"), array("I")
        for page, value in self._pages.items():
            names = value.split(_SEPARATOR)[1:-1]
            start = page * limits.PAGE_ORDINALS
            hashes.extend(map(_hash, filter(None, names)))
            ordinals.extend(compress(range(start, start + len(names)), names))
        self.bits = BitMap(ordinals)
        self._sort(*_as_numpy(hashes, ordinals))
        self.count = len(ordinals)
        self._name_bytes = sum(map(len, self._pages.values())) - len(self._pages)

    def _sort(self, hashes: npt.NDArray[np.int64], ordinals: npt.NDArray[np.uint32]) -> None:
        """Make the arrays of these; of two names with one hash the later is kept aside, as are earlier such twins."""
        order = np.argsort(hashes, kind="stable")
        hashes, ordinals = hashes[order], ordinals[order]
        same = np.zeros(len(hashes), dtype=bool)
        same[1:] = hashes[1:] == hashes[:-1]
        self._twins |= {self._name_at(int(ordinal)): int(ordinal) for ordinal in ordinals[same]}
        self._hashes = array("q", hashes[~same].tobytes())
        self._ordinals = array("I", ordinals[~same].tobytes())
        self._recent, self._gone = {}, set()

    def _name_at(self, ordinal: int) -> bytes:
        page = self._pages[ordinal // limits.PAGE_ORDINALS]
        return page.split(_SEPARATOR)[1 + ordinal % limits.PAGE_ORDINALS]

    def _page_key(self, page: int) -> bytes:
        return keys.name(keys.PAGE, self._group) + keys.u32(page)

    def _delta_key(self, ordinal: int) -> bytes:
        return keys.name(keys.DELTA, self._group) + keys.u32(ordinal)
