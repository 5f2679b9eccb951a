"""The Link map of a group: which sessions listen to it, on which links [S4].

Its version rises with each change set, strictly, and by one for each registration that died: whenever the dead are
dropped, the version says what is left. A member's ordinal may have several sessions on one link. Bindings of dead
registrations are dropped when the group is next touched: a link's death costs nothing for groups that are idle.

Rows: one a link and page of ordinals, pairs of (ordinal, slot). They are keyed by link first, so that all of one link's
bindings are one scan; the group's own row names its links.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

import numpy as np
from pyroaring import BitMap

from tables import keys
from tables.maplog import MapLog
from tables.outbox import Outbox, Outlet
from tables.rows import Rows
from tables.voids import Voids
from topics import limits
from topics.wire import LinkAddress


class Change:
    """What changed for one link since the last notice, in sum.

    What came and went again is not in it. What went and came again is in it as both: its session began anew.
    """

    __slots__ = ("_began",)

    def __init__(self) -> None:
        self._began: dict[bytes, bool | None] = {}  # None: it went, and came again

    def parted(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Pairs of (ordinal, slot): those that listen now and did not, and those that listened and do so no more."""
        bound: list[tuple[int, int]] = []
        unbound: list[tuple[int, int]] = []
        for pair, began in self._began.items():
            if began is not False:
                bound.append(_PAIR.unpack(pair))
            if not began:
                unbound.append(_PAIR.unpack(pair))
        return bound, unbound

    def note(self, pair: bytes, *, began: bool) -> None:
        """A session began or ceased to listen: the opposite of what was noted of it last, if anything was."""
        if began:
            self._began[pair] = None if pair in self._began else True
        elif self._began.get(pair):
            del self._began[pair]
        else:
            self._began[pair] = False


class _Held:
    """One link's bindings: its rows as they are stored, which are all that memory holds of them too.

    A row is some bytes of a million bindings; an object for each of them would be a hundred.
    """

    __slots__ = ("_ordinals", "changed", "changes", "pages", "prefix")

    def __init__(self, prefix: bytes, pages: dict[int, bytes]) -> None:
        self.prefix = prefix
        self.pages = pages
        self.changed: dict[int, None] = {}
        self.changes = 0
        self._ordinals: BitMap | None = None

    @property
    def ordinals(self) -> BitMap:
        """Who has a session here; to be read. Made when first asked for: many groups never ask."""
        if self._ordinals is None:
            numbers = np.frombuffer(b"".join(self.pages.values()), ">u4")
            self._ordinals = BitMap(array("I", numbers[::2].astype(np.uint32).tobytes()))
        return self._ordinals

    def count(self) -> int:
        """How many pairs are held. O(pages)."""
        return sum(map(len, self.pages.values())) // _PAIR.size

    def add(self, page: int, pair: bytes) -> bool:
        """Hold a pair; False if it is held."""
        row = self.pages.get(page, b"")
        if _place(row, pair) >= 0:
            return False
        self.pages[page] = row + pair
        self.changed[page] = None
        if self._ordinals is not None:
            self._ordinals.add(int.from_bytes(pair[:4], "big"))
        return True

    def drop(self, page: int, pair: bytes) -> bool:
        """Hold a pair no more; False if it is not held."""
        row = self.pages.get(page, b"")
        if (at := _place(row, pair)) < 0:
            return False
        if len(row) == _PAIR.size:
            del self.pages[page]
        else:
            self.pages[page] = row[:at] + row[at + _PAIR.size :]
        self.changed[page] = None
        if self._ordinals is not None and _place(self.pages.get(page, b""), pair[:4]) < 0:
            self._ordinals.discard(int.from_bytes(pair[:4], "big"))
        return True


