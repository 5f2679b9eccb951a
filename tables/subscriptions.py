"""What sessions asked to hear of a group: for each channel and level a set of slots a link, which is an audience too.

A session that loses sight of a channel, leaves the group or ends loses what it subscribed to there. So each set holds
those only who may hear, and is told to its link as it is. Visitors, who are no members, have sets of their own: what
goes to members by their rule goes to them beside it.

Rows: 8,192 slots each, keyed by link first, as bindings are; and one an audience that a link was told of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from pyroaring import BitMap

from tables import keys
from tables.ordinals import StoredSet
from tables.rows import Rows
from tables.told import AudienceIds, AudienceRow, AudienceRows
from tables.voids import Voids
from topics.subscriptions import MESSAGE_LEVELS, Level, Wanted
from topics.wire import LinkAddress

if TYPE_CHECKING:
    from tables.linkmap import LinkMap
    from tables.outbox import Outbox, Outlet

#: A level, or that of a visitor.
Kind = Literal["messages", "unread_count", "unread_status", "typing", "server", "visitor", "visitor_server"]

_VISITORS: Final[dict[Level, Kind]] = {"messages": "visitor", "server": "visitor_server"}
_LEVELS: Final[dict[Kind, Level]] = {"visitor": "messages", "visitor_server": "server"}
_NOBODY: Final = BitMap()


class Topic(NamedTuple):
    """What a set of sessions subscribed to.

    Attributes:
        kind: the level.
        channel: of which channel; empty: of the group.
    """

    kind: Kind
    channel: str = ""

    @property
    def visitors(self) -> bool:
        """Whether it is one of those who are no members."""
        return self.kind in _LEVELS

    @property
    def wanted(self) -> Wanted:
        """As records name it."""
        return Wanted(_level_of(self.kind), self.channel or None)


def _level_of(kind: Kind) -> Level:
    return _LEVELS.get(kind) or cast("Level", kind)


def topic_of(wanted: Wanted, *, visitor: bool) -> Topic:
    """What a session asks for, as it is kept here. A visitor's level is one of VISITOR_LEVELS."""
    kind: Kind = _VISITORS[wanted.level] if visitor else wanted.level
    return Topic(kind, wanted.channel or "")


