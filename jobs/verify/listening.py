"""What one link was told of one group: replayed as its gateway does it, entry by entry."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from jobs.verify.findings import Findings
from jobs.verify.links import Registration
from jobs.verify.members import NEVER, Group, Member
from topics.deliveries import Bound, Unbound
from topics.messages import Message


@dataclass(slots=True)
class Binding:
    """A slot's binding: under which ordinal, from which Link map version, and which membership that is."""

    slot: int
    ordinal: int
    since: int
    member: Member | None


@dataclass(slots=True, eq=False)
class Listening:
    """The bindings of one group on one registration of a link.

    Attributes:
        registration: the link.
        group: the group.
        slots: what is bound now.
        forgotten: what was bound before a reset and has not been given anew yet.
        spans: slot -> from which to before which Link map versions it was bound, ended ones.
        changes: (Link map version, how many were bound after it).
    """

    registration: Registration
    group: Group
    findings: Findings
    slots: dict[int, Binding] = field(default_factory=dict)
    forgotten: dict[int, Binding] = field(default_factory=dict)
    spans: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    changes: list[tuple[int, int]] = field(default_factory=list)
    _of_ordinal: dict[int, set[int]] = field(default_factory=dict)
    _unchecked: dict[int, Binding] = field(default_factory=dict)
    _strangers: set[int] = field(default_factory=set)
    _map: int = 0  # of the last change
    _heard_map: int = -1  # of the last message
    _version: int = 0  # of the group, up to which memberships that ended were looked at

    def reset(self) -> None:
        """Forget all; it has to be given anew before the next message."""
        self.forgotten |= self.slots
        self.slots = {}
        self._of_ordinal, self._unchecked, self._strangers = {}, {}, set()

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
            if not again:
                self._check_session(binding, where, at_ms, up_to_bound)
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

    def hear(self, message: Message, where: str) -> int:
        """A message; gives how many sessions it reaches."""
        if self.forgotten:
            self.findings.add("reset_forgot", f"{where} {self}: {sorted(self.forgotten)[:5]}", len(self.forgotten))
            for binding in list(self.forgotten.values()):
                self._end(binding, message.map)
        if message.map < self._map:
            self.findings.add("binding_late", f"{where} {self}: decided at map {message.map}, follows {self._map}")
        self._heard_map = max(self._heard_map, message.map)
        self.check_strangers(message.version, where)
        if not self.slots:
            self.findings.add("nobody", f"{where} {self}")
        return len(self.slots)

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

    def close(self) -> None:
        """The run is over: what is bound still is bound for good."""
        if self.forgotten:
            self.findings.add("reset_forgot", f"{self}: {sorted(self.forgotten)[:5]}", len(self.forgotten))
        for binding in self.slots.values():
            self.spans.setdefault(binding.slot, []).append((binding.since, NEVER))

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
        slot = binding.slot
        self.slots.pop(slot, None)
        self.forgotten.pop(slot, None)
        self._unchecked.pop(slot, None)
        self._strangers.discard(slot)
        self._of_ordinal.get(binding.ordinal, set()).discard(slot)
        self.spans.setdefault(slot, []).append((binding.since, map_))

    def _changed(self, map_: int, where: str) -> None:
        if map_ < self._map:
            self.findings.add("map_order", f"{where} {self}: {map_} after {self._map}")
        self._map = max(self._map, map_)
        self.changes.append((map_, len(self.slots) + len(self.forgotten)))

    def __str__(self) -> str:
        return f"{self.group} on {self.registration}"
