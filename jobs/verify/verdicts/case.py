"""A command before its group: what is asked of the group, what speaks against the command, what it leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from jobs.verify.ever import Ever
from jobs.verify.lives import ALL, CategoryLife, ChannelLife, Life, Minted, Request, RequestKind, RoleLife
from topics import events, limits
from topics.answers import Code
from topics.entities import Code as InviteCode
from topics.entities import Override, Permission, Role
from topics.events import RelationEvent
from topics.policy import Policy
from topics.relations import Asked, Large


class Verdict(NamedTuple):
    """What a command must lead to.

    Attributes:
        told: the events, as `told_of` gives them; none: it changes nothing, or is refused.
        codes: it must be refused with one of these, if there are any.
        maybe: it may be refused with one of these: what decides them is not in the topics.
    """

    told: tuple[Told, ...] = ()
    codes: frozenset[Code] = frozenset()
    maybe: frozenset[Code] = frozenset()


class Told(NamedTuple):
    """What an event says, without what follows from its place or a policy: version, moments, ordinals."""

    kind: str
    fields: tuple[tuple[str, Any], ...]


def told_of(event: RelationEvent) -> Told:
    """What an event says."""
    return told(type(event).__name__, **{name: getattr(event, name) for name in event.__struct_fields__})


def told(kind: str, /, **fields: Any) -> Told:
    """An event of this kind that says this."""
    said = {name: fields.get(name, default) for name, default in _fields_of(kind).items()}
    return Told(
        kind, tuple((name, plain(value, ordered=(kind, name) in _ORDERED)) for name, value in sorted(said.items()))
    )


def plain(value: Any, *, ordered: bool = False) -> Any:
    """A value without an order that means nothing."""
    if isinstance(value, list):
        return tuple(value) if ordered else tuple(sorted(value))
    if isinstance(value, Role | Override):
        return msgspec.structs.replace(value, allow=sorted(set(value.allow)), deny=sorted(set(value.deny)))
    return msgspec.structs.replace(value, expires_at=0) if isinstance(value, InviteCode) else value


#: Where the order is that of the ordinals.
_ORDERED: Final = {("GroupCreated", "users"), ("MembersAdded", "users")}
_ASIDE: Final = {
    "expires_at",
    "app",
    "group",
    "version",
    "at",
    "ordinals",
    "ordinal",
    "added_ordinals",
    "removed_ordinals",
    "v",
}


def _fields_of(kind: str) -> dict[str, Any]:
    fields = msgspec.structs.fields(getattr(events, kind))
    return {
        one.name: one.default if one.default is not msgspec.NODEFAULT else _made(one.default_factory)
        for one in fields
        if one.name not in _ASIDE
    }


def _made(factory: Any) -> Any:
    return None if factory is msgspec.NODEFAULT else factory()


@dataclass(slots=True)
class Case:
    """One command before its group.

    Attributes:
        life: the group as it was; it lives.
        command: the command.
        version: the group's version before it.
        at_ms: when it was appended.
        used: (version at which an invite code was made, it) -> how often it was used.
        policy: the limits of its app.
        codes: what speaks against it.
        maybe: what may speak against it.
        events: what it leads to if nothing does.
    """

    life: Life
    command: Any
    version: int
    at_ms: int
    used: Mapping[tuple[int, str], int]
    policy: Policy
    codes: set[Code] = field(default_factory=set)
    maybe: set[Code] = field(default_factory=set)
    events: list[Told] = field(default_factory=list)

    # -- what is asked -----------------------------------------------------------------------------------------------

    def member(self, user: str) -> bool:
        """Whether a user is a member."""
        return self.life.members.has(user, self.version)

    def owner(self) -> str | None:
        """Who owns the group."""
        return self.life.owner.at(self.version)

    def members(self, users: Iterable[str]) -> list[str]:
        """Those of these users who are members, each once."""
        return [user for user in dict.fromkeys(users) if self.member(user)]

    def banned_until(self, user: str) -> int:
        """Until when a user is kept out; 0: it is not."""
        return _unless_over(self.life.bans.get(user), self)

    def muted_until(self, user: str) -> int:
        """Until when a member is muted; 0: it is not."""
        return _unless_over(self.life.mutes.get(user), self)

    def highest(self, user: str) -> int:
        """The highest priority that a user holds; the owner's is above all."""
        return 1 << 31 if user == self.owner() else self.life.highest(user, self.version)

    def request(self, kind: RequestKind, name: str) -> Request | None:
        """An invite or application, as long as it is known."""
        held = self.life.requests.get((kind, name))
        found = held.at(self.version) if held is not None else None
        if found is not None and found.end is not None and found.ended_ms + limits.REQUEST_ENDED_MS <= self.at_ms:
            return None
        return found

    def is_open(self, request: Request | None) -> bool:
        """Whether it may be answered."""
        return request is not None and request.end is None and self.at_ms < request.expires_at

    def code(self, name: str) -> Minted | None:
        """An invite code that has not ended."""
        held = self.life.codes.get(name)
        return held.at(self.version) if held is not None else None

    def uses(self, minted: Minted) -> int:
        """How often a code may be used yet."""
        return minted.code.uses - self.used.get((minted.version, minted.code.code), 0)

    def role(self) -> RoleLife | None:
        """The role that the command names."""
        return self.life.role(self.command.role, self.version)

    def place(self) -> ChannelLife | CategoryLife | None:
        """The channel or category that the command names."""
        if self.command.channel is not None:
            return self.life.channel(self.command.channel, self.version)
        return self.life.category(self.command.category, self.version)

    # -- what is said ------------------------------------------------------------------------------------------------

    def refuse(self, code: Code, *, when: bool = True) -> None:
        """This speaks against it."""
        if when:
            self.codes.add(code)

    def need(self, permission: Permission, at: ChannelLife | CategoryLife | None = None) -> None:
        """Who asks must be permitted to: in the group, or in a channel or category."""
        self.refuse("not_permitted", when=permission not in self.held(at))

    def held(self, at: ChannelLife | CategoryLife | None = None) -> frozenset[Permission]:
        """What who asks is permitted to."""
        by = self.command.by
        if by is None:
            return ALL
        return self.life.permissions(by, self.version, self.life.levels(at, self.version))

    def above(self, *, users: Iterable[str] = (), priorities: Iterable[int] = ()) -> None:
        """Who asks must stand above these members and priorities."""
        by = self.command.by
        if by is None or by == self.owner() or not self.member(by):
            return
        own = self.highest(by)
        under = [*priorities, *map(self.highest, users)]
        self.refuse("not_permitted", when=any(one >= own for one in under))

    def gives(self, given: Iterable[Permission], at: ChannelLife | CategoryLife | None = None) -> None:
        """Who asks can only give what it holds itself."""
        self.refuse("not_permitted", when=not set(given) <= self.held(at))

    def room(self, count: int, limit: int) -> None:
        """There must not be more than that many then."""
        self.refuse("limit_reached", when=count > limit)

    def room_for(self, users: Iterable[str]) -> None:
        """There must be room for these members."""
        new = {user for user in users if not self.member(user)}
        self.room(self.life.count.at(self.version) + len(new), self.policy.group_members)

    def server(self) -> None:
        """Only servers have that."""
        self.refuse("wrong_kind", when=self.life.kind != "server")

    def tell(self, kind: str, /, **fields: Any) -> None:
        """It leads to this event."""
        change_set = self.command.change_set if isinstance(self.command, Large) else None
        self.events.append(told(kind, by=self.command.by, change_set=change_set, **fields))

    def verdict(self) -> Verdict:
        """All of it."""
        codes = frozenset(self.codes)
        return Verdict(() if codes else tuple(self.events), codes, frozenset(self.maybe))


def _unless_over(until: Ever[int] | None, case: Case) -> int:
    moment = until.at(case.version) if until is not None else 0
    return moment if moment > case.at_ms else 0


def granted(before: Role | Override, after: Role | Override) -> set[Permission]:
    """What a change gives: what is allowed newly, and what is denied no more."""
    return (set(after.allow) - set(before.allow)) | (set(before.deny) - set(after.deny))


def made_of(type_: type[msgspec.Struct], command: Asked) -> Any:
    """The entity that a creating command describes."""
    given = {name: getattr(command, name) for name in type_.__struct_fields__ if hasattr(command, name)}
    return type_(**given)


def changed_by(command: Asked, entity: Any) -> Any:
    """The entity with what a changing command gives."""
    given = {name: getattr(command, name, msgspec.UNSET) for name in entity.__struct_fields__}
    return msgspec.structs.replace(entity, **{name: one for name, one in given.items() if one is not msgspec.UNSET})


#: Says what speaks against a command of one type, and what it leads to.
Judge = Callable[[Case, Any], None]
