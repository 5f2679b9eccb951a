"""A group: what it is, its members, its Link map, its channel; and the groups of one partition, loaded on touch.

Every applied change raises the group's version by one, also across deletion and re-creation: a deleted group leaves one
row with its version, next ordinal and map version, and its channel's row with seq and counter; a re-created one goes on
from there.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Container, Iterable, Mapping
from functools import cached_property
from itertools import islice
from typing import Final, Protocol

import msgspec
from pyroaring import BitMap

from tables import keys
from tables.audiences import Audience, Audiences, Flip
from tables.bans import Bans
from tables.change_sets import ChangeSets
from tables.channels import Channel
from tables.codes import Codes
from tables.ground import Sides
from tables.linkmap import LinkMap
from tables.maplog import MapLog
from tables.members import Members
from tables.mutes import Mutes
from tables.origins import Origins
from tables.outbox import Outbox, Outlet
from tables.profiles import Profiles
from tables.requests import Requests
from tables.rows import Rows
from tables.sight import GroupSight
from tables.structure import Place, Structure
from tables.subscriptions import Kind, Subscribers, Subscriptions
from tables.told import AudienceIds
from tables.voids import Voids
from topics import limits
from topics.codec import Malformed
from topics.entities import GroupKind, Profile
from topics.keys import key_of, partition_of
from topics.messages import MAIN
from topics.policy import Policy
from topics.subscriptions import Joined
from topics.wire import LinkAddress


class _Row(msgspec.Struct, array_like=True):
    """A group's row."""

    alive: bool
    kind: GroupKind
    version: int
    first: int  # ordinals below are of earlier lives
    next: int
    map: int
    links: list[LinkAddress]
    owner: int | None = None  # an ordinal
    profile: Profile = Profile()
    muted_until: int = 0
    ruled: bool = False
    next_audience: int = 1
    subscribed: list[LinkAddress] = []
    joined: Joined = "messages"


class _Part(Protocol):
    """A part of a group that gathers changes in memory."""

    def flush(self) -> None:
        """Write what changed to the rows."""


#: The parts of a life, made when first asked for: attributes of the group.
_PARTS: Final = (
    "change_sets",
    "origins",
    "profiles",
    "mutes",
    "bans",
    "requests",
    "codes",
    "structure",
    "audiences",
    "subscriptions",
)
#: Those that gather changes in memory.
_GATHERING: Final = ("origins", "structure", "audiences", "subscriptions")
#: Those that keep rows in memory.
_HELD: Final = ("structure", "audiences", "subscriptions", "change_sets", "mutes", "codes")

#: What a group takes in memory beside its members, bindings and messages, measured.
_BYTES_PER_GROUP = 4_500

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode


