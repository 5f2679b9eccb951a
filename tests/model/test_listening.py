"""Who hears what, with the cores of both roles wired together and anything on its way: sessions, levels, sight, faults.

The oracle says what each session is due; here is what happens, in any order. See `tests.model.oracle`.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec import Raw

from tests.model.hearing import Ear
from tests.model.oracle import Oracle, Session
from tests.model.wired import APP, Batch, Wired
from tests.sim.asks import CHANNELS, Asks
from topics import catalog, limits
from topics.acks import Ack
from topics.codec import decode, encode
from topics.messages import MAIN, TYPING, Send, Signal
from topics.policy import Policy
from topics.relations import AddMembers, CreateChannel, CreateGroup, CreateRole, RelationRecord, RemoveMembers
from topics.resync import Resync
from topics.sessions import (
    Down,
    Ground,
    Kick,
    Lost,
    Resume,
    SetStatus,
    Subscribe,
    Unsubscribe,
    Unwatch,
    Up,
    Watch,
)
from topics.subscriptions import Level, Subscription
from topics.wire import SessionId

_USERS: Final = [f"u{i}" for i in range(6)]
_LINKS: Final = ("east", "west", "north")
_SERVERS: Final = ("town", "city")  # one of a size that passes the limit now and then, one that never does
_GROUPS: Final = (*_SERVERS, "team", "room")
_LEVELS: Final[tuple[Level, ...]] = ("messages", "unread_count", "unread_status", "typing")
_POLICY: Final = Policy(subscribe_members=4, burst_per_s=10)
_QUIET_MS: Final = max(limits.STATUS_WINDOW_MS, limits.GROUND_WINDOW_MS, limits.PRESENCE_WINDOW_MS) + 1_100

_users = st.sampled_from(_USERS)
_links = st.sampled_from(_LINKS)
_groups = st.sampled_from(_GROUPS)
_picks = st.integers(0, 50)
_times = st.sampled_from([1, 1, 1, 2])  # a producer's record may be doubled


@st.composite
def _wanted(draw: st.DrawFn) -> Subscription:
    group = draw(_groups)
    if group in _SERVERS and draw(st.integers(0, 5)) == 0:
        return Subscription(group, "server")
    channel = draw(st.sampled_from(CHANNELS)) if group in _SERVERS else MAIN
    return Subscription(group, draw(st.sampled_from(_LEVELS)), channel)


_modes = st.sampled_from(["visible", "hidden"])
_drives = st.sampled_from(["message", "session", "subscription", "subscription"])
_wants = st.lists(_wanted(), min_size=1, max_size=5)


class Listening(RuleBasedStateMachine):
    """Two partitions of each role, three links, six users, four groups."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Wired(self._batch)
        self.oracle = Oracle(_POLICY)
        self.ears: dict[tuple[str, int], Ear] = {}
        self.living: dict[str, Ear] = {}
        self.read = [0] * self.world.links
        self.slots = 0
        self.count = 0
        self.versions: dict[str, int] = {}
        self.waiting: dict[str, Session] = {}

    @initialize(seed=st.integers(0, 2**16))
    def found(self, seed: int) -> None:
        """Groups, links, a session of most users."""
        self.world.policy(_POLICY)
        for group, members in (("town", _USERS[:4]), ("city", _USERS[:2])):
            self._command(CreateGroup(APP, group, kind="server", members=members, owner=_USERS[0]))
            self._command(CreateRole(APP, group, "r0", priority=3))
            for channel in CHANNELS[:2]:
                self._command(CreateChannel(APP, group, channel, visitor_mode="follow"))
        self._command(CreateGroup(APP, "team", members=_USERS[1:]))
        self._command(CreateGroup(APP, "room", kind="room", members=_USERS[:3]))
        for at, link in enumerate(_LINKS):
            self._register(link, at)
        rng = Random(seed)
        for user in _USERS[:5]:
            self._up(user, f"d{rng.randint(0, 1)}", rng.choice(_LINKS), background=rng.random() < 0.2, times=1)
        self.quiet()

    # -- sessions ----------------------------------------------------------------------------------------------------

    @rule(user=_users, device=st.sampled_from(["d0", "d1"]), link=_links, background=st.booleans(), times=_times)
    def up(self, user: str, device: str, link: str, times: int, *, background: bool) -> None:
        """A client connects; one of the same device that was there ends."""
        if len(self.oracle.living(user)) < 4:
            self._up(user, device, link, background=background, times=times)

    @rule(pick=_picks, times=_times)
    def down(self, pick: int, times: int) -> None:
        """A client disconnects."""
        if one := self._pick(pick):
            one.ending = one.restless = True
            self.world.of_user(Down(APP, one.user, *one.place), times)

    @rule(pick=_picks, times=_times)
    def lose(self, pick: int, times: int) -> None:
        """A connection breaks."""
        if one := self._pick(pick):
            one.restless, one.lost_ms = True, self.world.now_ms
            self.world.of_user(Lost(APP, one.user, *one.place), times)

    @rule(pick=_picks, link=_links, stays=st.booleans(), background=st.booleans(), times=_times)
    def resume(self, pick: int, link: str, times: int, *, stays: bool, background: bool) -> None:
        """A client is back, where it was or elsewhere; perhaps nobody noticed that it was away."""
        lost = [one for one in self.oracle.sessions if not one.ending and one.lost_ms is not None]
        one = lost[pick % len(lost)] if lost else self._pick(pick)
        if one is None:
            return
        was, ear = one.place, self.living[link]
        same = stays and not one.ear.dead and self.living[one.ear.address.link] is one.ear
        ear, slot = (one.ear, one.slot) if same else (ear, self._slot())
        self.oracle.moves(one, ear, slot)
        one.background = background
        at = ear.address
        self.world.of_user(
            Resume(
                *(APP, one.user, one.device, at.link, at.epoch, at.partition, slot, SessionId(*was)),
                background=background,
            ),
            times,
        )

    @rule(pick=_picks, flips=st.integers(1, 4), times=_times)
    def turn(self, pick: int, flips: int, times: int) -> None:
        """A client turns away, or comes back, a few times."""
        if one := self._pick(pick):
            one.restless = True
            for _ in range(flips):
                one.background = not one.background
                self.world.of_user(Ground(APP, one.user, *one.place, one.background), times)

    @rule(pick=_picks, wants=_wants, times=_times)
    def subscribe(self, pick: int, wants: list[Subscription], times: int) -> None:
        """A client shows some channels."""
        self._ask(pick, Subscribe, wants, times)

    @rule(pick=_picks, wants=_wants, times=_times)
    def unsubscribe(self, pick: int, wants: list[Subscription], times: int) -> None:
        """A client shows some channels no more."""
        self._ask(pick, Unsubscribe, wants, times)

    @rule(pick=_picks, users=st.lists(_users, min_size=1, max_size=3, unique=True), off=st.booleans())
    def watch(self, pick: int, users: list[str], *, off: bool) -> None:
        """A client wants to know who is online, or no more."""
        if one := self._pick(pick):
            one.restless = True
            if off:
                one.watches -= set(users)
            else:
                one.watches |= set(users)
            self.world.of_user((Unwatch if off else Watch)(APP, one.user, *one.place, users))

    @rule(user=_users, status=st.sampled_from(["", "busy", "away"]))
    def set_status(self, user: str, status: str) -> None:
        """A user says what others see."""
        self.oracle.statuses[user] = status
        self.world.of_user(SetStatus(APP, user, status))

    @rule(pick=_picks, device=st.none() | st.just("d0"))
    def kick(self, pick: int, device: str | None) -> None:
        """A session has others of its user ended."""
        if one := self._pick(pick):
            for other in self.oracle.living(one.user):
                if other is not one and device in {None, other.device}:
                    other.ending = other.restless = True
            self.world.of_user(Kick(APP, one.user, SessionId(*one.place), device))

    # -- groups ------------------------------------------------------------------------------------------------------

    @rule(group=_groups, users=st.lists(_users, min_size=1, max_size=3, unique=True), leave=st.booleans())
    def members(self, group: str, users: list[str], *, leave: bool) -> None:
        """Some join, so that a server may grow past what joining subscribes; or leave."""
        self._command((RemoveMembers if leave else AddMembers)(APP, group, users))

    @rule(seed=st.integers(0, 2**16), count=st.integers(1, 3), group=st.sampled_from(_SERVERS))
    def change(self, seed: int, count: int, group: str) -> None:
        """Who sees what changes: channels, roles, lists."""
        asks = Asks(Random(seed), (APP, group), _USERS, self.world.now_ms)
        for _ in range(count):
            self._command(msgspec.structs.replace(asks.one(), by=None))

    @rule(
        group=st.sampled_from(_SERVERS), channel=st.sampled_from(CHANNELS), mode=st.sampled_from(["visible", "hidden"])
    )
    def let_visitors_in(self, group: str, channel: str, mode: Any) -> None:
        """A channel comes, or who is no member may see one or no more."""
        self._command(CreateChannel(APP, group, channel, visitor_mode=mode))

    @rule(drive=_drives, most=st.sampled_from([2, 4, 9]))
    def drive(self, drive: Any, most: int) -> None:
        """The app's policy is another one."""
        policy = msgspec.structs.replace(_POLICY, drive_server=drive, drive_team=drive, subscribe_members=most)
        self.oracle.drive(policy)
        self.world.policy(policy)

    @rule(group=_groups, user=_users, mentions=st.lists(_users, max_size=2), each=st.booleans(), times=_times)
    def send(self, group: str, user: str, mentions: list[str], times: int, *, each: bool) -> None:
        """A user talks, in each channel or in one."""
        channels = CHANNELS if group in _SERVERS else (MAIN,)
        for channel in channels if each else channels[:1]:
            self._send(group, user, channel, mentions, times)

    @rule(group=_groups, count=st.integers(8, 30))
    def burst(self, group: str, count: int) -> None:
        """Many messages at once."""
        for _ in range(count):
            self._send(group, _USERS[1], CHANNELS[0] if group in _SERVERS else MAIN, [], 1)

    @rule(group=_groups, user=_users, channel=st.sampled_from(CHANNELS))
    def types(self, group: str, user: str, channel: str) -> None:
        """A user types."""
        at = channel if group in _SERVERS else MAIN
        self.world.of_group(catalog.MESSAGES, Signal(APP, group, user, Raw(b"1"), at, kind=TYPING))

    # -- links, workers, time ----------------------------------------------------------------------------------------

    @rule(link=_links)
    def die(self, link: str) -> None:
        """A link is dead; it registers anew."""
        ear = self.living[link]
        self.world.void(ear.address)
        self.oracle.dies(ear, self.world.now_ms)
        self._register(link, ear.address.partition)

    @rule(link=_links, source=st.integers(0, 1))
    def lose_track(self, link: str, source: int) -> None:
        """A gateway asks a source to begin anew."""
        at = self.living[link].address
        self.world.append(catalog.RESYNC, source, Resync(at.link, at.epoch, at.partition, source))

    @rule(link=_links)
    def stall(self, link: str) -> None:
        """A gateway acknowledges nothing until all is quiet twice."""
        self.living[link].stalled = True

    @rule(at=st.integers(0, 3), topic=st.sampled_from(catalog.CATALOG))
    def hold_back(self, at: int, topic: catalog.Topic) -> None:
        """A partition is not shown what is new in one of its topics, for a while."""
        self.world.lanes[at].held.add(topic.name)

    @rule(at=st.integers(0, 3), most=st.sampled_from([1, 3, 1000]))
    def work(self, at: int, most: int) -> None:
        """A partition takes some of what is new."""
        self.world.work(self.world.lanes[at], most)

    @rule(most=st.sampled_from([3, 1000]))
    def work_all(self, most: int) -> None:
        """All of them do."""
        for lane in self.world.lanes:
            self.world.work(lane, most)

    @rule(at=st.integers(0, 3), most=st.sampled_from([0, 2, 1000]))
    def crash(self, at: int, most: int) -> None:
        """A worker crashes, perhaps in the middle of a batch."""
        self.world.crash(self.world.lanes[at], most)

    @rule()
    def quiet(self) -> None:
        """All that is under way arrives, and time passes; all that was due is judged."""
        self.world.settle()
        for wait_ms in (0, limits.UNREAD_WINDOW_MS, _QUIET_MS):
            self.world.now_ms += wait_ms
            self.world.settle()
            self._acknowledge()
        self.oracle.judge()
        self.oracle.rest(self.world.now_ms)
        self._judge_places()
        for ear in self.living.values():
            if ear.stalled:
                ear.stalled = False
                self._acknowledge()

    def teardown(self) -> None:
        """Whatever happened, once it is quiet everybody hears what is due."""
        self.quiet()
        for group in _GROUPS:
            for channel in CHANNELS if group in _SERVERS else (MAIN,):
                for user in _USERS[:2]:
                    self._send(group, user, channel, [], 1)
        self.quiet()

    # ----------------------------------------------------------------------------------------------------------------

    def _pick(self, pick: int) -> Session | None:
        standing = [one for one in self.oracle.sessions if one.stands]
        return standing[pick % len(standing)] if standing else None

    def _slot(self) -> int:
        self.slots += 1
        return self.slots

    def _up(self, user: str, device: str, link: str, times: int, *, background: bool) -> None:
        ear = self.living[link]
        one = Session(user, device, ear, self._slot(), background)
        self.oracle.begins(one)
        at = ear.address
        self.world.of_user(
            Up(APP, user, device, at.link, at.epoch, at.partition, one.slot, background=background), times
        )

    def _ask(self, pick: int, kind: Any, wants: list[Subscription], times: int) -> None:
        if one := self._pick(pick):
            one.restless = True
            self.count += 1
            if kind is Subscribe:
                self.oracle.subscribes(f"q{self.count}", wants)
            self.world.of_user(kind(APP, one.user, *one.place, wants, request=f"q{self.count}"), times)

    def _send(self, group: str, user: str, channel: str, mentions: list[str], times: int) -> None:
        self.count += 1
        tried, name = self.world.now_ms, f"m{self.count}"
        send = Send(APP, group, user, "d", name, tried, Raw(encode(name)), channel, mentions=tuple(mentions))
        self.world.of_group(catalog.MESSAGES, send, times)

    def _command(self, command: RelationRecord) -> None:
        self.world.of_group(catalog.RELATIONS, command)

    def _register(self, link: str, partition: int) -> None:
        address = self.world.register(link, partition)
        self.living[link] = self.ears[link, address.epoch] = Ear(address)

    def _acknowledge(self) -> None:
        """Each gateway says how far it got."""
        for ear in self.living.values():
            at = ear.address
            for number, source in ear.sources.items():
                if not ear.stalled and source.number:
                    self.world.append(catalog.LINK_ACKS, number, Ack(at.link, at.epoch, number, source.number))
        self.world.settle()

    def _batch(self, batch: Batch) -> None:
        """Hear what a batch wrote: events first, as all else was decided by them."""
        seen, oracle = batch.seen, self.oracle
        assert not seen.rejected()
        first = {name: known.version for name, known in oracle.groups.items()}
        for event in seen.records(catalog.RELATION_EVENTS):
            oracle.event(event)
        for lot in seen.records(catalog.HISTORY):
            for message in lot.entries:
                oracle.said(message)
        for at, log in enumerate(self.world.logs[catalog.DELIVERIES.name]):
            for row in log[self.read[at] :]:
                record = decode(catalog.DELIVERIES.name, row.value)
                for ear in self.ears.values():
                    if ear.address.partition == at:
                        oracle.heard(ear, ear.read(record), first)
            self.read[at] = len(log)

    def _judge_places(self) -> None:
        """Each living session is bound to its user's groups; presence is as told; what was left is closed."""
        for ear, slot in self.oracle.left:
            assert ear.dead or ear.ended[slot] == "replaced", f"{ear.address} slot {slot} is not closed"
        for ear in self.living.values():
            here = [one for one in self.oracle.sessions if one.ear is ear and not one.ending]
            for group in _GROUPS:
                known = self.oracle.groups[group]
                due = {one.slot for one in here if known.member(one.user, known.version)}
                bound = {slot for source in ear.sources.values() for _, slot in source.groups[group].bound}
                assert bound == due, f"{ear.address} {group}: bound {bound}, due {due}"
            for one in here:
                for user in one.watches:
                    told = ear.presence[one.slot, user]
                    assert (told.state, told.status) == self.oracle.state(user), (one, user)


TestListening = Listening.TestCase
TestListening.settings = settings(max_examples=60, stateful_step_count=40)
