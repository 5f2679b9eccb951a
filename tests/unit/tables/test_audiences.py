"""Audiences as links are told of them, against who sees what, asked one member at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace
from pyroaring import BitMap

from tables.audiences import Flip
from tables.groups import Group, Groups
from tables.outbox import Outbox, Outlet
from tables.rows import Rows
from tables.structure import Touched, category_place
from tables.visibility import sees
from tables.voids import Voids
from tests.cores import Memory, commit
from topics.entities import Category, Channel, Role

MEMBERS = 8
LINKS = ("l", "m", "n")
CHANNELS = ("c1", "c2", "c3", "c4")
ROLES = ("r1", "r2", "r3")

users = st.sets(st.integers(0, MEMBERS - 1), min_size=1, max_size=4)
channels = st.sampled_from(CHANNELS)
places = st.sampled_from([*CHANNELS, category_place("k")])
roles = st.sampled_from(ROLES)
modes = st.sampled_from(["public", "private"])
lists = st.sampled_from(["black", "white"])


class _Link:
    """What a gateway knows: who is bound, and the audiences that it was told of."""

    def __init__(self) -> None:
        self.bound: set[tuple[int, int]] = set()
        self.audiences: dict[int, set[int]] = {}

    def ordinals(self) -> set[int]:
        return {ordinal for ordinal, _ in self.bound}


class Told(RuleBasedStateMachine):
    """Any changes, any bindings, crashes in between: each message reaches exactly the bound members who see it."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Memory()
        self.links = {link: _Link() for link in LINKS}
        self.seen: dict[str, set[int]] = {}
        self.slots = 0
        self.group = self._load()
        self.group.create("server", [f"u{i}" for i in range(MEMBERS)], "u0")
        self._change(lambda structure: structure.create_category(Category("k"), (), (), self.group.members.bits))
        for role in ROLES:
            self.group.structure.roles.put(Role(role))

    def _load(self) -> Group:
        self.rows = Rows(self.store)
        voids = Voids(self.rows)
        self.outbox = Outbox(self.rows, 0, voids)
        self.groups = Groups(self.rows, self.outbox, voids, 0, 1, 1 << 30)
        return self.groups.touch("app", "g")

    def _outlet(self, link: str) -> Outlet:
        outlet = self.outbox.outlet(link, 1, 0)
        assert outlet is not None
        return outlet

    def _change(self, change: Callable[[Any], Touched | None]) -> None:
        """A change of the structure; who entered and who left is what became different."""
        touched = change(self.group.structure)
        if touched is None:
            return
        self.group.changed()
        self.group.touched(touched)
        flips: list[Flip] = self.group.take_flips()
        for flip in flips:
            for channel in flip.channels:
                before = self.seen.get(channel, set())
                assert not before & set(flip.entered)
                assert before >= set(flip.left)
                self.seen[channel] = before - set(flip.left) | set(flip.entered)

    def _settle(self) -> None:
        for outlet, change in self.group.map.take_changes().items():
            link = self.links[outlet.address.link]
            bound, unbound = change.parted()
            link.bound -= set(unbound)
            link.audiences = {id_: heard & link.ordinals() for id_, heard in link.audiences.items() if link.bound}
            if self.group.map.count(outlet) == len(bound):
                self.group.audiences.forget(outlet)
            link.bound |= set(bound)
            for ordinal, _ in bound:
                for id_ in self.group.audiences.of_ordinal(outlet, ordinal):
                    link.audiences[id_].add(ordinal)
        for outlet, audience, entered, left, ended in self.group.audiences.take_told(self.group.map, 1):
            link = self.links[outlet.address.link]
            if ended:
                del link.audiences[audience.id]
                continue
            heard = link.audiences[audience.id]
            assert set(entered) | set(left) <= link.ordinals()
            link.audiences[audience.id] = heard - set(left) | set(entered)

    def _sees(self, channel: str) -> set[int]:
        """Asked one by one."""
        structure = self.group.structure
        if channel not in structure.channels:
            return set()
        rule = structure.rule(structure.place_of(channel))
        return {ordinal for ordinal in self.group.members.bits if sees(rule, ordinal, self.group.owner)}

    @rule(channel=channels, mode=modes, sync=st.booleans(), white=st.lists(roles, max_size=2))
    def channel_comes_goes_or_changes(self, channel: str, mode: Any, *, sync: bool, white: list[str]) -> None:
        info = Channel(channel, view_mode=mode, category="k", sync=sync)
        structure, members = self.group.structure, self.group.members.bits
        if channel not in structure.channels:
            self._change(lambda one: one.create_channel(info, (), white, members))
        elif white:
            self._change(lambda one: one.delete_channel(channel, members))
        else:
            before = structure.channels[channel]
            self._change(lambda one: one.update_channel(replace(before, view_mode=mode, sync=sync), members))

    @rule(mode=modes)
    def category_changes(self, mode: Any) -> None:
        self._change(lambda one: one.update_category(Category("k", view_mode=mode), self.group.members.bits))

    @rule(place=places, which=lists, add=roles, remove=roles, users=users, clear=st.booleans(), named=st.booleans())
    def list_changes(
        self, place: str, which: Any, add: str, remove: str, users: set[int], *, clear: bool, named: bool
    ) -> None:
        if place in self.group.structure.channels or place == category_place("k"):
            chosen = BitMap(users) & self.group.members.bits
            self._change(
                lambda one: (
                    one.edit_list(
                        place,
                        which,
                        clear=clear,
                        add_roles=() if named else [add],
                        remove_roles=[remove],
                        add=chosen if named else BitMap(),
                        remove=BitMap() if named else chosen,
                    ).touched
                )
            )

    @rule(role=roles, users=users, gives=st.booleans())
    def role_members_change(self, role: str, users: set[int], *, gives: bool) -> None:
        chosen = BitMap(users) & self.group.members.bits
        if gives:
            self._change(lambda one: one.add_role_members(role, chosen)[1])
        else:
            self._change(lambda one: one.remove_role_members(role, chosen)[1])

    @rule(owner=st.integers(0, MEMBERS - 1))
    def owner_changes(self, owner: int) -> None:
        before = self.group.owner
        if owner in self.group.members.bits:
            self.group.owner = owner
            self._change(lambda one: one.everywhere(BitMap([owner if before is None else before, owner])))

    @rule(user=st.integers(1, MEMBERS - 1))
    def member_goes(self, user: int) -> None:
        if self.group.members.ordinal_of(f"u{user}") == self.group.owner:
            return
        gone = BitMap([ordinal for _, ordinal in self.group.remove([f"u{user}"])])
        self.group.structure.forget(gone)
        self.group.audiences.gone(gone)
        for channel, seen in self.seen.items():
            self.seen[channel] = seen - set(gone)

    @rule(link=st.sampled_from(LINKS), users=users)
    def sessions_begin(self, link: str, users: set[int]) -> None:
        for ordinal in BitMap(users) & self.group.members.bits:
            self.slots += 1
            self.group.map.bind(ordinal, self._outlet(link), self.slots)

    @rule(link=st.sampled_from(LINKS), users=users)
    def sessions_end(self, link: str, users: set[int]) -> None:
        for ordinal, slot in [pair for outlet, held in self.group.map for pair in held if outlet.address.link == link]:
            if ordinal in users:
                self.group.map.unbind(ordinal, self._outlet(link), slot)

    @rule(channel=channels)
    def message(self, channel: str) -> None:
        if channel not in self.group.structure.channels:
            return
        self._settle()
        audience = self.group.audiences.of(channel)
        reached = self.group.map.outlets if audience is None else audience.reach(self.group.map)
        heard: dict[str, set[int]] = {}
        for outlet in reached:
            link = self.links[outlet.address.link]
            if audience is None:
                heard[outlet.address.link] = link.ordinals()
                continue
            if outlet not in audience.told:
                self.group.audiences.tell(audience, outlet, 1)
                link.audiences[audience.id] = set(audience.among(self.group.map.ordinals(outlet)))
            heard[outlet.address.link] = link.audiences[audience.id]
        wanted = {name: link.ordinals() & self._sees(channel) for name, link in self.links.items()}
        assert heard == {name: ordinals for name, ordinals in wanted.items() if ordinals}

    @rule()
    def batch_commits(self) -> None:
        self._settle()
        self.groups.flush()
        self.group = self.groups.touch("app", "g")

    @rule()
    def partition_changes_hands(self) -> None:
        self.batch_commits()
        commit(self.rows, self.store)
        self.group = self._load()

    @invariant()
    def flips_add_up(self) -> None:
        for channel in CHANNELS:
            assert self.seen.get(channel, set()) == self._sees(channel)
            if channel in self.group.structure.channels:
                audience = self.group.audiences.of(channel)
                members = self.group.members.bits
                assert set(members if audience is None else audience.among(members)) == self._sees(channel)


Told.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestAudiencesAsTold = Told.TestCase
