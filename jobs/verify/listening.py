"""What one link was told of one group: who listens, in which audiences; replayed as its gateway does it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal

from jobs.verify.bitmaps import ordinals_of
from jobs.verify.findings import Findings
from jobs.verify.links import Registration
from jobs.verify.members import NEVER, Group, Member
from jobs.verify.owed import Turns
from jobs.verify.present import Present
from jobs.verify.sessions import Session
from jobs.verify.wants import Wants
from topics.deliveries import AudienceDelta, AudienceSet, Bound, Drive, Subscribed, Unbound
from topics.subscriptions import Joined


@dataclass(slots=True)
class Binding:
    """A slot's binding: under which ordinal, from which Link map version, and which membership that is."""

    slot: int
    ordinal: int
    since: int
    member: Member | None


@dataclass(slots=True)
class Audience:
    """What the link was told of an audience: who of its listeners is in it, at which version. Changes are stamped.

    `members` are ordinals, or slots where it is made of sessions that asked for it.
    """

    members: set[int]
    version: int
    by: Literal["member", "session"] = "member"
    stamp: int = 0


@dataclass(slots=True, eq=False)
class Listening:
    """The bindings, audiences and subscriptions of one group on one registration of a link.

    Attributes:
        registration: the link.
        group: the group.
        before: what a session that was resumed elsewhere was told there of this group.
        slots: what is bound now.
        forgotten: what was bound before a reset and has not been given anew yet.
        lapsed: those of it that may have ended while the link was told nothing: slot -> Link map version before that.
        unsure: slot -> after which and up to which Link map versions one of those may have been bound, or not any more.
        audiences: those told and not ended.
        joined: what they hear of its channels unasked; None: nobody ever listened.
        wants: what they hear because they asked for it.
        turns: when something changed for sessions.
        spans: slot -> from which to before which Link map versions it was bound, ended ones.
        present: who is bound now.
        steady: who is bound, a reset or not.
    """

    registration: Registration
    group: Group
    findings: Findings
    before: Callable[[Session, Group], Listening | None]
    slots: dict[int, Binding] = field(default_factory=dict)
    forgotten: dict[int, Binding] = field(default_factory=dict)
    lapsed: dict[int, int] = field(default_factory=dict)
    unsure: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    audiences: dict[int, Audience] = field(default_factory=dict)
    joined: Joined | None = None
    wants: Wants = field(default_factory=Wants)
    turns: Turns = field(default_factory=Turns)
    spans: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    present: Present = field(init=False)
    steady: Present = field(init=False)
    heard_map: int = -1  # of the last message
    map: int = 0  # of the last change
    _of_ordinal: dict[int, set[int]] = field(default_factory=dict)
    _unchecked: dict[int, Binding] = field(default_factory=dict)
    _strangers: set[int] = field(default_factory=set)
    _resumed: set[int] = field(default_factory=set)  # sessions whose wants of before were looked up
    _stamps: int = 0
    _version: int = 0  # of the group, up to which memberships that ended were looked at

    def __post_init__(self) -> None:
        """Nobody listens yet."""
        self.present, self.steady = Present(self.group), Present(self.group)

    @property
    def background(self) -> set[int]:
        """The link's sessions that are in the background, as this group's source told it."""
        return self.registration.background.setdefault(self.group.partition, set())

    def reset(self, at_ms: int, *, overrun: bool = False) -> None:
        """Forget all; it has to be given anew before the next message, but for what ended while it was overrun."""
        self.turns.turn_all(at_ms)
        self.forgotten |= self.slots
        if overrun:
            for slot, binding in self.forgotten.items():
                if self._may_have_ended(binding, at_ms):
                    self.lapsed.setdefault(slot, self.map)
        self.slots, self.audiences = {}, {}
        self._of_ordinal, self._unchecked, self._strangers = {}, {}, set()
        self.present = Present(self.group)

    def bind(self, entry: Bound, where: str, at_ms: int, up_to_bound: array[int]) -> None:
        """Sessions begin to listen."""
        self._join(entry.joined, where, at_ms)
        for ordinal, slot in zip(entry.ordinals, entry.slots, strict=True):
            before = self.forgotten.get(slot)
            again = before is not None and before.ordinal == ordinal
            if again:
                del self.forgotten[slot]
                self.lapsed.pop(slot, None)
            elif before is not None:
                self._lapse(before, entry.map)
            if not again and entry.map <= self.heard_map:
                self.findings.add("binding_late", f"{where} {self}: slot {slot} bound at map {entry.map}")
            if slot in self.slots:
                self.findings.add("bound_twice", f"{where} {self}: slot {slot}")
                continue
            member = self.group.by_ordinal.get(ordinal)
            binding = Binding(slot, ordinal, before.since if before and again else entry.map, member)
            self.slots[slot] = self._unchecked[slot] = binding
            self._of_ordinal.setdefault(ordinal, set()).add(slot)
            self.present.add(ordinal)
            if not again:
                self.steady.add(ordinal)
                self._check_session(binding, where, at_ms, up_to_bound)
                self.inherit(slot, at_ms)
        for ordinal, ids in zip(entry.ordinals, entry.audiences, strict=False):
            for audience in ids:
                self._enter(audience, {ordinal}, where)
        self._changed(entry.map, where)

    def unbind(self, entry: Unbound, where: str, at_ms: int) -> None:
        """Sessions listen no more."""
        if entry.map <= self.heard_map:
            self.findings.add("binding_late", f"{where} {self}: unbound at map {entry.map}", len(entry.slots))
        for ordinal, slot in zip(entry.ordinals, entry.slots, strict=True):
            binding = self.slots.get(slot) or self.forgotten.get(slot)
            if binding is None or binding.ordinal != ordinal:
                self.findings.add("unbound_unknown", f"{where} {self}: slot {slot}, ordinal {ordinal}")
                continue
            self.turns.turn(slot, at_ms)
            self.wants.drop(slot, at_ms)
            self.end(binding, entry.map)
        self._changed(entry.map, where)

    def drive(self, entry: Drive, where: str, at_ms: int) -> None:
        """What is heard unasked is another thing from here on."""
        if entry.joined == self.joined or not self.slots:
            self.findings.add("drive_wrong", f"{where} {self}: {entry.joined}, which was so, or for nobody")
        self.joined = entry.joined
        self.turns.turn_all(at_ms)

    def subscribed(self, entry: Subscribed, where: str, at_ms: int) -> None:
        """A session is told what it hears because it asked for it."""
        if entry.slot not in self.registration.sessions:
            self.findings.add("no_session", f"{where} {self}: slot {entry.slot} subscribed")
        self._resumed.add(entry.slot)
        self.wants.tell(entry.slot, entry.wanted, at_ms)
        self.turns.turn(entry.slot, at_ms)

    def inherit(self, slot: int, at_ms: int) -> None:
        """A session that was resumed elsewhere hears what it heard there."""
        session = self.registration.sessions.get(slot)
        if slot in self._resumed or session is None or session.before is None:
            return
        self._resumed.add(slot)
        was = self.before(session.before, self.group)
        if was is not None:
            was.inherit(session.before.slot, at_ms)
            self.wants.tell(slot, was.wants.of(session.before.slot), at_ms)

    def learn(self, entry: AudienceSet, where: str) -> None:
        """An audience, told whole."""
        members = self.places(entry.members, where)
        known = self.audiences.get(entry.audience)
        if known is not None and known.members and known.version >= entry.version and known.members != members:
            self.findings.add(
                "audience_chain", f"{where} {self}: {entry.audience} is told whole, and other than it was"
            )
        self._check_bound(members, where, entry.by)
        self.audiences[entry.audience] = Audience(members, entry.version, entry.by, self._stamp())

    def follow(self, entry: AudienceDelta, where: str) -> None:
        """Some entered an audience, some left it; or it is no more."""
        if (known := self.audiences.get(entry.audience)) is None:
            self.findings.add("audience_unknown", f"{where} {self}: a change of {entry.audience}")
            return
        if entry.version < known.version:
            self.findings.add("audience_version", f"{where} {self}: {entry.version} after {known.version}")
        left = self.places(entry.left, where)
        if known.by == "member" and not left <= known.members:
            self.findings.add("audience_chain", f"{where} {self}: {entry.audience} is left by who was not in it")
        self._enter(entry.audience, self.places(entry.entered, where), where, new=True)
        known.members -= left
        known.version, known.stamp = entry.version, self._stamp()
        if entry.ended:
            del self.audiences[entry.audience]

    def check_reset(self, where: str = "", until: int = NEVER) -> None:
        """All that was forgotten must have been given anew by now."""
        if missing := self.forgotten.keys() - self.lapsed.keys():
            self.findings.add("reset_forgot", f"{where} {self}: {sorted(missing)[:5]}", len(missing))
        for binding in list(self.forgotten.values()):
            self._lapse(binding, until)

    def close(self) -> None:
        """The run is over: what is bound still is bound for good."""
        self.check_reset()
        for binding in self.slots.values():
            self.spans.setdefault(binding.slot, []).append((binding.since, NEVER))

    # -- what is asked -----------------------------------------------------------------------------------------------

    def ordinals_in(self, audience: int) -> AbstractSet[int] | None:
        """The members in an audience, of those who listen; None where it is not known, or is one of sessions."""
        if not audience:
            return self.present.sessions.keys()
        known = self.audiences.get(audience)
        return known.members if known is not None and known.by == "member" else None

    def slots_in(self, audience: int) -> set[int] | None:
        """The sessions in an audience; None where it is not known."""
        if not audience:
            return set(self.slots)
        if (known := self.audiences.get(audience)) is None:
            return None
        return known.members if known.by == "session" else self.slots_with(known.members)

    def slots_with(self, ordinals: Iterable[int]) -> set[int]:
        """The sessions of these members."""
        return {slot for ordinal in ordinals for slot in self._of_ordinal.get(ordinal, ())}

    def was_bound(self, slot: int, map_: int) -> bool:
        """Whether a session listened at a Link map version of the past, for certain."""
        bound = any(since <= map_ < until for since, until in self.spans.get(slot, ()))
        return bound and not any(after < map_ <= until for after, until in self.unsure.get(slot, ()))

    def user_of(self, ordinal: int) -> str:
        """The member of an ordinal, for people."""
        member = self.group.by_ordinal.get(ordinal)
        return member.user if member is not None else f"nobody, {ordinal}"

    def check_strangers(self, version: int, where: str) -> None:
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

    def places(self, text: str, where: str) -> set[int]:
        """The ordinals or slots of a bitmap."""
        if (found := ordinals_of(text)) is None:
            self.findings.add("unreadable", f"{where} {self}: {text[:40]}")
        return found or set()

    def end(self, binding: Binding, map_: int) -> None:
        """A session listens no more."""
        slot, ordinal = binding.slot, binding.ordinal
        for audience in self.audiences.values():
            if audience.by == "session":
                audience.members.discard(slot)
        if self.slots.pop(slot, None) is not None and self.present.drop(ordinal):
            for audience in self.audiences.values():
                if audience.by == "member":
                    audience.members.discard(ordinal)
        self.forgotten.pop(slot, None)
        self.steady.drop(ordinal)
        self._unchecked.pop(slot, None)
        self._strangers.discard(slot)
        self._of_ordinal.get(ordinal, set()).discard(slot)
        self.spans.setdefault(slot, []).append((binding.since, map_))

    def _lapse(self, binding: Binding, until: int) -> None:
        """It ended while the link was told nothing: before this Link map version."""
        if (after := self.lapsed.pop(binding.slot, None)) is not None:
            self.unsure.setdefault(binding.slot, []).append((after, until))
        else:
            until = self.map
        self.end(binding, until)

    def _may_have_ended(self, binding: Binding, at_ms: int) -> bool:
        session, member = self.registration.sessions.get(binding.slot), binding.member
        return session is None or session.down_ms < at_ms or (member is not None and member.until_ms < at_ms)

    # -- how it is kept ----------------------------------------------------------------------------------------------

    def _join(self, joined: Joined, where: str, at_ms: int) -> None:
        if self.slots and joined != self.joined:
            self.findings.add("drive_wrong", f"{where} {self}: bound to hear {joined}, others hear {self.joined}")
        if joined != self.joined:
            self.turns.turn_all(at_ms)
        self.joined = joined

    def _enter(self, audience: int, places: set[int], where: str, *, new: bool = False) -> None:
        if (known := self.audiences.get(audience)) is None:
            self.findings.add("audience_unknown", f"{where} {self}: {sorted(places)[:5]} bound in {audience}")
            return
        if new and known.members & places:
            self.findings.add("audience_chain", f"{where} {self}: {audience} is entered by who was in it")
        self._check_bound(places, where, known.by)
        known.members |= places
        known.stamp = self._stamp()

    def _check_bound(self, places: set[int], where: str, by: Literal["member", "session"]) -> None:
        here = self.present.sessions.keys() if by == "member" else self.registration.sessions.keys()
        if unbound := places - here:
            self.findings.add("audience_unbound", f"{where} {self}: {sorted(unbound)[:5]}", len(unbound))
            places -= unbound

    def _stamp(self) -> int:
        self._stamps += 1
        return self._stamps

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

    def _changed(self, map_: int, where: str) -> None:
        if map_ < self.map:
            self.findings.add("map_order", f"{where} {self}: {map_} after {self.map}")
        self.map = max(self.map, map_)

    def __str__(self) -> str:
        return f"{self.group} on {self.registration}"
