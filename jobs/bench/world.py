"""The job that throughput is measured on: groups whose members are online on a few links, and messages to them.

Everything is deterministic. Bodies are random printable characters: no JSON text is harder to compress (6.5 of 8 bits).

Sessions are bound by records on `bindings`, as the users role would write them. So no users worker needs to run, and
nothing voids a link that no gateway keeps alive: what is measured is the groups role alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from msgspec import Raw

from jobs.bench.lab import Filling
from topics import limits
from topics.bindings import Bind, BindingLot, Unbind
from topics.codec import encode
from topics.entities import GroupKind
from topics.keys import key_of, partition_of
from topics.messages import Send
from topics.policy import TIMES, Policy
from topics.relations import AddMembers, CreateGroup
from topics.wire import ToSession

APP: Final = "bench"
#: Each message is pushed to everybody who sees its channel, at any size, and up to as many a second as an app may have:
#: where what messages cost is measured, and not what they cost less as notices.
PUSHED: Final = Policy(drive_server="message", burst_per_s=TIMES * limits.BURST_PER_S)
EPOCH: Final = 1
DEVICE: Final = "d"
_BINDS_PER_LOT: Final = 500
_MARK: Final = "-here-"
_LETTERS: Final = np.frombuffer(bytes(c for c in range(0x20, 0x7F) if c not in b'"\\'), np.uint8)


def bodies(count: int, size: int, seed: int = 1) -> list[bytes]:
    """JSON strings of `size` bytes, as incompressible as JSON text can be; the same ones for the same seed."""
    letters = np.random.default_rng(seed).choice(_LETTERS, (count, size - 2))
    return [b'"' + row.tobytes() + b'"' for row in letters]


class Speakers(Protocol):
    """Groups whose members can be made to talk."""

    @property
    def groups(self) -> int:
        """How many."""

    @property
    def members(self) -> int:
        """Of each, at least."""

    @property
    def prefix(self) -> str:
        """Begins their names."""

    def group(self, number: int, /) -> str:
        """The name of a group."""

    def user(self, group: int, ordinal: int, /) -> str:
        """The name of a group's member."""

    def keyed(self, group: int, /) -> tuple[int, bytes]:
        """Where a group's records go: partition and key."""

    def session(self, group: int, ordinal: int, /) -> ToSession:
        """A member's session."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Groups alike.

    Attributes:
        groups: how many.
        members: of each; all of them online.
        links: over which the members of each group are spread evenly.
        partitions: the cluster's.
        kind: of the groups.
        prefix: begins their names.
    """

    groups: int
    members: int
    links: int
    partitions: int
    kind: GroupKind = "team"
    prefix: str = "g"

    def group(self, number: int) -> str:
        """The name of a group."""
        return f"{self.prefix}{number}"

    def user(self, group: int, ordinal: int) -> str:
        """The name of a group's member."""
        return f"{self.prefix}{group}-{ordinal}"

    def link(self, ordinal: int) -> int:
        """The number of a member's link, which is also its partition of `deliveries`."""
        return ordinal % self.links

    def slot(self, group: int, ordinal: int) -> int:
        """A member's session on its link."""
        return group * self.members + ordinal

    def session(self, group: int, ordinal: int) -> ToSession:
        """A member's session, as an answer is addressed to it."""
        link = self.link(ordinal)
        return ToSession(link_name(link), EPOCH, link, self.slot(group, ordinal))

    def keyed(self, group: int) -> tuple[int, bytes]:
        """Where a group's records go: partition and key."""
        key = key_of(APP, self.group(group))
        return partition_of(key, self.partitions), key

    def relations(self) -> Iterator[Filling]:
        """The groups come to be."""
        for group in range(self.groups):
            users = [self.user(group, ordinal) for ordinal in range(self.members)]
            first, later = users[: limits.LOT_USERS], users[limits.LOT_USERS :]
            yield *self.keyed(group), encode(CreateGroup(APP, self.group(group), self.kind, first))
            for start in range(0, len(later), limits.LOT_USERS):
                added = later[start : start + limits.LOT_USERS]
                yield *self.keyed(group), encode(AddMembers(APP, self.group(group), added))

    def bindings(self) -> Iterator[Filling]:
        """Everybody listens."""
        lots: dict[int, list[Bind]] = {}
        for group in range(self.groups):
            partition, _ = self.keyed(group)
            for ordinal in range(self.members):
                lot = lots.setdefault(partition, [])
                lot.append(self.bind(group, ordinal, self.slot(group, ordinal)))
                if len(lot) == _BINDS_PER_LOT:
                    yield partition, None, encode(BindingLot([*lots.pop(partition)]))
        for partition, lot in lots.items():
            yield partition, None, encode(BindingLot([*lot]))

    def bind(self, group: int, ordinal: int, slot: int) -> Bind:
        """A member's session begins."""
        link = self.link(ordinal)
        return Bind(APP, self.group(group), self.user(group, ordinal), ordinal, link_name(link), EPOCH, link, slot)

    def unbind(self, group: int, ordinal: int, slot: int) -> Unbind:
        """A member's session ends."""
        return Unbind(APP, self.group(group), ordinal, link_name(self.link(ordinal)), EPOCH, slot)


