"""Both roles, in any interleaving and with crashes: what gateways hold is who is online and a member."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.cores import Gateway, Partition, Seen, add, create, delete, groups, remove, send, users
from topics import catalog
from topics.catalog import Topic
from topics.links import Void
from topics.sessions import Down, Up

_GROUPS = st.sampled_from(["g", "h"])
_USERS = st.sampled_from(["ann", "bob", "eve"])
_LINKS = [("l", 1), ("l", 2), ("m", 1)]


class Roles(RuleBasedStateMachine):
    """One groups and one users partition; records wait in their topics until a rule lets a role read them."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = groups()
        self.users = users()
        self.waiting: dict[str, list[tuple[Topic, Any]]] = {"groups": [], "users": []}
        self.gateways = {who: Gateway(*who) for who in _LINKS}
        self.members: dict[str, set[str]] = {}
        self.sessions: dict[tuple[str, int, int], str] = {}  # (link, epoch, slot) -> user
        self.dead: set[tuple[str, int]] = set()
        self.slot = 0
        self.sent = 0

    @rule(group=_GROUPS, members=st.sets(_USERS))
    def create(self, group: str, members: set[str]) -> None:
        self._tell("groups", create(*sorted(members), group=group))
        self.members.setdefault(group, set(members))

    @rule(group=_GROUPS)
    def delete(self, group: str) -> None:
        self._tell("groups", delete(group=group))
        self.members.pop(group, None)

    @rule(group=_GROUPS, user=_USERS)
    def add(self, group: str, user: str) -> None:
        self._tell("groups", add(user, group=group))
        if group in self.members:
            self.members[group].add(user)

    @rule(group=_GROUPS, user=_USERS)
    def remove(self, group: str, user: str) -> None:
        self._tell("groups", remove(user, group=group))
        if group in self.members:
            self.members[group].discard(user)

    @rule(user=_USERS, who=st.sampled_from(_LINKS))
    def up(self, user: str, who: tuple[str, int]) -> None:
        self.slot += 1
        self._tell("users", (catalog.SESSIONS, Up("app", user, f"d{self.slot}", *who, 3, self.slot)))
        if who not in self.dead:
            self.sessions[(*who, self.slot)] = user

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def down(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(sorted(self.sessions)))
        link, epoch, slot = session
        user = self.sessions.pop(session)
        self._tell("users", (catalog.SESSIONS, Down("app", user, link, epoch, slot)))

    @rule(who=st.sampled_from(_LINKS))
    def void(self, who: tuple[str, int]) -> None:
        for role in self.waiting:
            self._tell(role, (catalog.LINK_VOIDS, Void(*who)))
        self.dead |= {(who[0], earlier) for earlier in range(who[1] + 1)}
        self.sessions = {session: user for session, user in self.sessions.items() if session[:2] not in self.dead}

    @rule(group=_GROUPS, user=_USERS)
    def send(self, group: str, user: str) -> None:
        self.sent += 1
        self._tell("groups", send(user, f"m{self.sent}", self.groups.now_ms, group=group))

    @rule(role=st.sampled_from(["groups", "users"]), count=st.integers(0, 6))
    def read(self, role: str, count: int) -> None:
        self._read(role, count)

    @rule(role=st.sampled_from(["groups", "users"]))
    def crash(self, role: str) -> None:
        """A batch decided and never committed; then the committed rows."""
        partition = self._partition(role)
        partition.core.apply([partition.record(*told) for told in self.waiting[role]], partition.now_ms)
        partition.crash()

    @rule()
    def settle(self) -> None:
        """All that waits is read, and what follows from it: now gateways hold who is online and a member."""
        while self.waiting["groups"] or self.waiting["users"] or self.groups.core.due_ms() == 0:
            self._read("groups", len(self.waiting["groups"]))
            self._read("users", len(self.waiting["users"]))
        for who in set(_LINKS) - self.dead:
            held = sorted((group, slot) for group, _, slot in self.gateways[who].bound)
            assert held == sorted(
                (group, slot)
                for (*link, slot), user in self.sessions.items()
                for group, members in self.members.items()
                if tuple(link) == who and user in members
            )

    @invariant()
    def each_message_is_heard_once_and_in_order(self) -> None:
        for gateway in self.gateways.values():
            for group in ("g", "h"):
                seqs = [seq for seq, hears in gateway.heard if next(iter(hears))[0] == group]
                assert seqs == sorted(set(seqs))

    def teardown(self) -> None:
        self.settle()

    def _partition(self, role: str) -> Partition:
        return self.groups if role == "groups" else self.users

    def _tell(self, role: str, told: tuple[Topic, Any]) -> None:
        self.waiting[role].append(told)

    def _read(self, role: str, count: int) -> None:
        waiting = self.waiting[role]
        batch, self.waiting[role] = waiting[:count], waiting[count:]
        self._pass_on(self._partition(role).apply(*batch))

    def _pass_on(self, seen: Seen) -> None:
        for gateway in self.gateways.values():
            gateway.read(seen.lots(gateway.who[0]))
        self.waiting["users"] += [(catalog.MEMBERSHIPS, lot) for lot in seen.records(catalog.MEMBERSHIPS)]
        self.waiting["groups"] += [(catalog.BINDINGS, lot) for lot in seen.records(catalog.BINDINGS)]
        assert seen.rejected() == []


TestRoles = Roles.TestCase
TestRoles.settings = settings(max_examples=60, stateful_step_count=40)