class Group:
    """One group, alive or deleted."""

    def __init__(self, rows: Rows, outbox: Outbox, voids: Voids, log: MapLog, app: str, group: str) -> None:
        self.app = app
        self.group = group
        self.key = key_of(app, group)
        self._rows = rows
        stored = rows.get(keys.GROUP + self.key)
        row = _decode(stored) if stored else _Row(False, "team", 0, 0, 0, 0, [])
        self.alive = row.alive
        self.kind: GroupKind = row.kind
        self.version = row.version
        self.owner = row.owner  #: the ordinal of who may do everything
        self.profile = row.profile
        self.muted_until = row.muted_until
        #: Whether more than membership decides who sees and sends: a channel, role, list, mute. Few groups have any.
        self.ruled = row.ruled
        self._first = row.first
        self.members = Members(rows, self.key, row.first, row.next)
        self.map = LinkMap(rows, outbox, log, self.key, row.map, row.links)
        self._numbers: dict[str, Channel] = {}
        self._outbox = outbox
        self._ids = AudienceIds(row.next_audience)
        #: What sessions hear of its channels unasked.
        self.joined: Joined = row.joined
        self._subscribed = row.subscribed  # as of loading
        self._flips: list[Flip] = []
        self._gone: list[Flip] = []
        self._voids_seen = voids.changes  # the Link map was loaded without the dead ones
        self._sent: dict[str, None] = {}
        #: By which policy, and how many members, `joined` was judged.
        self.judged: Policy | None = None
        self.judged_members = -1
        self.sides: Sides | None = None  # made when there are sessions in the background
        self._written = stored or self._row()

    def create(
        self, kind: GroupKind, users: Iterable[str], owner: str | None = None, profile: Profile | None = None
    ) -> list[tuple[str, int]]:
        """Come to be, with these members, the owner one of them; returns them with their ordinals."""
        self.alive = True
        self.kind = kind
        self.profile = profile or Profile()
        added = self.members.add(users)
        self.owner = None if owner is None else self.members.ordinal_of(owner)
        return added

    def changed(self) -> int:
        """A change was applied: the next version."""
        self.version += 1
        return self.version

    def delete(self) -> tuple[int, int]:
        """End. Returns the range of ordinals whose users are still to be told, and whose rows are to be removed."""
        self.map.end_all()
        for channel in self._numbered():
            self.numbers(channel).end()
        ended = self._first, self.members.next
        self.alive = False
        # The next life begins on a page of its own, so that the clean-up of this one never touches it.
        # It begins higher also where this one never had a member: so no part of this one is seen by it.
        page = max(-(-self.members.next // limits.PAGE_ORDINALS), self._first // limits.PAGE_ORDINALS + 1)
        self._first = page * limits.PAGE_ORDINALS
        self.members.flush()
        self.members = Members(self._rows, self.key, self._first, self._first)
        self.owner, self.profile, self.muted_until, self.ruled = None, Profile(), 0, False
        if self.asked:
            self.subscriptions.end_all()
            self.subscriptions.flush()
        self._subscribed = []
        self.joined = "messages"
        self._ids = AudienceIds(1)
        for part in _PARTS:
            self.__dict__.pop(part, None)
        return ended

    def add(self, users: Iterable[str]) -> list[tuple[str, int]]:
        """Users become members; returns those who were none, with their ordinals."""
        return self.members.add(users)

    def remove(self, users: Iterable[str]) -> list[tuple[str, int]]:
        """Users are members no more and their sessions stop listening; returns those who were, with their ordinals."""
        removed = self.members.remove(users)
        self.map.end([ordinal for _, ordinal in removed])
        return removed

    def numbers(self, channel: str) -> Channel:
        """The numbers of a channel, or of one that there was."""
        if (found := self._numbers.get(channel)) is None:
            found = self._numbers[channel] = Channel(self._rows, self.key, channel)
        return found

    def has_channel(self, channel: str) -> bool:
        """Whether the group has a channel."""
        if self.kind == "server":
            return self.ruled and channel in self.structure.channels
        return channel == MAIN

    def common_channels(self) -> list[str]:
        """The channels whose heads whoever begins to listen is told: those that every member sees, if they are few."""
        if self.kind != "server":
            return [MAIN]
        if not self.ruled or len(self.structure.channels) > limits.BOUND_HEADS:
            return []
        return [channel for channel in self.structure.channels if self.audience_of(channel) is None]

    @cached_property
    def structure(self) -> Structure:
        """Its channels, categories, roles and lists."""
        made = self.__dict__["structure"] = Structure(self._rows, self.key, self._first)
        self.audiences.begin()  # before anything changes: who entered and who left is told by what was
        return made

    @cached_property
    def audiences(self) -> Audiences:
        """Who hears what is sent into its channels."""
        made = Audiences(self._rows, self._outbox, self.key, self._first, self._ids, GroupSight(self))
        self.__dict__["audiences"] = made
        made.begin()
        return made

    @property
    def plain(self) -> bool:
        """Whether everybody in it hears everything unasked."""
        return not self.ruled and self.joined == "messages" and not self.asked

    @property
    def asked(self) -> bool:
        """Whether any session subscribed to something of it, or did of late."""
        return bool(self._subscribed) or "subscriptions" in self.__dict__

    @cached_property
    def subscriptions(self) -> Subscriptions:
        """What sessions asked to hear of it."""
        return Subscriptions(self._rows, self._outbox, self.map, self.key, self._first, self._subscribed, self._ids)

    def audience_of(self, channel: str) -> Audience | None:
        """The members who see a channel; None: all do."""
        return self.audiences.of(channel) if self.ruled else None

    def sees(self, ordinal: int, channel: str) -> bool:
        """Whether a member sees a channel that there is."""
        return (audience := self.audience_of(channel)) is None or audience.holds(ordinal)

    def subscribers(self, kind: Kind, channel: str = "") -> Subscribers | None:
        """The sessions that subscribed to something; None where none did."""
        return self.subscriptions.of(kind, channel) if self.asked else None

    def unlearn(self, outlet: Outlet) -> None:
        """A link knows no audience of it any more: it begins anew."""
        if self.ruled:
            self.audiences.forget(outlet)
        if self.asked:
            self.subscriptions.forget(outlet)

    def touched(self, touched: Mapping[Place, BitMap]) -> None:
        """The structure changed: the visibility of these places may be another one for these members."""
        self.ruled = True
        self._flips += self.audiences.touched(touched)

    def forget(self, ordinals: BitMap) -> None:
        """These are members no more: no role, list, override or audience is about them."""
        self.structure.forget(ordinals)
        self._gone = self.audiences.gone(ordinals)

    def take_gone(self) -> list[Flip]:
        """Which channels those saw who were removed since the last call."""
        gone, self._gone = self._gone, []
        return gone

    def take_flips(self) -> list[Flip]:
        """Who entered and who left places by what changed since the last call."""
        flips, self._flips = self._flips, []
        return flips

    def sent(self, channel: str) -> None:
        """The channel's row is to be written with this batch."""
        self._sent[channel] = None

    def _numbered(self) -> list[str]:
        """The channels that had a message: those with a row."""
        prefix = keys.name(keys.CHANNEL, self.key)
        stored = [key[len(prefix) : -1].decode() for key, _ in self._rows.scan(prefix)]
        return list(dict.fromkeys([*stored, *self._sent]))

    @cached_property
    def change_sets(self) -> ChangeSets:
        """Changes that come in parts."""
        return ChangeSets(self._rows, self.key, self._first)

    @cached_property
    def origins(self) -> Origins:
        """Since when and how members are such."""
        return Origins(self._rows, self.key, self._first)

    @cached_property
    def profiles(self) -> Profiles:
        """What members are in the group."""
        return Profiles(self._rows, self.key, self._first)

    @cached_property
    def mutes(self) -> Mutes:
        """Members whose sends are refused; none where it is not `ruled`."""
        return Mutes(self._rows, self.key, self._first)

    @cached_property
    def bans(self) -> Bans:
        """Users who are kept out."""
        return Bans(self._rows, self.key, self._first)

    @cached_property
    def requests(self) -> Requests:
        """Invites and applications."""
        return Requests(self._rows, self.key, self._first)

    @cached_property
    def codes(self) -> Codes:
        """Invite codes."""
        return Codes(self._rows, self.key, self._first)

    @property
    def first(self) -> int:
        """Names its life: the lowest ordinal there may be."""
        return self._first

    def prune(self, voids: Voids) -> None:
        """Drop the bindings of registrations that died since this was last asked. O(1) when none did."""
        if self._voids_seen != voids.changes:
            self._voids_seen = voids.changes
            self.map.prune(voids)
            for part in ("audiences", "subscriptions"):
                if part in self.__dict__:
                    self.__dict__[part].prune(voids)

    @property
    def memory_bytes(self) -> int:
        """About what it takes in memory. O(links)."""
        numbers = sum([channel.memory_bytes for channel in self._numbers.values()])
        parts: int = sum([self.__dict__[part].memory_bytes for part in _HELD if part in self.__dict__])
        return _BYTES_PER_GROUP + self.members.memory_bytes + self.map.memory_bytes + numbers + parts

    def flush(self) -> None:
        """Write what changed to the rows."""
        self.members.flush()
        self.map.flush()
        for channel in self._sent:
            self.numbers(channel).flush()
        self._sent = {}
        for part in self._parts():
            part.flush()
        if (row := self._row()) != self._written:
            self._rows.put(keys.GROUP + self.key, row)
            self._written = row

    def _parts(self) -> list[_Part]:
        """Those that were made and gather changes."""
        return [self.__dict__[name] for name in _GATHERING if name in self.__dict__]

    def _row(self) -> bytes:
        next_ = self.members.next
        return _encode(
            _Row(
                self.alive,
                self.kind,
                self.version,
                self._first,
                next_,
                self.map.version,
                self.map.addresses,
                self.owner,
                self.profile,
                self.muted_until,
                self.ruled,
                self._ids.next,
                self.subscriptions.links if "subscriptions" in self.__dict__ else self._subscribed,
                self.joined,
            )
        )


class Groups:
    """The groups of one partition: those touched of late in memory, all in rows.

    Attributes:
        budget_bytes: about what they may take in memory together.
        memory_bytes: about what they take.
    """

    def __init__(
        self, rows: Rows, outbox: Outbox, voids: Voids, partition: int, partitions: int, budget_bytes: int
    ) -> None:
        self.budget_bytes = budget_bytes
        self.memory_bytes = 0
        self._rows = rows
        self._outbox = outbox
        self._voids = voids
        self.map_log = MapLog()
        self._partition = partition
        self._partitions = partitions
        self._cached: OrderedDict[bytes, Group] = OrderedDict()
        self._sizes: dict[bytes, int] = {}  # as of when each was last touched
        self._large: dict[bytes, int] = {}  # and in which batch they were touched last
        self._batches = 0
        self._touched: dict[bytes, Group] = {}
        self.counts: Counter[str] = Counter()  #: groups used, loaded and dropped since somebody took it away

    def touch(self, app: str, group: str) -> Group:
        """The group, to be changed; its rows are written by `flush`.

        Raises:
            Malformed: it belongs to another partition.
        """
        found = self._get(app, group)
        self._touched[found.key] = found
        return found

    def look(self, app: str, group: str) -> Group:
        """The group, to be read between batches: nothing of it is written, and it keeps to the budget like others.

        Raises:
            Malformed: it belongs to another partition.
        """
        found = self._get(app, group)
        self._weigh(found)
        self._shrink(to=1)
        return found

    def peek(self, key: bytes) -> Group | None:
        """The group if it is in memory."""
        if (found := self._cached.get(key)) is not None:
            self._cached.move_to_end(key)
        return found

    def __len__(self) -> int:
        """How many are in memory."""
        return len(self._cached)

    def touched(self) -> Iterable[Group]:
        """Those touched since the last flush."""
        return self._touched.values()

    def flush(self) -> None:
        """Write what changed; then drop from memory those not touched for longest, until the rest fit the budget.

        Those touched since the last flush stay, and large ones touched of late do, as far as HELD_BUDGETS go: a group
        that is larger than the budget is not loaded anew whenever others had a batch to themselves.
        """
        self._batches += 1
        for group in self._touched.values():
            group.flush()
            self._weigh(group)
        self._shrink(to=len(self._touched))
        self.counts["groups_used"] += len(self._touched)
        self._touched = {}

    def _get(self, app: str, group: str) -> Group:
        key = key_of(app, group)
        found = self.peek(key)
        if found is None:
            if (right := partition_of(key, self._partitions)) != self._partition:
                raise Malformed("wrong_partition", f"{key.decode()} belongs to partition {right}")
            found = self._cached[key] = Group(self._rows, self._outbox, self._voids, self.map_log, app, group)
            self.counts["groups_loaded"] += 1
        found.prune(self._voids)
        return found

    def _weigh(self, group: Group) -> None:
        self.memory_bytes += (size := group.memory_bytes) - self._sizes.get(group.key, 0)
        self._sizes[group.key] = size
        if size * _LARGE > self.budget_bytes:
            self._large[group.key] = self._batches

    def _shrink(self, to: int) -> None:
        """Drop those not used for longest, all but the last ones and those that are held."""
        left = len(self._cached) - to
        if self.memory_bytes <= self.budget_bytes or left <= 0:
            return
        held = {key for key, batch in self._large.items() if batch + limits.HELD_BATCHES >= self._batches}
        self._drop_until(self.budget_bytes, left, held)
        self._drop_until(limits.HELD_BUDGETS * self.budget_bytes, len(self._cached) - to, set())

    def _drop_until(self, bytes_: int, most: int, held: Container[bytes]) -> None:
        """Drop the oldest that are not held, at most so many, until all others take no more bytes than that."""
        excess = self.memory_bytes - bytes_
        oldest: list[bytes] = []
        for key in islice(self._cached, most):
            if excess <= 0:
                break
            if key not in held:
                oldest.append(key)
                excess -= self._sizes.get(key, 0)
        for key in oldest:
            del self._cached[key]
            self._large.pop(key, None)
            self.memory_bytes -= self._sizes.pop(key, 0)
            self.counts["groups_dropped"] += 1


#: A group that takes more than this part of the budget is a large one.
_LARGE: Final = 8