class Churn:
    """Sessions of a crowd, all online at first: some end, and those that ended begin again on their links.

    The same seed gives the same ones.
    """

    def __init__(self, crowd: Crowd, seed: int = 1) -> None:
        self._crowd = crowd
        self._random = np.random.default_rng(seed)
        self._slots: dict[tuple[int, int], int] = {}  # of those whose first session ended
        self._fresh = itertools.count(crowd.groups * crowd.members)
        self._away: dict[tuple[int, int], None] = {}

    def take(self, count: int, now_ms: int = 0) -> list[Filling]:  # noqa: ARG002 -- as other loads are taken
        """So many sessions end, and as many of those that ended before begin: a lot a partition, mixed."""
        coming = list(itertools.islice(self._away, count))
        entries: list[tuple[int, Bind | Unbind]] = [
            (group, self._end(group, ordinal)) for group, ordinal in self._some(count)
        ]
        entries += [(group, self._begin(group, ordinal)) for group, ordinal in coming]
        by_partition: dict[int, list[Bind | Unbind]] = {}
        for at in self._random.permutation(len(entries)).tolist():
            group, entry = entries[at]
            by_partition.setdefault(self._crowd.keyed(group)[0], []).append(entry)
        return [(partition, None, encode(BindingLot([*lot]))) for partition, lot in by_partition.items()]

    def _some(self, count: int) -> Iterator[tuple[int, int]]:
        """Groups and ordinals of members who are online."""
        crowd = self._crowd
        for _ in range(count):
            one = divmod(int(self._random.integers(crowd.groups * crowd.members)), crowd.members)
            while one in self._away:
                one = divmod(int(self._random.integers(crowd.groups * crowd.members)), crowd.members)
            yield one

    def _end(self, group: int, ordinal: int) -> Unbind:
        self._away[group, ordinal] = None
        return self._crowd.unbind(group, ordinal, self._slots.get((group, ordinal), self._crowd.slot(group, ordinal)))

    def _begin(self, group: int, ordinal: int) -> Bind:
        del self._away[group, ordinal]
        slot = self._slots[group, ordinal] = next(self._fresh)
        return self._crowd.bind(group, ordinal, slot)


class Sends:
    """Messages to random groups of a crowd from random members, made quickly: only ids and times differ within a lot.

    The same seed gives the same messages.
    """

    def __init__(self, crowd: Speakers, body_bytes: int, *, answered: bool = False, seed: int = 1) -> None:
        """Prepare them.

        Args:
            crowd: whose.
            body_bytes: the size of a body.
            answered: whether senders ask for an answer.
            seed: chooses groups, senders and bodies.
        """
        self._numbers = itertools.count()
        random = np.random.default_rng(seed)
        self._prefix = f"{crowd.prefix}{seed}-"
        self._moulds = [
            _mould(crowd, int(group), int(ordinal), body, answered=answered)
            for group, ordinal, body in zip(
                random.integers(0, crowd.groups, _MOULDS),
                random.integers(0, crowd.members, _MOULDS),
                bodies(_MOULDS, body_bytes, seed),
                strict=True,
            )
        ]

    def take(self, count: int, now_ms: int) -> list[Filling]:
        """The next messages, first tried at `now_ms`."""
        tried = b"%d" % now_ms
        taken: list[Filling] = []
        for number in itertools.islice(self._numbers, count):
            partition, key, head, middle, tail = self._moulds[number % _MOULDS]
            client_id = f"{self._prefix}{number}".encode()
            taken.append((partition, key, b"".join((head, client_id, middle, tried, tail))))
        return taken


_MOULDS: Final = 20_011  # a prime: no lot's size divides it


def _mould(
    crowd: Speakers, group: int, ordinal: int, body: bytes, *, answered: bool
) -> tuple[int, bytes, bytes, bytes, bytes]:
    """A message's partition and key, and its bytes around the id and the time."""
    reply = crowd.session(group, ordinal) if answered else None
    send = Send(APP, crowd.group(group), crowd.user(group, ordinal), DEVICE, _MARK, 0, Raw(body), reply=reply)
    head, rest = encode(send).split(f'"{_MARK}"'.encode())
    middle, tail = rest.split(b":0,", 1)
    return *crowd.keyed(group), head + b'"', b'"' + middle + b":", b"," + tail


def link_name(number: int) -> str:
    """The name of a link."""
    return f"L{number}"
