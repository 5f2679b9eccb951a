"""Which sessions of which links are in the background, as the groups of one partition are told of it.

It is a property of the session, so it is kept once a link and not once a group: a phone that flips costs an entry a
partition, however many groups it hears.

Rows: 8,192 slots each, keyed by link. What a session in the background leaves is removed with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from tables import keys
from tables.ordinals import StoredSet
from tables.rows import Rows
from topics import limits

if TYPE_CHECKING:
    from tables.groups import Group
    from tables.linkmap import LinkMap
    from tables.outbox import Outlet

_NOBODY: Final = BitMap()


class Ground:
    """The sessions in the background that one partition knows of.

    Attributes:
        any: whether there may be any.
        changes: how often anything changed.
    """

    def __init__(self, rows: Rows) -> None:
        self.changes = 0
        self._rows = rows
        self._of: dict[Outlet, StoredSet] = {}
        self._stamps: dict[Outlet, int] = {}
        self.any = next(rows.scan(keys.BACKGROUND), None) is not None
        self._dirty: dict[Outlet, None] = {}

    def put(self, outlet: Outlet, slot: int, *, background: bool) -> bool:
        """A session is in the background, or in the foreground; False if it was so already."""
        slots = self._set(outlet)
        changed = slots.add(BitMap([slot])) if background else slots.remove(BitMap([slot]))
        if changed:
            self.any = True
            self.changes += 1
            self._stamps[outlet] = self.changes
            self._dirty[outlet] = None
        return bool(changed)

    def on(self, outlet: Outlet) -> BitMap:
        """The sessions of a link that are in the background; to be read."""
        return self._set(outlet).bits if self.any else _NOBODY

    def stamp(self, outlet: Outlet) -> int:
        """Another number whenever what `on` gives for the link is another set."""
        return self._stamps.get(outlet, 0)

    def drop(self, link: str, epoch: int) -> None:
        """Registrations of a link up to an epoch are dead; their rows are swept by the link's own clean-up."""
        for outlet in [one for one in self._of if one.address.link == link and one.address.epoch <= epoch]:
            del self._of[outlet]
            self._stamps.pop(outlet, None)
            self._dirty.pop(outlet, None)

    def flush(self) -> None:
        """Write what changed to the rows."""
        for outlet in self._dirty:
            self._of[outlet].flush()
        self._dirty = {}

    def _set(self, outlet: Outlet) -> StoredSet:
        if (found := self._of.get(outlet)) is None:
            prefix = background_prefix(outlet.address.link, outlet.address.epoch)
            found = self._of[outlet] = StoredSet(self._rows, prefix)
        return found


class Sides:
    """On which links a group has sessions in the foreground, and on which in the background.

    Of a link with more than EXACT_LISTENERS sessions of the group, and some in the background, both are taken for true:
    so an entry may find nobody there, but none is missed.

    Attributes:
        front: links with a session in the foreground.
        back: links with one in the background.
    """

    __slots__ = ("_changes", "_of", "_version", "back", "front")

    def __init__(self) -> None:
        self.front: dict[Outlet, None] = {}
        self.back: dict[Outlet, None] = {}
        self._version = -1
        self._changes = -1
        self._of: dict[Outlet, tuple[tuple[int, int], bool, bool]] = {}

    def judge(self, map_: LinkMap, ground: Ground) -> None:
        """Bring them up to date: O(1) where nothing changed, else O(links) and what changed there."""
        if self._version == map_.version and self._changes == ground.changes:
            return
        self._version, self._changes = map_.version, ground.changes
        known, self._of = self._of, {}
        for outlet in map_.outlets:
            stamp = (map_.stamp(outlet), ground.stamp(outlet))
            found = known.get(outlet)
            self._of[outlet] = found if found and found[0] == stamp else (stamp, *_sides(map_, ground, outlet))
        self.front = {outlet: None for outlet, (_, front, _) in self._of.items() if front}
        self.back = {outlet: None for outlet, (_, _, back) in self._of.items() if back}


def sides_of(group: Group, ground: Ground) -> Sides:
    """The sides of a group, as they are now."""
    if group.sides is None:
        group.sides = Sides()
    group.sides.judge(group.map, ground)
    return group.sides


def _sides(map_: LinkMap, ground: Ground, outlet: Outlet) -> tuple[bool, bool]:
    background = ground.on(outlet)
    if not background:
        return True, False
    if map_.count(outlet) > limits.EXACT_LISTENERS:
        return True, True
    slots = map_.slots(outlet)
    return not slots.issubset(background), slots.intersect(background)


def background_prefix(link: str, epoch: int) -> bytes:
    """What the keys of a registration's sessions in the background begin with."""
    return keys.name(keys.BACKGROUND, link.encode()) + keys.u64(epoch)