class LinkMap:
    """The bindings of one group by link."""

    def __init__(
        self, rows: Rows, outbox: Outbox, log: MapLog, group: bytes, version: int, links: Sequence[LinkAddress]
    ) -> None:
        self.version = version
        self.outlets: tuple[Outlet, ...] = ()  # with a binding, as of the last `take_changes`
        self._addresses: list[LinkAddress] = []  # theirs
        self._rows = rows
        self._log = log
        self._group = group
        self._held: dict[Outlet, _Held] = {}
        self._changed: dict[Outlet, None] = {}  # in the order of the first change: what follows is the same every time
        self._changes: dict[Outlet, Change] = {}
        self._count = 0
        self._pages = 0
        self._relinks = True  # a link came or went since `outlets` was made
        self._serial = 0  # of the last change; never begins anew, so that a link that comes back is another than it was
        dead: dict[Outlet, None] = {}
        for address in links:
            if (outlet := outbox.outlet(address.link, address.epoch, address.partition)) is not None:
                held = self._held[outlet] = self._load(address)
                self._count += held.count()
                self._pages += len(held.pages)
            else:
                dead[Outlet(address, 0)] = None
        if dead:  # while the group was out of memory
            self._raise(len(dead), dead, len(dead))
        self._relink()

    def __iter__(self) -> Iterator[tuple[Outlet, list[tuple[int, int]]]]:
        """Each link with bindings and its pairs of (ordinal, slot)."""
        return ((outlet, pairs(b"".join(held.pages.values()))) for outlet, held in self._held.items() if held.pages)

    @property
    def addresses(self) -> list[LinkAddress]:
        """The links with bindings, as the group's row names them."""
        if self._relinks:
            return [outlet.address for outlet, held in self._held.items() if held.pages]
        return self._addresses

    def listening(self) -> list[tuple[LinkAddress, int]]:
        """Each link with bindings, as of the last `take_changes`, and how many it has. O(pages)."""
        return [(outlet.address, self._held[outlet].count()) for outlet in self.outlets]

    def ordinals(self, outlet: Outlet) -> BitMap:
        """The ordinals with a session on a link; to be read."""
        held = self._held.get(outlet)
        return BitMap() if held is None else held.ordinals

    def count(self, outlet: Outlet) -> int:
        """How many sessions listen on a link. O(pages)."""
        held = self._held.get(outlet)
        return 0 if held is None else held.count()

    def holds(self, ordinal: int, outlet: Outlet, slot: int) -> bool:
        """Whether a session of a member listens."""
        held = self._held.get(outlet)
        pair = _PAIR.pack(ordinal, slot)
        return held is not None and _place(held.pages.get(ordinal // limits.PAGE_ORDINALS, b""), pair) >= 0

    def slots_of(self, outlet: Outlet, ordinal: int) -> list[int]:
        """The sessions of a member on a link."""
        held = self._held.get(outlet)
        row = b"" if held is None else held.pages.get(ordinal // limits.PAGE_ORDINALS, b"")
        return [slot for at, slot in _PAIR.iter_unpack(row) if at == ordinal] if row else []

    def slots(self, outlet: Outlet) -> BitMap:
        """The sessions on a link. O(sessions there)."""
        held = self._held.get(outlet)
        return BitMap() if held is None else BitMap([slot for _, slot in pairs(b"".join(held.pages.values()))])

    def stamp(self, outlet: Outlet) -> int:
        """Another number whenever other sessions than before listen on a link."""
        held = self._held.get(outlet)
        return -1 if held is None else held.changes

    def slots_with(self, outlet: Outlet, ordinals: BitMap) -> BitMap:
        """The sessions of these members on a link. O(members), but no more than O(sessions there)."""
        held = self._held.get(outlet)
        if held is None:
            return BitMap()
        if len(ordinals) <= _FEW:
            return BitMap([slot for ordinal in ordinals for slot in self.slots_of(outlet, ordinal)])
        numbers = np.frombuffer(b"".join(held.pages.values()), ">u4")
        found = np.isin(numbers[::2], np.asarray(ordinals.to_array(), np.uint32), assume_unique=False)
        return BitMap(array("I", numbers[1::2][found].astype(np.uint32).tobytes()))

    def on_page(self, address: LinkAddress, page: int) -> list[tuple[int, int]]:
        """The pairs of (ordinal, slot) of one page of ordinals on a link."""
        row = next((held.pages.get(page) for outlet, held in self._held.items() if outlet.address == address), None)
        return pairs(row) if row else []

    @property
    def memory_bytes(self) -> int:
        """About what they take in memory. O(1)."""
        return _BYTES_PER_LINK * len(self._held) + _BYTES_PER_PAGE * self._pages + _PAIR.size * self._count

    def bind(self, ordinal: int, outlet: Outlet, slot: int) -> bool:
        """A session of this member listens; False if it did already."""
        held = self._held.get(outlet)
        if held is None:
            held = self._held[outlet] = _Held(self._prefix(outlet.address), {})
        pair, before = _PAIR.pack(ordinal, slot), len(held.pages)
        if not held.add(ordinal // limits.PAGE_ORDINALS, pair):
            return False
        self._note(outlet, held, pair, before, began=True)
        return True

    def unbind(self, ordinal: int, outlet: Outlet, slot: int) -> bool:
        """A session listens no more; False if it did not."""
        held = self._held.get(outlet)
        if held is None:
            return False
        pair, before = _PAIR.pack(ordinal, slot), len(held.pages)
        if not held.drop(ordinal // limits.PAGE_ORDINALS, pair):
            return False
        self._note(outlet, held, pair, before, began=False)
        return True

    def end(self, ordinals: Sequence[int]) -> None:
        """These members are none any more: all their sessions stop listening. O(links x ordinals)."""
        by_page: dict[int, set[int]] = {}
        for ordinal in ordinals:
            by_page.setdefault(ordinal // limits.PAGE_ORDINALS, set()).add(ordinal)
        for outlet, held in self._held.items():
            for page in [page for page in by_page if page in held.pages]:
                for ordinal, slot in pairs(held.pages[page]):
                    if ordinal in by_page[page]:
                        self.unbind(ordinal, outlet, slot)

    def end_all(self) -> None:
        """The group ended."""
        for outlet, bound in list(self):
            for ordinal, slot in bound:
                self.unbind(ordinal, outlet, slot)

    def prune(self, voids: Voids) -> None:
        """Drop the bindings of dead registrations; their rows are swept by the link's own clean-up."""
        dead = [outlet for outlet in self._held if voids.covers(outlet.address.link, outlet.address.epoch)]
        if not dead:
            return
        for outlet in dead:
            held = self._held.pop(outlet)
            self._count -= held.count()
            self._pages -= len(held.pages)
            self._changes.pop(outlet, None)
            self._changed.pop(outlet, None)
        self._raise(len(dead), dict.fromkeys(dead), len(dead))
        self._relinks = True
        self._relink()

    def take_changes(self) -> dict[Outlet, Change]:
        """What changed by link since the last call; the version rises if anything did, in sum."""
        changes = {outlet: change for outlet, change in self._changes.items() if _pairs_of(change)}
        self._changes = {}
        if changes:
            self._raise(1, changes, sum(map(len, map(_pairs_of, changes.values()))))
            self._relink()
        return changes

    def flush(self) -> None:
        """Write the changed rows."""
        for outlet in self._changed:
            held = self._held[outlet]
            for page in held.changed:
                self._rows.set(held.prefix + keys.u32(page), held.pages.get(page))
            held.changed.clear()
            if not held.pages:
                del self._held[outlet]
        self._changed.clear()

    def _raise(self, by: int, changes: Mapping[Outlet, Change | None], pairs: int) -> None:
        before, self.version = self.version, self.version + by
        self._log.note(self._group, before, self.version, changes, len(changes) + pairs)

    def _note(self, outlet: Outlet, held: _Held, pair: bytes, before: int, *, began: bool) -> None:
        """A session began or ceased to listen on a link, which had so many rows before."""
        now = len(held.pages)
        self._serial += 1
        held.changes = self._serial
        self._changed[outlet] = None
        self._count += 1 if began else -1
        self._pages += now - before
        self._relinks |= not before or not now
        change = self._changes.get(outlet)
        if change is None:
            change = self._changes[outlet] = Change()
        change.note(pair, began=began)

    def _relink(self) -> None:
        if self._relinks:
            self._relinks = False
            self.outlets = tuple([outlet for outlet, held in self._held.items() if held.pages])
            self._addresses = [outlet.address for outlet in self.outlets]

    def _load(self, address: LinkAddress) -> _Held:
        prefix = self._prefix(address)
        start = len(prefix)
        return _Held(prefix, {int.from_bytes(key[start:], "big"): row for key, row in self._rows.scan(prefix)})

    def _prefix(self, address: LinkAddress) -> bytes:
        return binding_prefix(address.link, address.epoch) + keys.name(b"", self._group)


_PAIR = struct.Struct(">II")
_FEW = 64  # members whose sessions are looked up one by one
_pairs_of = attrgetter("_began")  # of a change: counted without a call of Python's for each link
# What things take in memory beside the pairs, measured.
_BYTES_PER_LINK = 480
_BYTES_PER_PAGE = 100


def _place(row: bytes, begin: bytes) -> int:
    """Where in a row a pair stands that begins like this; -1 if none does."""
    at = row.find(begin)
    while at % _PAIR.size and at > 0:  # the end of one pair and the beginning of the next look like it
        at = row.find(begin, at + 1)
    return at


def binding_prefix(link: str, epoch: int) -> bytes:
    """What the keys of all bindings of a registration begin with."""
    return keys.name(keys.BINDING, link.encode()) + keys.u64(epoch)


def pairs(row: bytes) -> list[tuple[int, int]]:
    """The (ordinal, slot) pairs in a binding row."""
    return list(_PAIR.iter_unpack(row))
