"""The audiences of a group: who hears what is sent into its channels, as its links are told.

An audience is one distinct rule of visibility; the channels under the same rule share it. It holds the exceptions only:
of a public rule those who don't see it, of a private one those who do. So a member who comes or goes changes no
audience, and what a change costs follows from whose visibility may have changed.

A link is told of an audience before its first use there, restricted to who is bound there, and from then on who entered
and who left, in the batch of the change. A public rule with no exception is audience 0: every binding.

Rows: one an audience that some link was told of. The members are made anew from the group's structure.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pyroaring import BitMap

from tables.outbox import Outbox, Outlet
from tables.rows import Rows
from tables.told import AudienceIds, AudienceRows
from tables.voids import Voids

if TYPE_CHECKING:
    from tables.linkmap import LinkMap

#: A channel that follows no category, or a category: what has lists of its own.
Place = str


class Sight(Protocol):
    """Who sees the places of a group."""

    def places(self) -> Iterable[Place]:
        """Every place."""

    def channels(self) -> Iterable[str]:
        """Every channel."""

    def is_place(self, place: Place) -> bool:
        """Whether there is such a place."""

    def place_of(self, channel: str) -> Place | None:
        """The place whose lists count for a channel; None for what is no channel."""

    def public(self, place: Place) -> bool:
        """Whether its view mode is public."""

    def signature(self, place: Place) -> Hashable:
        """Equal for two places only if the same members see them, for as long as it stays so."""

    def members(self) -> BitMap:
        """All members; to be read."""

    def visible_among(self, place: Place, among: BitMap) -> BitMap:
        """Those of these members who see the place."""


class Audience:
    """Who sees the places of one rule.

    Attributes:
        id: its number in the group, from 1; 0 until a link is told of it.
        public: whether all see it but the exceptions; else none but they.
        exceptions: ordinals.
        version: the group's version when a link was last told of a change.
        told: the links that know it.
        flipped: whose place changed since the links were last told.
        stored: whether there is a row of it.
    """

    __slots__ = (
        "_reach",
        "_stamp",
        "exceptions",
        "flipped",
        "id",
        "places",
        "public",
        "signature",
        "stored",
        "told",
        "version",
    )

    def __init__(self, signature: Hashable, *, public: bool) -> None:
        self.id = 0
        self.stored = False
        self.signature = signature
        self.public = public
        self.exceptions = BitMap()
        self.version = 0
        self.places: dict[Place, None] = {}
        self.told: dict[Outlet, None] = {}
        self.flipped = BitMap()
        self._reach: tuple[Outlet, ...] = ()
        self._stamp = -1

    @property
    def everyone(self) -> bool:
        """Whether every member sees it."""
        return self.public and not self.exceptions

    def holds(self, ordinal: int) -> bool:
        """Whether a member is in it."""
        return (ordinal in self.exceptions) is not self.public

    def among(self, ordinals: BitMap) -> BitMap:
        """Those of these members who are in it."""
        return ordinals - self.exceptions if self.public else ordinals & self.exceptions

    def reach(self, map_: LinkMap) -> tuple[Outlet, ...]:
        """The links with a listener who is in it, as of when the links were last told. O(links) after a change."""
        if self._stamp != map_.version:
            self._stamp = map_.version
            self._reach = tuple([outlet for outlet in map_.outlets if self._any(map_.ordinals(outlet))])
        return self._reach

    def update(self, among: BitMap, after: BitMap) -> BitMap:
        """Of these members those are in it now, and only those; returns whose place changed."""
        flipped = self.among(among) ^ after
        if flipped:
            self.exceptions ^= flipped
            self.flipped ^= flipped
            self._stamp = -1
        return flipped

    def _any(self, ordinals: BitMap) -> bool:
        if self.public:
            return not ordinals.issubset(self.exceptions)
        return ordinals.intersect(self.exceptions)


class Flip(NamedTuple):
    """Who entered and who left channels, of all members.

    Attributes:
        channels: which.
        entered: who sees it now and did not.
        left: who saw it and does so no more.
        audience: the links that know this one hear of it by a delta; None: no link does.
    """

    channels: tuple[str, ...]
    entered: BitMap
    left: BitMap
    audience: Audience | None = None


class Told(NamedTuple):
    """What a link is to be told of an audience that it knows; `ended`: that it is no more."""

    outlet: Outlet
    audience: Audience
    entered: BitMap
    left: BitMap
    ended: bool


class Audiences:
    """The audiences of one group."""

    def __init__(self, rows: Rows, outbox: Outbox, group: bytes, first: int, ids: AudienceIds, sight: Sight) -> None:
        """Begin from the rows.

        Args:
            rows: the partition's.
            outbox: where the links' outlets are.
            group: the group's key.
            first: the first ordinal of the group's life.
            ids: numbers the group's audiences.
            sight: who sees what, as it is now.
        """
        self._ids = ids
        self._rows = AudienceRows(rows, group, first)
        self._sight = sight
        self._of: dict[Place, Audience] = {}
        self._place_of: dict[str, Place] = {}  # of each channel, as of the last change
        self._by_signature: dict[Hashable, Audience] = {}
        self._told_on: dict[Outlet, dict[Audience, None]] = {}
        self._changed: dict[Audience, None] = {}  # with flips that links are to be told
        self._dirty: dict[Audience, None] = {}  # rows to be written
        self._ended: list[Audience] = []
        self._outbox = outbox
        self._begun = False

    def begin(self) -> None:
        """Find everybody's place, before anything changes: flips are told by what was before. Twice is harmless."""
        if self._begun:
            return
        self._begun = True
        for place in self._sight.places():
            self._attach(place, self._sight.signature(place))
        for channel in self._sight.channels():
            if (place_of := self._sight.place_of(channel)) is not None:
                self._place_of[channel] = place_of
        self._dirty = {}
        for id_, row in self._rows.all():
            if not row.places:  # one of sessions
                continue
            audience = self._of[row.places[0]]
            audience.id, audience.version = id_, row.version
            audience.stored = True
            for address in row.told:
                if (outlet := self._outbox.outlet(address.link, address.epoch, address.partition)) is not None:
                    audience.told[outlet] = None
                    self._told_on.setdefault(outlet, {})[audience] = None

    def of(self, channel: str) -> Audience | None:
        """Who hears what is sent into a channel; None for every member, as in the implicit channel of a team."""
        if (place := self._place_of.get(channel)) is None:
            return None
        audience = self._of[place]
        return None if audience.everyone else audience

    def all(self) -> Iterable[Audience]:
        """Every one, with the places of its rule."""
        return self._by_signature.values()

    def of_ordinal(self, outlet: Outlet, ordinal: int) -> list[int]:
        """The audiences that a link knows and that a member is in, as far as links were told: deltas say the rest."""
        known = self._told_on.get(outlet, ())
        return [audience.id for audience in known if audience.holds(ordinal) is not (ordinal in audience.flipped)]

    def known_on(self, outlet: Outlet) -> bool:
        """Whether a link knows any."""
        return outlet in self._told_on

    def touched(self, touched: Mapping[Place, BitMap]) -> list[Flip]:
        """The structure changed: of these places, the visibility for these members may be another one.

        A place that is new has all members in it; one that is gone is not in the structure any more.
        """
        moved = self._moved(touched)
        changed: dict[Place, tuple[BitMap, Audience | None]] = {}  # who flipped, and the audience whose delta says so
        same: list[tuple[Place, Audience]] = []
        asked: dict[Audience, BitMap] = {}
        flipped: dict[Audience, BitMap] = {}
        for place, among in touched.items():
            audience = self._of.get(place)
            if not self._sight.is_place(place):
                if audience is not None:
                    self._detach(place, audience)
            elif audience is None:
                self._attach(place, self._sight.signature(place))
            elif (signature := self._sight.signature(place)) != audience.signature:
                changed[place] = self._move(place, audience, signature, among)
            else:
                if not among.issubset(asked.setdefault(audience, BitMap())):  # else another place of it was asked
                    asked[audience] |= among
                    news = audience.update(among, self._sight.visible_among(place, among))
                    flipped[audience] = flipped.get(audience, BitMap()) | news
                    self._changed[audience] = None
                same.append((place, audience))
        changed |= {place: (flipped.get(audience, BitMap()), audience) for place, audience in same}
        return [*self._flips_of_places(changed, moved), *self._flips_of_moved(moved)]

    def _moved(self, touched: Mapping[Place, BitMap]) -> dict[str, tuple[BitMap, BitMap]]:
        """The channels that follow another place than before: who may be affected, and who of these saw them."""
        moved: dict[str, tuple[BitMap, BitMap]] = {}
        for channel, among in touched.items():
            before, now = self._place_of.get(channel), self._sight.place_of(channel)
            if before != now:
                moved[channel] = among, BitMap() if before is None else self._of[before].among(among)
                if now is None:
                    del self._place_of[channel]
                else:
                    self._place_of[channel] = now
        return moved

    def _flips_of_places(
        self, changed: Mapping[Place, tuple[BitMap, Audience | None]], moved: Container[str]
    ) -> Iterator[Flip]:
        """Flips of the channels that follow the same place as before."""
        followers: dict[Place, list[str]] = {}
        if any(flipped for flipped, _ in changed.values()):
            for channel, place in self._place_of.items():
                if place in changed and channel not in moved:
                    followers.setdefault(place, []).append(channel)
        for place, channels in followers.items():
            flipped, audience = changed[place]
            if flipped:
                entered = self._of[place].among(flipped)
                yield Flip(tuple(channels), entered, flipped - entered, audience)

    def _flips_of_moved(self, moved: Mapping[str, tuple[BitMap, BitMap]]) -> Iterator[Flip]:
        """Flips of those that follow another one, came, or went."""
        for channel, (among, before) in moved.items():
            now = self._place_of.get(channel)
            after = BitMap() if now is None else self._of[now].among(among)
            if after != before:
                yield Flip((channel,), after - before, before - after)

    def gone(self, ordinals: BitMap) -> list[Flip]:
        """These are members no more, and bound nowhere: which channels they saw."""
        channels: dict[Audience, list[str]] = {audience: [] for audience in self._of.values()}
        for channel, place in self._place_of.items():
            channels[self._of[place]].append(channel)
        flips: list[Flip] = []
        for audience, of_it in channels.items():
            if left := audience.among(ordinals):
                flips.append(Flip(tuple(of_it), BitMap(), left))
            audience.exceptions -= ordinals
            audience.flipped -= ordinals
        return flips

    def take_told(self, map_: LinkMap, version: int) -> list[Told]:
        """What links are to be told since the last call: deltas, and the end of audiences."""
        told: list[Told] = []
        for audience in self._ended:
            told += [Told(outlet, audience, BitMap(), BitMap(), ended=True) for outlet in audience.told]
            for outlet in audience.told:
                self._unlearn(outlet, audience)
            if audience.stored:
                self._rows.delete(audience.id)
        self._ended = []
        for audience in self._changed:
            for outlet in audience.told:
                if flipped := audience.flipped & map_.ordinals(outlet):
                    entered = audience.among(flipped)
                    told.append(Told(outlet, audience, entered, flipped - entered, ended=False))
                    audience.version = version
                    self._dirty[audience] = None
            audience.flipped = BitMap()
        self._changed = {}
        return told

    def tell(self, audience: Audience, outlet: Outlet, version: int) -> None:
        """A link is told of an audience now."""
        if audience.id == 0:
            audience.id = self._ids.take()
        audience.told[outlet] = None
        audience.version = version
        self._told_on.setdefault(outlet, {})[audience] = None
        self._dirty[audience] = None

    def forget(self, outlet: Outlet) -> None:
        """A link knows none any more: it has no listener left, begins anew, or is dead."""
        for audience in self._told_on.pop(outlet, ()):
            audience.told.pop(outlet)
            self._dirty[audience] = None

    def prune(self, voids: Voids) -> None:
        """The dead know none any more."""
        for outlet in [one for one in self._told_on if voids.covers(one.address.link, one.address.epoch)]:
            self.forget(outlet)

    def flush(self) -> None:
        """Write what changed to the rows."""
        for audience in self._dirty:
            if audience.places:
                self._rows.keep(audience, list(audience.places))
        self._dirty = {}

    @property
    def memory_bytes(self) -> int:
        """About what they take in memory. O(audiences)."""
        return sum([_BYTES_PER_AUDIENCE + _bytes_of(one.exceptions) for one in self._by_signature.values()])

    def _attach(self, place: Place, signature: Hashable) -> Audience:
        """The audience of a rule, made if there is none yet."""
        audience = self._by_signature.get(signature)
        if audience is None:
            audience = Audience(signature, public=self._sight.public(place))
            self._by_signature[signature] = audience
            everyone = self._sight.members()
            audience.update(everyone, self._sight.visible_among(place, everyone))
            audience.flipped = BitMap()
        self._of[place] = audience
        audience.places[place] = None
        self._dirty[audience] = None
        return audience

    def _move(self, place: Place, old: Audience, signature: Hashable, among: BitMap) -> tuple[BitMap, Audience | None]:
        """A place is under another rule: it goes over to the audience that has it, or its own one changes.

        Returns:
            Who of these members flipped; the audience whose delta says so, if there is to be one.
        """
        before = old.among(among)
        alone, joins = len(old.places) == 1, signature in self._by_signature
        if alone and not joins and old.public == self._sight.public(place):
            del self._by_signature[old.signature]
            old.signature = signature
            self._by_signature[signature] = old
            self._changed[old] = None
            return old.update(among, self._sight.visible_among(place, among)), old
        self._detach(place, old)
        return before ^ self._attach(place, signature).among(among), None

    def _detach(self, place: Place, audience: Audience) -> None:
        self._of.pop(place, None)
        del audience.places[place]
        self._dirty[audience] = None
        if not audience.places:
            del self._by_signature[audience.signature]
            self._changed.pop(audience, None)
            self._ended.append(audience)

    def _unlearn(self, outlet: Outlet, audience: Audience) -> None:
        known = self._told_on[outlet]
        del known[audience]
        if not known:
            del self._told_on[outlet]


_BYTES_PER_AUDIENCE = 700
_BYTES_PER_CHUNK = 8_192  # of 65,536 ordinals


def _bytes_of(bits: BitMap) -> int:
    """About what a bitmap takes at most: 2 bytes an ordinal, or a bit for each that there could be."""
    return min(2 * len(bits), _BYTES_PER_CHUNK * (1 + bits.max() // 65_536)) if bits else 0
