"""The Link map of a group: which sessions listen to it, on which links [S4].

Its version rises with each change set, strictly. A member's ordinal may have several sessions on one link. Bindings of
dead registrations are dropped when the group is next touched: a link's death costs nothing for groups that are idle.

Rows: one a link and page of ordinals, pairs of (ordinal, slot). They are keyed by link first, so that all of one link's
bindings are one scan; the group's own row names its links.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tables import keys
from tables.outbox import Outbox, Outlet
from tables.rows import Rows
from tables.voids import Voids
from topics import limits
from topics.wire import LinkAddress


class Change:
    """What changed for one link since the last notice, in sum: what came and went again is not in it."""

    def __init__(self) -> None:
        self._began: dict[tuple[int, int], bool] = {}

    @property
    def bound(self) -> list[tuple[int, int]]:
        """Pairs of (ordinal, slot) that listen now and did not."""
        return [pair for pair, began in self._began.items() if began]

    @property
    def unbound(self) -> list[tuple[int, int]]:
        """Pairs of (ordinal, slot) that listened and do so no more."""
        return [pair for pair, began in self._began.items() if not began]

    def note(self, ordinal: int, slot: int, *, began: bool) -> None:
        """A session began or ceased to listen: the opposite of what was noted of it before, if anything was."""
        if self._began.pop((ordinal, slot), None) is None:
            self._began[ordinal, slot] = began


class LinkMap:
    """The bindings of one group by link."""

    def __init__(self, rows: Rows, outbox: Outbox, group: bytes, version: int, links: Sequence[LinkAddress]) -> None:
        self.version = version
        self.outlets: tuple[Outlet, ...] = ()  # with a binding, as of the last `take_changes`
        self._rows = rows
        self._group = group
        self._slots: dict[Outlet, dict[int, tuple[int, ...]]] = {}
        self._dirty: set[tuple[Outlet, int]] = set()
        self._changes: dict[Outlet, Change] = {}
        for address in links:
            if (outlet := outbox.outlet(address.link, address.epoch, address.partition)) is not None:
                self._slots[outlet] = self._load(address)
        if len(self._slots) < len(links):  # a registration died while the group was out of memory
            self.version += 1
        self._relink()

    @property
    def addresses(self) -> list[LinkAddress]:
        """The links with bindings, as the group's row names them."""
        return [outlet.address for outlet, slots in self._slots.items() if slots]

    def bind(self, ordinal: int, outlet: Outlet, slot: int) -> bool:
        """A session of this member listens; False if it did already."""
        slots = self._slots.setdefault(outlet, {})
        held = slots.get(ordinal, ())
        if slot in held:
            return False
        slots[ordinal] = (*held, slot)
        self._note(outlet, ordinal, slot, began=True)
        return True

    def unbind(self, ordinal: int, outlet: Outlet, slot: int) -> bool:
        """A session listens no more; False if it did not."""
        held = self._slots.get(outlet, {}).get(ordinal, ())
        if slot not in held:
            return False
        self._keep(outlet, ordinal, tuple(other for other in held if other != slot))
        self._note(outlet, ordinal, slot, began=False)
        return True

    def end(self, ordinals: Sequence[int]) -> None:
        """These members are none any more: all their sessions stop listening. O(links x ordinals)."""
        for outlet, slots in self._slots.items():
            for ordinal in ordinals:
                if held := slots.get(ordinal):
                    self._keep(outlet, ordinal, ())
                    for slot in held:
                        self._note(outlet, ordinal, slot, began=False)

    def end_all(self) -> None:
        """The group ended."""
        self.end(sorted({ordinal for slots in self._slots.values() for ordinal in slots}))

    def prune(self, voids: Voids) -> None:
        """Drop the bindings of dead registrations; their rows are swept by the link's own clean-up."""
        dead = [outlet for outlet in self._slots if voids.covers(outlet.address.link, outlet.address.epoch)]
        if not dead:
            return
        for outlet in dead:
            del self._slots[outlet]
            self._changes.pop(outlet, None)
        self._dirty = {(outlet, page) for outlet, page in self._dirty if outlet in self._slots}
        self.version += 1
        self._relink()

    def take_changes(self) -> dict[Outlet, Change]:
        """What changed by link since the last call; the version rises if anything did."""
        changes, self._changes = self._changes, {}
        if changes:
            self.version += 1
            self._relink()
        return changes

    def flush(self) -> None:
        """Write the changed rows."""
        for outlet, page in self._dirty:
            slots = self._slots.get(outlet, {})
            start = page * limits.PAGE_ORDINALS
            packed = [
                _PAIR.pack(ordinal, slot)
                for ordinal in range(start, start + limits.PAGE_ORDINALS)
                for slot in slots.get(ordinal, ())
            ]
            key = self._prefix(outlet.address) + keys.u32(page)
            if packed:
                self._rows.put(key, b"".join(packed))
            else:
                self._rows.delete(key)
        self._dirty.clear()
        for outlet in [outlet for outlet, slots in self._slots.items() if not slots]:
            del self._slots[outlet]

    def _note(self, outlet: Outlet, ordinal: int, slot: int, *, began: bool) -> None:
        self._dirty.add((outlet, ordinal // limits.PAGE_ORDINALS))
        self._changes.setdefault(outlet, Change()).note(ordinal, slot, began=began)

    def _keep(self, outlet: Outlet, ordinal: int, held: tuple[int, ...]) -> None:
        if held:
            self._slots[outlet][ordinal] = held
        else:
            del self._slots[outlet][ordinal]

    def _relink(self) -> None:
        self.outlets = tuple(outlet for outlet, slots in self._slots.items() if slots)

    def _load(self, address: LinkAddress) -> dict[int, tuple[int, ...]]:
        slots: dict[int, tuple[int, ...]] = {}
        for _, value in self._rows.scan(self._prefix(address)):
            for ordinal, slot in pairs(value):
                slots[ordinal] = (*slots.get(ordinal, ()), slot)
        return slots

    def _prefix(self, address: LinkAddress) -> bytes:
        return binding_prefix(address.link, address.epoch) + keys.name(b"", self._group)


_PAIR = struct.Struct(">II")


def binding_prefix(link: str, epoch: int) -> bytes:
    """What the keys of all bindings of a registration begin with."""
    return keys.name(keys.BINDING, link.encode()) + keys.u64(epoch)


def pairs(row: bytes) -> list[tuple[int, int]]:
    """The (ordinal, slot) pairs in a binding row."""
    return list(_PAIR.iter_unpack(row))