class Subscribers:
    """The sessions that subscribed to one thing.

    Attributes:
        topic: what.
        id: names it as an audience; 0 until a link is told of it.
        version: the group's version when a link was last told of a change.
        told: the links that know it.
        stored: whether there is a row of its audience.
        flipped: by link that knows it, whose place changed since it was last told.
    """

    __slots__ = ("_ordinals", "_outlets", "_slots", "flipped", "id", "stored", "told", "topic", "version")

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.id = 0
        self.version = 0
        self.told: dict[Outlet, None] = {}
        self.stored = False
        self.flipped: dict[Outlet, BitMap] = {}
        self._slots: dict[Outlet, StoredSet] = {}
        self._ordinals: dict[Outlet, BitMap] = {}  # the members with one of these sessions, and maybe some others
        self._outlets: tuple[Outlet, ...] | None = None

    @property
    def outlets(self) -> tuple[Outlet, ...]:
        """The links with any."""
        if self._outlets is None:
            self._outlets = tuple([outlet for outlet, slots in self._slots.items() if slots.bits])
        return self._outlets

    def on(self, outlet: Outlet) -> BitMap:
        """The slots on a link; to be read."""
        found = self._slots.get(outlet)
        return _NOBODY if found is None else found.bits

    def __len__(self) -> int:
        """How many sessions."""
        return sum([len(slots.bits) for slots in self._slots.values()])

    @property
    def memory_bytes(self) -> int:
        """About what it takes in memory. O(links)."""
        return _BYTES_PER_TOPIC + 2 * sum([slots.memory_bytes for slots in self._slots.values()])

    def load(self, outlet: Outlet, slots: StoredSet, ordinals: BitMap) -> None:
        """Those of one link, as the rows say; `ordinals`: those with any session there."""
        self._slots[outlet] = slots
        self._ordinals[outlet] = BitMap(ordinals)

    def among(self, outlet: Outlet, ordinals: BitMap) -> BitMap:
        """Which of these members may have such a session on a link."""
        return self._ordinals.get(outlet, _NOBODY) & ordinals

    def put(self, outlet: Outlet, slots: StoredSet, slot: int, ordinal: int | None) -> bool:
        """A session is one of them; `slots`: the rows for its link, if there were none. False if it was so already."""
        self._outlets = None
        if ordinal is not None:
            self._ordinals.setdefault(outlet, BitMap()).add(ordinal)
        return bool(self._slots.setdefault(outlet, slots).add(BitMap([slot])))

    def remove(self, outlet: Outlet, slots: BitMap) -> BitMap:
        """Sessions are none of them any more; returns those that were."""
        self._outlets = None
        return self._slots[outlet].remove(slots) if outlet in self._slots else _NOBODY

    def flip(self, outlet: Outlet, slots: BitMap) -> None:
        """The place of these sessions changed; their link is to be told if it knows the set."""
        if outlet in self.told:
            self.flipped[outlet] = self.flipped.get(outlet, _NOBODY) ^ slots

    def know_ended(self, outlet: Outlet, slots: BitMap) -> None:
        """Their link knows that these sessions are none of them any more."""
        if outlet in self.told:
            self.flipped[outlet] = self.flipped.get(outlet, _NOBODY) - slots

    def drop(self, outlet: Outlet) -> None:
        """A link is dead."""
        self._outlets = None
        for held in (self._slots, self._ordinals):
            held.pop(outlet, None)
        self.unlearn(outlet)

    def unlearn(self, outlet: Outlet) -> None:
        """A link does not know it any more."""
        self.told.pop(outlet, None)
        self.flipped.pop(outlet, None)

    @property
    def held_on(self) -> list[Outlet]:
        """The links that there is anything of."""
        return list(dict.fromkeys([*self._slots, *self.told]))

    def flush(self) -> None:
        """Write what changed to the rows."""
        for slots in self._slots.values():
            slots.flush()


class Ended(NamedTuple):
    """Sessions of a link, and their members, that lost a subscription because they see the channel no more."""

    topic: Topic
    outlet: Outlet
    ordinals: BitMap
    slots: BitMap


class Change(NamedTuple):
    """What a link is to be told of a set that it knows; `ended`: that nobody is left in it there."""

    outlet: Outlet
    subscribers: Subscribers
    entered: BitMap
    left: BitMap
    ended: bool


