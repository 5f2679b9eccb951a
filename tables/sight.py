"""Who sees the places of a group, as its audiences ask for it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from pyroaring import BitMap

from tables.visibility import visible_among

if TYPE_CHECKING:
    from tables.groups import Group
    from tables.structure import Place


class GroupSight:
    """See `tables.audiences.Sight`."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def places(self) -> Iterable[Place]:
        """Every place."""
        return self._group.structure.places()

    def channels(self) -> Iterable[str]:
        """Every channel."""
        return self._group.structure.channels

    def is_place(self, place: Place) -> bool:
        """Whether there is such a place."""
        return self._group.structure.is_place(place)

    def place_of(self, channel: str) -> Place | None:
        """The place whose lists count for a channel; None for what is no channel."""
        structure = self._group.structure
        return structure.place_of(channel) if channel in structure.channels else None

    def public(self, place: Place) -> bool:
        """Whether its view mode is public."""
        return self._group.structure.view_mode(place) == "public"

    def signature(self, place: Place) -> Hashable:
        """Equal for two places only if the same members see them."""
        return self._group.structure.signature(place)

    def members(self) -> BitMap:
        """All members; to be read."""
        return self._group.members.bits

    def visible_among(self, place: Place, among: BitMap) -> BitMap:
        """Those of these members who see the place."""
        return visible_among(self._group.structure.rule(place), among, self._group.owner)
