"""Who sees the places of a group, as its audiences ask for it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from pyroaring import BitMap

from tables.visibility import visible_among

if TYPE_CHECKING:
    from tables.groups import Group
    from tables.structure import Place


class Sight:
    """See `tables.audiences.Sight`."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def places(self) -> Iterable[Place]:
        """Every place."""
        return self._group.structure.places()

    def place_of(self, channel: str) -> Place:
        """The place whose lists count for a channel."""
        return self._group.structure.place_of(channel)

    def public(self, place: Place) -> bool:
        """Whether its view mode is public."""
        return self._group.structure.rule(place).view_mode == "public"

    def signature(self, place: Place) -> Hashable:
        """Equal for two places only if the same members see them: places that name users share with none."""
        rule = self._group.structure.rule(place)
        return rule.view_mode, frozenset(rule.active.roles), place if rule.active.users else None

    def members(self) -> BitMap:
        """All members; to be read."""
        return self._group.members.bits

    def visible_among(self, place: Place, among: BitMap) -> BitMap:
        """Those of these members who see the place."""
        return visible_among(self._group.structure.rule(place), among, self._group.owner)
