"""Commands of every type, messages, sessions and crashes in any order, against plain sets.

What a gateway would have heard, what was answered and what was told is judged from the topics alone, as any run is.
Here besides: after each batch, and again after a crash, memory holds what the events say.
"""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from jobs.verify.findings import Findings
from jobs.verify.judge import judge
from jobs.verify.members import Group as Known
from jobs.verify.members import Groups
from tables.grants import names_of
from tables.groups import Group
from tables.permissions import held
from tests.model.commands import CATEGORIES, CHANNELS, GROUPS, ROLES, USERS, commands, from_now
from tests.sim.asks import Asks
from tests.small_world import APP, SmallWorld, requester
from topics import limits
from topics.entities import ViewMode
from topics.messages import MAIN
from topics.relations import (
    AddRoleMembers,
    CreateCategory,
    CreateChannel,
    CreateGroup,
    CreateRole,
    EditList,
    RelationRecord,
)
from topics.wire import ToSession

_LINKS = ("east", "west")


class Relations(RuleBasedStateMachine):
    """A cluster of one partition in memory, two gateways, a server and a team."""

    def __init__(self) -> None:
        super().__init__()
        self.world = SmallWorld(partitions=1)
        self.links = {link: self.world.register(link, at) for at, link in enumerate(_LINKS)}
        self.sessions: list[ToSession] = []
        self.commanded: list[RelationRecord] = []
        self.sent: list[tuple[Any, ...]] = []
        self.count = 0
        self.worked = True

    @initialize(private=st.booleans(), follows=st.booleans())
    def found(self, *, private: bool, follows: bool) -> None:
        """A server and a team, with somebody listening."""
        town: str = GROUPS[0]
        mode: ViewMode = "private" if private else "public"
        for command in (
            CreateGroup(APP, town, kind="server", members=USERS[:5], owner=USERS[0]),
            CreateGroup(APP, GROUPS[1], members=USERS[:4]),
            CreateRole(APP, town, ROLES[0], priority=3, allow=["manage_roles", "manage_channels", "mute"]),
            AddRoleMembers(APP, town, ROLES[0], USERS[1:3]),
            CreateCategory(APP, town, CATEGORIES[0], view_mode=mode, white_roles=[ROLES[0]]),
            CreateChannel(APP, town, CHANNELS[0], view_mode=mode, white_roles=[ROLES[0]], black_roles=[ROLES[0]]),
            CreateChannel(APP, town, CHANNELS[1], category=CATEGORIES[0], sync=follows),
            EditList(APP, town, "white", channel=CHANNELS[0], add_users=[USERS[3]]),
        ):
            self.world.command(command)
        self.world.settle()
        for at, user in enumerate(USERS):
            self.sessions.append(self.world.up(user, self.links[_LINKS[at % 2]]))
        self.world.settle()

    @rule(several=st.lists(commands(), min_size=2, max_size=6), waits=st.booleans(), works=st.booleans())
    def command(self, several: list[RelationRecord], *, waits: bool, works: bool) -> None:
        """Commands, by the back end or users."""
        for command in several:
            self.count += 1
            session = self.sessions[self.count % len(self.sessions)] if self.sessions and not waits else None
            reply = session or requester("caller")
            clocked = from_now(command, self.world.now_ms)
            self.commanded.append(msgspec.structs.replace(clocked, request=f"q{self.count}", reply=reply))
            self.world.command(self.commanded[-1])
        self.worked = False
        if works:
            self.work()

    @rule(seed=st.integers(0, 2**16), count=st.integers(4, 12), user=st.sampled_from(USERS))
    def change_and_talk(self, seed: int, count: int, user: str) -> None:
        """Commands most of which change who sees and who may, each followed by messages into every channel."""
        asks = Asks(Random(seed), (APP, GROUPS[0]), USERS, self.world.now_ms)
        for _ in range(count):
            self.count += 1
            asked = msgspec.structs.replace(asks.one(), request=f"q{self.count}", reply=requester("caller"))
            self.commanded.append(asked)
            self.world.command(asked)
            for channel in CHANNELS:
                self.send(USERS[0], channel)
                self.send(user, channel)
            self.world.work()
        self.worked = True

    @rule(back=st.integers(1, 5))
    def command_again(self, back: int) -> None:
        """A command comes once more, at once or late."""
        if len(self.commanded) >= back:
            self.world.command(self.commanded[-back])
            self.worked = False

    @rule(user=st.sampled_from(USERS), channel=st.sampled_from([*CHANNELS, MAIN]))
    def send(self, user: str, channel: str) -> None:
        """A message into a channel of the server, or of the team."""
        group = GROUPS[0] if channel != MAIN else GROUPS[1]
        self.count += 1
        sent = group, user, f"m{self.count}", requester("sender"), channel
        self.sent.append((*sent, self._send(sent)))

    @rule(back=st.integers(1, 3))
    def send_again(self, back: int) -> None:
        """A message is tried once more."""
        if len(self.sent) >= back:
            *sent, tried_at = self.sent[-back]
            self._send(tuple(sent), tried_at)

    @rule(channels=st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3), user=st.sampled_from(USERS))
    def talk(self, channels: list[str], user: str) -> None:
        """Everybody sends into some channels; some may not."""
        for channel in channels:
            self.world.signal(GROUPS[0], user, channel)
            for sender in USERS:
                self.send(sender, channel)
        self.work()

    @rule(user=st.sampled_from(USERS), link=st.sampled_from(_LINKS), down=st.none() | st.integers(0, 10))
    def come_or_go(self, user: str, link: str, down: int | None) -> None:
        """A session begins or ends."""
        self.worked = False
        if down is None:
            self.sessions.append(self.world.up(user, self.links[link]))
        elif self.sessions:
            self.world.down(self.sessions.pop(down % len(self.sessions)))

    @rule(what=st.sampled_from(["crash", "crash in work", "void", "resync", "wait"]), link=st.sampled_from(_LINKS))
    def fault(self, what: str, link: str) -> None:
        """Workers are killed between batches or within one, a link dies, a gateway loses track, time goes by."""
        if what == "crash":
            self.world.crash()
        elif what == "crash in work":
            self.world.crash_in_work()
        elif what == "wait":
            self.world.wait(3_000)
        else:
            self.worked = False
            self._void(link) if what == "void" else self.world.resync(self.links[link], 0)

    @rule()
    def work(self) -> None:
        """The workers take what is new, as one batch."""
        self.world.work()
        self.worked = True

    @rule()
    def settle(self) -> None:
        """The workers take all, whatever follows as well."""
        self.world.settle()
        self.worked = True

    @invariant()
    def memory_holds_what_was_told(self) -> None:
        """Members, who sees what, who may do what: as by the events."""
        if not self.worked:
            return
        told = Groups(self.world.world(stored=None, cached=None), Findings(3))
        for name in GROUPS:
            group = self.world.cores[0].desk.groups.look(APP, name)
            known = told.get(APP, name)
            assert group.version == known.version
            assert {user: ordinal for ordinal, user in group.members} == {
                user: member.ordinal for user, member in known.now.items()
            }
            if group.alive:
                _compare(group, known)

    def teardown(self) -> None:
        """The whole run is judged from the topics."""
        self.world.settle()
        self.world.wait(limits.QUIET_MS + 1)
        self.world.settle()
        self.world.work()
        report = judge(self.world.world(), settled=True, settle_ms=10_000)
        assert report.rules == {}, report.examples

    def _void(self, link: str) -> None:
        """It is registered anew, without sessions."""
        self.world.void(self.links[link])
        self.sessions = [one for one in self.sessions if one.link != link]
        self.links[link] = self.world.register(link, _LINKS.index(link))

    def _send(self, sent: tuple[Any, ...], tried_at: int | None = None) -> int:
        self.worked = False
        group, user, client_id, reply, channel = sent
        return self.world.send(group, user, client_id, reply, tried_at=tried_at, channel=channel)


def _compare(group: Group, known: Known) -> None:
    life = known.relations.life.now
    assert life is not None
    channels = {name for name, one in life.channels.items() if one.now is not None}
    assert channels == {name for name in [*CHANNELS, MAIN] if group.has_channel(name)}
    for user, member in known.now.items():
        for channel in [None, *sorted(channels)]:
            may = known.relations.permissions(user, channel, known.version)
            assert set(names_of(held(group, member.ordinal, channel))) == may, (user, channel)
    for channel in sorted(channels):
        audience = group.audiences.of(channel)
        sees = {m.ordinal for user, m in known.now.items() if known.relations.sees(user, channel, known.version)}
        listed = set(group.members.bits) if audience is None else set(audience.among(group.members.bits))
        assert listed == sees, channel


TestRelations = Relations.TestCase
TestRelations.settings = settings(max_examples=30, stateful_step_count=40)
