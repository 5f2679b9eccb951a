"""All that is said of one group, in a form that two who say it can be compared by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: What something is of, in a form for people: ("members", "17").
Thing = tuple[str, ...]


class GroupId(NamedTuple):
    """Which group."""

    app: str
    group: str

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.app}:{self.group}"


@dataclass
class GroupState:
    """One group.

    Attributes:
        version: which version of it this is.
        things: what is said of each thing.
        kept: the channels of which a member list is kept; None where nobody can tell.
    """

    version: int
    things: dict[Thing, Any] = field(default_factory=dict)
    kept: set[str] | None = None

    def add(self, *thing: Any, said: Any = True) -> None:
        """This is said of a thing."""
        self.things[tuple(str(part) for part in thing)] = said


class Difference(NamedTuple):
    """The two don't say the same of a thing.

    Attributes:
        group: of which group.
        thing: which thing.
        stored: what the final state says; None: there is no such thing.
        asked: what the views say.
    """

    group: GroupId
    thing: Thing
    stored: Any
    asked: Any


def compare(group: GroupId, stored: GroupState, asked: GroupState) -> Iterator[Difference]:
    """Where they differ. The member list of a channel is compared where one is kept."""
    kept = stored.kept or set()
    ours, theirs = (_comparable(state.things, kept) for state in (stored, asked))
    for thing in dict.fromkeys([*ours, *theirs]):
        if ours.get(thing) != theirs.get(thing):
            yield Difference(group, thing, ours.get(thing), theirs.get(thing))


def _comparable(things: Mapping[Thing, Any], kept: set[str]) -> dict[Thing, Any]:
    return {thing: said for thing, said in things.items() if thing[0] != "channel member" or thing[1] in kept}