class Subscriptions:
    """The subscriptions to one group."""

    def __init__(
        self,
        rows: Rows,
        outbox: Outbox,
        map_: LinkMap,
        group: bytes,
        first: int,
        links: Sequence[LinkAddress],
        ids: AudienceIds,
    ) -> None:
        """Begin from the rows.

        Args:
            rows: the partition's.
            outbox: where the links' outlets are.
            map_: who is bound where.
            group: the group's key.
            first: the first ordinal of the group's life.
            links: those with any subscription.
            ids: numbers the group's audiences.
        """
        self._rows = rows
        self._map = map_
        self._group = group
        self._ids = ids
        self._told_rows = AudienceRows(rows, group, first)
        self._of: dict[Topic, Subscribers] = {}
        self._changed: dict[Subscribers, None] = {}  # with something that links may be to be told
        self._dirty: dict[Subscribers, None] = {}
        self._links: list[LinkAddress] | None = None
        for address in links:
            if (outlet := outbox.outlet(address.link, address.epoch, address.partition)) is not None:
                self._load(outlet)
        for id_, row in self._told_rows.all():
            if row.kind:
                self._load_told(outbox, id_, row)

    @property
    def links(self) -> list[LinkAddress]:
        """Those with any subscription."""
        if self._links is None:
            found = dict.fromkeys([outlet for subscribers in self._of.values() for outlet in subscribers.outlets])
            self._links = [outlet.address for outlet in found]
        return self._links

    def of(self, kind: Kind, channel: str = "") -> Subscribers | None:
        """Who subscribed to something; None where nobody did."""
        return self._of.get(Topic(kind, channel))

    def all(self) -> Iterable[Subscribers]:
        """Every set."""
        return self._of.values()

    def held(self, outlet: Outlet, slot: int) -> list[Topic]:
        """What a session has. O(what anybody has)."""
        return [topic for topic, subscribers in self._of.items() if slot in subscribers.on(outlet)]

    def add(self, topic: Topic, outlet: Outlet, slot: int, ordinal: int | None) -> None:
        """A session has this from here on; of the levels of a channel's messages, this one only.

        Args:
            topic: what.
            outlet: the session's link.
            slot: the session.
            ordinal: of the member; None for a visitor.
        """
        for level in MESSAGE_LEVELS if topic.kind in MESSAGE_LEVELS else ():
            if level != topic.kind:
                self.drop(Topic(level, topic.channel), outlet, slot)
        if (subscribers := self._of.get(topic)) is None:
            subscribers = self._of[topic] = Subscribers(topic)
        if subscribers.put(outlet, self._set(outlet, topic), slot, ordinal):
            subscribers.flip(outlet, BitMap([slot]))
            self._note(subscribers)

    def drop(self, topic: Topic, outlet: Outlet, slot: int) -> None:
        """A session has this no more."""
        if (subscribers := self._of.get(topic)) is not None:
            self._remove(subscribers, outlet, BitMap([slot]))

    def end(self, outlet: Outlet, slots: BitMap) -> None:
        """Members' sessions hear nothing of the group any more, and their link knows it."""
        for subscribers in self._of.values():
            if not subscribers.topic.visitors and (removed := subscribers.remove(outlet, slots)):
                subscribers.know_ended(outlet, removed)
                self._note(subscribers)

    def join(self, outlet: Outlet, members: Mapping[int, int], sees: Callable[[int, str], bool]) -> None:
        """Visitors became members: what they had, and see, they have as members.

        Args:
            outlet: their link.
            members: slot -> the member's ordinal.
            sees: whether a member sees a channel.
        """
        slots = BitMap(members)
        for subscribers in [one for one in self._of.values() if one.topic.visitors]:
            visiting, topic = subscribers.on(outlet) & slots, subscribers.topic
            self._remove(subscribers, outlet, visiting)
            for slot in visiting:
                if not topic.channel or sees(members[slot], topic.channel):
                    self.add(Topic(_level_of(topic.kind), topic.channel), outlet, slot, members[slot])

    def end_all(self) -> None:
        """The group ended: links forget all of it by themselves, but for visitors'."""
        for subscribers in self._of.values():
            self._clear(subscribers)

    def lose_sight(self, channels: Iterable[str], ordinals: BitMap) -> Iterator[Ended]:
        """These members don't see these channels any more. Costs what is lost, and a look at each link."""
        for subscribers in self._of_channels(channels):
            for outlet in subscribers.outlets:
                if lost := subscribers.among(outlet, ordinals):
                    slots = self._map.slots_with(outlet, lost) & subscribers.on(outlet)
                    self._remove(subscribers, outlet, slots)
                    yield Ended(subscribers.topic, outlet, lost, slots)

    def close(self, channels: Iterable[str], *, visitors_only: bool = False) -> None:
        """Channels are gone, or visitors see them no more: nobody, or no visitor, subscribes to them."""
        for subscribers in self._of_channels(channels):
            if subscribers.topic.visitors or not visitors_only:
                self._clear(subscribers)

    def visited(self) -> list[str]:
        """The channels with visitors; empty: the group."""
        return [topic.channel for topic, subscribers in self._of.items() if topic.visitors and subscribers.outlets]

    def prune(self, voids: Voids) -> None:
        """Drop the sessions of dead registrations; their rows are swept by the link's own clean-up."""
        for subscribers in self._of.values():
            for outlet in subscribers.held_on:
                if voids.covers(outlet.address.link, outlet.address.epoch):
                    subscribers.drop(outlet)
                    self._dirty[subscribers] = None
                    self._links = None

    def forget(self, outlet: Outlet) -> None:
        """A link knows none any more: it begins anew."""
        for subscribers in self._of.values():
            if outlet in subscribers.told:
                subscribers.unlearn(outlet)
                self._dirty[subscribers] = None

    def tell(self, subscribers: Subscribers, outlet: Outlet, version: int) -> None:
        """A link is told of a set now."""
        if subscribers.id == 0:
            subscribers.id = self._ids.take()
        subscribers.told[outlet] = None
        subscribers.version = version
        self._dirty[subscribers] = None

    def take_told(self, version: int) -> list[Change]:
        """What links are to be told since the last call."""
        changes: list[Change] = []
        for subscribers in self._changed:
            for outlet, flipped in list(subscribers.flipped.items()):
                now = subscribers.on(outlet)
                if not now:
                    subscribers.unlearn(outlet)
                    changes.append(Change(outlet, subscribers, _NOBODY, _NOBODY, ended=True))
                elif flipped:
                    entered = flipped & now
                    changes.append(Change(outlet, subscribers, entered, flipped - entered, ended=False))
                    subscribers.version = version
            subscribers.flipped.clear()
        self._changed = {}
        return changes

    def flush(self) -> None:
        """Write what changed to the rows; forget what nobody has."""
        for subscribers in self._dirty:
            subscribers.flush()
            self._told_rows.keep(subscribers, [], *subscribers.topic)
            if not subscribers.told and not subscribers.outlets:
                self._of.pop(subscribers.topic, None)
        self._dirty = {}

    @property
    def memory_bytes(self) -> int:
        """About what they take in memory. O(sets)."""
        return sum([subscribers.memory_bytes for subscribers in self._of.values()])

    def _of_channels(self, channels: Iterable[str]) -> list[Subscribers]:
        found = (self._of.get(Topic(kind, channel)) for channel in channels for kind in _OF_CHANNELS)
        return [subscribers for subscribers in found if subscribers is not None]

    def _clear(self, subscribers: Subscribers) -> None:
        for outlet in subscribers.outlets:
            self._remove(subscribers, outlet, BitMap(subscribers.on(outlet)))

    def _remove(self, subscribers: Subscribers, outlet: Outlet, slots: BitMap) -> None:
        if removed := subscribers.remove(outlet, slots):
            subscribers.flip(outlet, removed)
            self._note(subscribers)

    def _note(self, subscribers: Subscribers) -> None:
        self._links = None
        self._changed[subscribers] = None
        self._dirty[subscribers] = None

    def _set(self, outlet: Outlet, topic: Topic) -> StoredSet:
        address = outlet.address
        names = keys.name(b"", self._group, topic.kind.encode(), topic.channel.encode())
        return StoredSet(self._rows, subscription_prefix(address.link, address.epoch) + names)

    def _load(self, outlet: Outlet) -> None:
        """The sets of one link. A row's key names the kind and the channel, then the chunk."""
        prefix = subscription_prefix(outlet.address.link, outlet.address.epoch) + keys.name(b"", self._group)
        for key in dict.fromkeys([key[len(prefix) : -5] for key, _ in self._rows.scan(prefix)]):
            kind, _, channel = key.decode().partition("\0")
            topic = Topic(cast("Kind", kind), channel)
            if topic not in self._of:
                self._of[topic] = Subscribers(topic)
            self._of[topic].load(outlet, self._set(outlet, topic), self._map.ordinals(outlet))

    def _load_told(self, outbox: Outbox, id_: int, row: AudienceRow) -> None:
        topic = Topic(cast("Kind", row.kind), row.channel)
        subscribers = self._of.setdefault(topic, Subscribers(topic))
        subscribers.id, subscribers.version, subscribers.stored = id_, row.version, True
        for address in row.told:
            if (outlet := outbox.outlet(address.link, address.epoch, address.partition)) is not None:
                subscribers.told[outlet] = None


#: Those of one channel, or of what visitors hear of the group.
_OF_CHANNELS: Final[tuple[Kind, ...]] = (
    "messages",
    "unread_count",
    "unread_status",
    "typing",
    "visitor",
    "visitor_server",  # without a channel
)
_BYTES_PER_TOPIC: Final = 500


def subscription_prefix(link: str, epoch: int) -> bytes:
    """What the keys of all subscriptions of a registration's sessions begin with."""
    return keys.name(keys.SUBSCRIBED, link.encode()) + keys.u64(epoch)
