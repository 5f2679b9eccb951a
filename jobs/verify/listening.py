"""What one link was told of one group: replayed as its gateway does it, entry by entry."""

from __future__ import annotations

from array import array
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from jobs.verify.bitmaps import ordinals_of
from jobs.verify.findings import Findings
from jobs.verify.links import Registration
from jobs.verify.members import NEVER, Group, Member
from jobs.verify.present import Present
from topics.deliveries import AudienceDelta, AudienceSet, Bound, Changed, Head, SignalOut, Unbound
from topics.messages import Message


@dataclass(slots=True)
class Binding:
    """A slot's binding: under which ordinal, from which Link map version, and which membership that is."""

    slot: int
    ordinal: int
    since: int
    member: Member | None


@dataclass(slots=True)
class Audience:
    """What the link was told of an audience: who of its listeners is in it, at which version. Changes are stamped."""

    members: set[int]
    version: int
    stamp: int = 0


@dataclass(slots=True, eq=False)
class Listening:
    """The bindings and audiences of one group on one registration of a link.

    Attributes:
        registration: the link.
        group: the group.
        slots: what is bound now.
        forgotten: what was bound before a reset and has not been given anew yet.
        audiences: those told and not ended.
        spans: slot -> from which to before which Link map versions it was bound, ended ones.
        changes: (Link map version, ordinal, whether a session of it began or ceased to listen then).
    """

    registration: Registration
    group: Group
    findings: Findings
    slots: dict[int, Binding] = field(default_factory=dict)
    forgotten: dict[int, Binding] = field(default_factory=dict)
    audiences: dict[int, Audience] = field(default_factory=dict)
    spans: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    changes: list[tuple[int, int, bool]] = field(default_factory=list)
    _present: Present = field(init=False)
    _of_ordinal: dict[int, set[int]] = field(default_factory=dict)
    _unchecked: dict[int, Binding] = field(default_factory=dict)
    _strangers: set[int] = field(default_factory=set)
    _right: dict[str, tuple[tuple[int, ...], int]] = field(default_factory=dict)  # of channels: as last found right
    _stamps: int = 0
    _map: int = 0  # of the last change
    _heard_map: int = -1  # of the last message
    _version: int = 0  # of the group, up to which memberships that ended were looked at

    def __post_init__(self) -> None:
        """Nobody listens yet."""
        self._present = Present(self.group)

    def reset(self) -> None:
        """Forget all; it has to be given anew before the next message."""
        self.forgotten |= self.slots
        self.slots, self.audiences, self._right = {}, {}, {}
        self._of_ordinal, self._unchecked, self._strangers = {}, {}, set()
        self._present = Present(self.group)

    def bind(self, entry: Bound, where: str, at_ms: int, up_to_bound: array[int]) -> None:
        """Sessions begin to listen."""
        for ordinal, slot in zip(entry.ordinals, entry.slots, strict=True):
            before = self.forgotten.pop(slot, None)
            again = before is not None and before.ordinal == ordinal
            if not again and entry.map <= self._heard_map:
                self.findings.add("binding_late", f"{where} {self}: slot {slot} bound at map {entry.map}")
            if slot in self.slots:
                self.findings.add("bound_twice", f"{where} {self}: slot {slot}")
                continue
            member = self.group.by_ordinal.get(ordinal)
            binding = Binding(slot, ordinal, before.since if before and again else entry.map, member)
            self.slots[slot] = self._unchecked[slot] = binding
            self._of_ordinal.setdefault(ordinal, set()).add(slot)
            self._present.add(ordinal)
            if not again:
                self.changes.append((entry.map, ordinal, True))
                self._check_session(binding, where, at_ms, up_to_bound)
        for ordinal, ids in zip(entry.ordinals, entry.audiences, strict=False):
            for audience in ids:
                self._enter(audience, {ordinal}, where)
        self._changed(entry.map, where)

    def unbind(self, entry: Unbound, where: str) -> None:
        """Sessions listen no more."""
        if entry.map <= self._heard_map:
            self.findings.add("binding_late", f"{where} {self}: unbound at map {entry.map}", len(entry.slots))
        for ordinal, slot in zip(entry.ordinals, entry.slots, strict=True):
            binding = self.slots.get(slot) or self.forgotten.get(slot)
            if binding is None or binding.ordinal != ordinal:
                self.findings.add("unbound_unknown", f"{where} {self}: slot {slot}, ordinal {ordinal}")
                continue
            self._end(binding, entry.map)
        self._changed(entry.map, where)

    def learn(self, entry: AudienceSet, where: str) -> None:
        """An audience, told whole."""
        members = self._ordinals(entry.members, where)
        known = self.audiences.get(entry.audience)
        if known is not None and known.members and known.version >= entry.version and known.members != members:
            self.findings.add(
                "audience_chain", f"{where} {self}: {entry.audience} is told whole, and other than it was"
            )
        self._check_bound(members, where)
        self.audiences[entry.audience] = Audience(members, entry.version, self._stamp())

    def follow(self, entry: AudienceDelta, where: str) -> None:
        """Some entered an audience, some left it; or it is no more."""
        if (known := self.audiences.get(entry.audience)) is None:
            self.findings.add("audience_unknown", f"{where} {self}: a change of {entry.audience}")
            return
        if entry.version < known.version:
            self.findings.add("audience_version", f"{where} {self}: {entry.version} after {known.version}")
        left = self._ordinals(entry.left, where)
        if not left <= known.members:
            self.findings.add("audience_chain", f"{where} {self}: {entry.audience} is left by who was not in it")
        self._enter(entry.audience, self._ordinals(entry.entered, where), where, new=True)
        known.members -= left
        known.version, known.stamp = entry.version, self._stamp()
        if entry.ended:
            del self.audiences[entry.audience]

    def hint(self, entry: Changed, where: str) -> None:
        """Something of the group changed; channels are named to those who see them."""
        told = f"{where} {self}: since {entry.since} up to {entry.version}"
        if not entry.since < entry.version <= self.group.version or not entry.what:
            self.findings.add("hint_wrong", told)
        members = self._ordinals(entry.members, where)
        if not members <= self._present.sessions.keys() or not self._present.sessions:
            self.findings.add("hint_wrong", f"{told} for who is not bound: {sorted(members)[:5]}")
        if (named := members if entry.members else self._named(entry, where)) is None:
            return
        for channel in entry.channels:
            if unseen := named - self._present.seers(channel, entry.version).who:
                who = ", ".join(self._user_of(ordinal) for ordinal in sorted(unseen)[:5])
                self.findings.add("hint_wrong", f"{told} names {channel} to who does not see it: {who}", len(unseen))

    def hear(self, message: Message, where: str) -> int:
        """A message; gives how many sessions it reaches."""
        if self.forgotten:
            self.findings.add("reset_forgot", f"{where} {self}: {sorted(self.forgotten)[:5]}", len(self.forgotten))
            for binding in list(self.forgotten.values()):
                self._end(binding, message.map)
        if message.map < self._map:
            self.findings.add("binding_late", f"{where} {self}: decided at map {message.map}, follows {self._map}")
        self._heard_map = max(self._heard_map, message.map)
        return self.reach(message, where)

    def reach(self, entry: Message | SignalOut | Head, where: str) -> int:
        """Something for those who see a channel: it must name all of them and nobody else. Gives how many sessions."""
        self._check_strangers(entry.version, where)
        named = self._named(entry, where)
        if named is None:
            return 0
        audience = self.audiences.get(entry.audience) if entry.audience else None
        seers = self._present.seers(entry.channel, entry.version)
        state = entry.audience, audience.stamp if audience else 0, len(self._present.changes), seers.stamp
        found, reached = self._right.get(entry.channel, ((), 0))
        if found != state:
            reached = len(self.slots) if audience is None else sum(map(self._present.sessions.__getitem__, named))
            if self._compare(entry, named, seers.who, where):
                self._right[entry.channel] = state, reached
        if not reached:
            self.findings.add("nobody", f"{where} {self}")
        return reached

    def close(self) -> None:
        """The run is over: what is bound still is bound for good."""
        if self.forgotten:
            self.findings.add("reset_forgot", f"{self}: {sorted(self.forgotten)[:5]}", len(self.forgotten))
        for binding in self.slots.values():
            self.spans.setdefault(binding.slot, []).append((binding.since, NEVER))

    # -- audiences ---------------------------------------------------------------------------------------------------

    def _named(self, entry: Message | SignalOut | Head | Changed, where: str) -> AbstractSet[int] | None:
        """The ordinals whom it names; None where the link can't tell."""
        if not entry.audience:
            return self._present.sessions.keys()
        told = f"{where} {self}: audience {entry.audience}"
        if (audience := self.audiences.get(entry.audience)) is None:
            self.findings.add("audience_unknown", told)
            return None
        if not audience.version <= entry.audience_version <= entry.version:
            versions = f"told at {audience.version}, named at {entry.audience_version}, sent at {entry.version}"
            self.findings.add("audience_version", f"{told} {versions}")
        return audience.members

    def _compare(self, entry: Message | SignalOut | Head, named: AbstractSet[int], seers: set[int], where: str) -> bool:
        told = f"{where} {self} at version {entry.version}, audience {entry.audience}"
        for rule, wrong in (("heard_unseen", named - seers), ("seen_unheard", seers - named)):
            if wrong:
                users = [self._user_of(ordinal) for ordinal in sorted(wrong)[:5]]
                self.findings.add(rule, f"{told}: {', '.join(users)}", len(wrong))
        return named == seers

    def _enter(self, audience: int, ordinals: set[int], where: str, *, new: bool = False) -> None:
        if (known := self.audiences.get(audience)) is None:
            self.findings.add("audience_unknown", f"{where} {self}: {sorted(ordinals)[:5]} bound in {audience}")
            return
        if new and known.members & ordinals:
            self.findings.add("audience_chain", f"{where} {self}: {audience} is entered by who was in it")
        self._check_bound(ordinals, where)
        known.members |= ordinals
        known.stamp = self._stamp()

    def _check_bound(self, ordinals: set[int], where: str) -> None:
        if unbound := ordinals - self._present.sessions.keys():
            self.findings.add("audience_unbound", f"{where} {self}: {sorted(unbound)[:5]}", len(unbound))
            ordinals -= unbound

    def _ordinals(self, text: str, where: str) -> set[int]:
        if (ordinals := ordinals_of(text)) is None:
            self.findings.add("unreadable", f"{where} {self}: {text[:40]}")
        return ordinals or set()

    def _stamp(self) -> int:
        self._stamps += 1
        return self._stamps

    # -- bindings ----------------------------------------------------------------------------------------------------

    def _check_strangers(self, version: int, where: str) -> None:
        """Everyone bound must be a member at this version of the group."""
        for slot, binding in self._unchecked.items():
            member = binding.member
            if member is None or not member.since <= version < member.until:
                self._strangers.add(slot)
        self._unchecked.clear()
        while self._version < version:
            self._version += 1
            for member in self.group.ended.get(self._version, ()):
                self._strangers |= self._of_ordinal.get(member.ordinal, set())
        if self._strangers:
            first = self.slots[min(self._strangers)]
            who = f"slot {first.slot}, ordinal {first.ordinal} of {first.member.user if first.member else 'nobody'}"
            self.findings.add("stranger", f"{where} {self} at version {version}: {who}", len(self._strangers))

    def _check_session(self, binding: Binding, where: str, at_ms: int, up_to_bound: array[int]) -> None:
        """The slot must be a session of the very user who has the ordinal."""
        session, member = self.registration.sessions.get(binding.slot), binding.member
        if session is None:
            self.findings.add("no_session", f"{where} {self}: slot {binding.slot}")
        elif member is None or session.user != (self.group.key[0], member.user):
            told = f"slot {binding.slot} of {':'.join(session.user)} as ordinal {binding.ordinal}"
            self.findings.add("other_user", f"{where} {self}: {told}")
        else:
            up_to_bound.append(at_ms - max(session.up_ms, member.since_ms))

    def _end(self, binding: Binding, map_: int) -> None:
        slot, ordinal = binding.slot, binding.ordinal
        if self.slots.pop(slot, None) is not None and self._present.drop(ordinal):
            for audience in self.audiences.values():
                audience.members.discard(ordinal)
        self.forgotten.pop(slot, None)
        self._unchecked.pop(slot, None)
        self._strangers.discard(slot)
        self._of_ordinal.get(ordinal, set()).discard(slot)
        self.spans.setdefault(slot, []).append((binding.since, map_))
        self.changes.append((map_, ordinal, False))

    def _changed(self, map_: int, where: str) -> None:
        if map_ < self._map:
            self.findings.add("map_order", f"{where} {self}: {map_} after {self._map}")
        self._map = max(self._map, map_)

    def _user_of(self, ordinal: int) -> str:
        member = self.group.by_ordinal.get(ordinal)
        return member.user if member is not None else f"nobody, {ordinal}"

    def __str__(self) -> str:
        return f"{self.group} on {self.registration}"
