"""The server that relations are measured on: very many members, all online over the links, roles, channels, lists.

Its members and their bindings are those of a `Crowd` of one group. Who holds a role is drawn at random, so that no
bitmap of theirs is easier to pack or to split over links than a real one; the same seed draws the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from jobs.bench.lab import Filling
from jobs.bench.world import APP, Crowd
from topics import limits
from topics.codec import encode
from topics.keys import key_of, partition_of
from topics.relations import AddMembers, AddRoleMembers, Asked, CreateChannel, CreateGroup, CreateRole, EditList, Large


def filling(command: Asked, partitions: int) -> Filling:
    """A command as a record to write."""
    key = key_of(command.app, command.group)
    return partition_of(key, partitions), key, encode(command)


def lots(users: Sequence[str]) -> list[list[str]]:
    """Users in lots of as many as a record takes."""
    return [list(users[at : at + limits.LOT_USERS]) for at in range(0, len(users), limits.LOT_USERS)]


def in_parts(
    kind: type[Large], users: Sequence[str], change_set: str, field: str = "users", **fields: Any
) -> list[Any]:
    """One change as commands with a lot of users each, all of one change set.

    Args:
        kind: the type of command.
        users: all of them.
        change_set: names the whole.
        field: where the users stand in it.
        **fields: the rest of each command.
    """
    many = lots(users)
    return [
        kind(**{**fields, field: lot}, change_set=change_set, part=number, parts=len(many))
        for number, lot in enumerate(many, 1)
    ]


@dataclass(frozen=True)
class Server:
    """A server.

    Attributes:
        members: how many, all of them online.
        links: over which they are spread evenly.
        partitions: the cluster's.
        prefix: begins its name.
    """

    members: int
    links: int
    partitions: int
    prefix: str = "s"

    @cached_property
    def crowd(self) -> Crowd:
        """Its members and where they listen."""
        return Crowd(1, self.members, self.links, self.partitions, "server", self.prefix)

    @property
    def name(self) -> str:
        """The group's id."""
        return self.crowd.group(0)

    def users(self, ordinals: Sequence[int] | None = None) -> list[str]:
        """Members by their ordinals; all of them where none are named."""
        return [self.crowd.user(0, ordinal) for ordinal in (range(self.members) if ordinals is None else ordinals)]

    def some(self, count: int, seed: int) -> list[int]:
        """Ordinals of so many members, drawn."""
        return sorted(np.random.default_rng(seed).choice(self.members, count, replace=False).tolist())

    # -- commands ----------------------------------------------------------------------------------------------------

    def imported(self) -> Iterator[Asked]:
        """The server comes to be with its first member, and all others are imported as one change."""
        first, *others = self.users()
        yield CreateGroup(APP, self.name, "server", [first], owner=first)
        yield from in_parts(AddMembers, others, "import", app=APP, group=self.name)

    def role(self, role: str, ordinals: Sequence[int], change_set: str | None = None) -> Iterator[Asked]:
        """A role comes to be, and is given to members."""
        yield CreateRole(APP, self.name, role)
        yield from in_parts(
            AddRoleMembers, self.users(ordinals), change_set or f"give-{role}", app=APP, group=self.name, role=role
        )

    def private(self, channel: str, *roles: str) -> CreateChannel:
        """A private channel that these roles see."""
        return CreateChannel(APP, self.name, channel, view_mode="private", white_roles=[*roles])

    def white(self, channel: str, **edit: Any) -> EditList:
        """A change of a channel's white list."""
        return EditList(APP, self.name, "white", channel, **edit)

    def fillings(self, commands: Iterable[Asked]) -> Iterator[Filling]:
        """Commands as records to write."""
        return (filling(command, self.partitions) for command in commands)


#: `groups_memory_mb` where such a server is measured: it fits, also beside groups that are used in turns with it.
MEMORY_MB: Final = 2_048
#: Who holds the role that is taken away: a fifth.
SHARE: Final = 5
