"""People who are in many groups each: the job that logins, resumes and dying links are measured on.

Everything is deterministic. No two users next to one another are in the same groups, and a group's users are spread
over all links. Sessions come by records on `sessions`, as gateways write them, so the users role binds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec

from jobs.bench.lab import Filling, Lab, Trial, Worker
from jobs.bench.world import APP, EPOCH, link_name
from jobs.problem import Problem
from topics import catalog
from topics.codec import encode
from topics.keys import key_of, partition_of
from topics.relations import CreateGroup
from topics.sessions import Up
from topics.wire import LinkAddress, SessionId, ToSession

DEVICE: Final = "phone"
_WITHIN_S: Final = 600.0


def addresses(links: int) -> list[LinkAddress]:
    """Links that nobody registered: so nobody waits for their beats."""
    return [LinkAddress(link_name(number), EPOCH, number) for number in range(links)]


@dataclass(frozen=True)
class People:
    """Users, each in so many groups.

    Attributes:
        users: how many.
        groups: how many there are.
        each: groups of a user.
        partitions: the cluster's.
        links: where their sessions are; one after the other takes the next. Replaced where a link registers anew.
        prefix: begins the groups' names.
    """

    users: int
    groups: int
    each: int
    partitions: int
    links: tuple[LinkAddress, ...]
    prefix: str = "g"

    @property
    def members(self) -> int:
        """The least members that a group has."""
        return min(map(len, self._members))

    @cached_property
    def _members(self) -> list[list[int]]:
        """Each group's users."""
        stride = self.groups // self.each + 1
        members: list[list[int]] = [[] for _ in range(self.groups)]
        for user in range(self.users):
            for number in range(self.each):
                members[(user + number * stride) % self.groups].append(user)
        return members

    def group(self, number: int) -> str:
        """The name of a group."""
        return f"{self.prefix}{number}"

    @staticmethod
    def name(user: int) -> str:
        """The name of a user."""
        return f"u{user}"

    def user(self, group: int, ordinal: int) -> str:
        """The name of a group's member."""
        return self.name(self._members[group][ordinal])

    def keyed(self, group: int) -> tuple[int, bytes]:
        """Where a group's records go: partition and key."""
        key = key_of(APP, self.group(group))
        return partition_of(key, self.partitions), key

    def session(self, group: int, ordinal: int) -> ToSession:
        """A member's session."""
        user = self._members[group][ordinal]
        link = self.link_of(user)
        return ToSession(link.link, link.epoch, link.partition, user)

    def link_of(self, user: int) -> LinkAddress:
        """Where a user's session is."""
        return self.links[user % len(self.links)]

    def relations(self) -> Iterator[Filling]:
        """The groups come to be."""
        for group in range(self.groups):
            users = [self.name(user) for user in self._members[group]]
            yield *self.keyed(group), encode(CreateGroup(APP, self.group(group), "team", users))

    def ups(self, users: Iterable[int]) -> Iterator[Filling]:
        """These users come online; a session's slot is its user's number."""
        for user in users:
            link = self.link_of(user)
            up = Up(APP, self.name(user), DEVICE, link.link, link.epoch, link.partition, user)
            yield *self.user_keyed(user), encode(up)

    def user_keyed(self, user: int) -> tuple[int, bytes]:
        """Where a user's records go: partition and key."""
        key = key_of(APP, self.name(user))
        return partition_of(key, self.partitions), key

    def was(self, user: int) -> SessionId:
        """The session that `ups` made."""
        link = self.link_of(user)
        return SessionId(link.link, link.epoch, user)


@dataclass(frozen=True, slots=True)
class Pair:
    """The two workers that hear of sessions."""

    groups: Worker
    users: Worker


async def settle(lab: Lab, trial: Trial, people: People) -> Pair:
    """A groups and a users worker that know everybody's groups."""
    lab.tell(f"{people.users:,} users in {people.each} of {people.groups:,} groups each")
    await trial.fill(catalog.RELATIONS.name, people.relations())
    pair = Pair(await trial.start_worker("groups", "groups"), await trial.start_worker("users", "users"))
    await trial.consumed(pair.groups, catalog.RELATIONS, within_s=_WITHIN_S)
    await trial.consumed(pair.users, catalog.MEMBERSHIPS, within_s=_WITHIN_S)
    return pair


async def listened(trial: Trial, pair: Pair) -> None:
    """Wait until all that sessions asked for so far is in force."""
    await trial.consumed(pair.users, catalog.SESSIONS, within_s=_WITHIN_S)
    await trial.consumed(pair.groups, catalog.BINDINGS, within_s=_WITHIN_S)


class _Entry(msgspec.Struct):
    tag: str = msgspec.field(name="t", default="")
    slots: list[int] = []


class _Lot(msgspec.Struct):
    link: str = ""
    epoch: int = 0
    entries: list[_Entry] = []


_LOTS: Final = msgspec.json.Decoder(_Lot)
_BOUND: Final = b'{"t":"bound"'


@dataclass(slots=True)
class Bindings:
    """What the links' partitions hold of binds since some moment.

    Attributes:
        count: sessions told to listen to a group, each once a group.
        last_ms: when the last lot with one of them was appended.
    """

    count: int = 0
    last_ms: float = 0.0

    def add(self, value: bytes, at_ms: float, links: Sequence[tuple[str, int]] | None = None) -> None:
        """A record; of interest only if it is for one of these (link, epoch), if any are named."""
        if _BOUND not in value:
            return
        lot = _LOTS.decode(value)
        if links is None or (lot.link, lot.epoch) in links:
            self.count += sum(len(entry.slots) for entry in lot.entries if entry.tag == "bound")
            self.last_ms = max(self.last_ms, at_ms)


async def bound(
    trial: Trial, since: dict[int, int], expected: int, links: Sequence[tuple[str, int]] | None = None
) -> float:
    """When the last of so many binds was told to its link, by the broker's clock.

    Raises:
        Problem: there are more or fewer.
    """
    found = Bindings()
    async for record in trial.read(catalog.DELIVERIES, since=since):
        found.add(record.value or b"", record.timestamp, links)
    if found.count != expected:
        raise Problem(f"Of {expected:,} binds the links were told of {found.count:,}")
    return found.last_ms


async def first_ms(trial: Trial, topic: catalog.Topic, since: dict[int, int]) -> float:
    """When the first record of a topic after some offsets was appended."""
    return float(min([record.timestamp async for record in trial.read(topic, since=since)]))
