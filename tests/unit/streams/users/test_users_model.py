"""A users partition against an oracle that knows every session, and marks each when its link dies.

What the groups' owners and gateways hold is made from what the partition wrote alone; after each step it must be what
the oracle says, whether the partition came back from its rows in between or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streams.users.core import index
from tests.cores import Memory, Seen, users
from topics import catalog, limits
from topics.answers import Done, Refused
from topics.bindings import Bind, Grounded, Listen, Unbind
from topics.deliveries import Ended, PresenceOut, Resumed, SessionLot
from topics.links import Void
from topics.memberships import Joined, Left, MembershipLot, Unheard
from topics.policy import Policy, PolicySet
from topics.presence import Presence
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
from topics.subscriptions import Subscription, Wanted
from topics.wire import SessionId, ToSession

_RESUME, _GROUND, _PRESENCE = 1_000, 300, 200
_USERS = ("ann", "bob")
_GROUPS = ("g", "h", "i")
_DEVICES = ("phone", "web", "tv")

Place = tuple[str, int, int]

_user = st.sampled_from(_USERS)
_group = st.sampled_from(_GROUPS)
_link = st.sampled_from(["l", "m"])
_device = st.sampled_from(_DEVICES)
_newest = st.integers(1, 3)  # one of the newest connections
_wanted = st.sampled_from(
    [
        Wanted("messages", "c"),
        Wanted("typing", "c"),
        Wanted("unread_count", "c"),
        Wanted("unread_count", "d"),
        Wanted("messages", "e"),
    ]
)
_subscriptions = st.lists(st.tuples(_group, _wanted), min_size=1, max_size=4)


@dataclass(eq=False)
class _Session:
    """A session, as the oracle has it."""

    user: str
    device: str
    platform: str
    place: Place
    background: bool
    told: bool = False
    turned: int | None = None
    lost_until: int | None = None
    asked: dict[str, set[Wanted]] = field(default_factory=dict)
    watched: set[str] = field(default_factory=set)


class UsersModel(RuleBasedStateMachine):
    """Steps of gateways, apps, groups and time."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(limits, "SESSIONS_PER_USER", 3)
        self.partition = users()
        self.sessions: list[_Session] = []
        self.dead: dict[str, int] = {}
        self.members: dict[tuple[str, str], int] = {}
        self.status = dict.fromkeys(_USERS, "")
        self.places: list[tuple[str, Place]] = []  # every one there ever was
        self.next = 1
        self.rule = "any"
        # What others hold, by what was written:
        self.bound: set[tuple[str, int, Place]] = set()
        self.heard: dict[tuple[str, Place], set[Wanted]] = {}
        self.grounds: dict[Place, bool] = {}
        self.found: dict[tuple[Place, str], Presence] = {}
        self.told_at: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.replies: list[tuple[tuple[str, int], Any]] = []

    def teardown(self) -> None:
        self.patch.undo()

    @initialize(rule=st.sampled_from(["any", "one_per_device", "one_per_platform", "one"]))
    def begin(self, rule: Any) -> None:
        self.rule = rule
        self.partition.now_ms += 10
        windows: dict[str, Any] = {"resume_ms": _RESUME, "ground_window_ms": _GROUND, "presence_window_ms": _PRESENCE}
        policy = Policy(**windows, channels_subscribed=2, groups_subscribed=2, watched_users=2, sessions=rule)
        self.partition.apply((catalog.POLICIES, PolicySet("app", policy)))
        self.void("l", again=False)
        self.void("m", again=False)
        self.join("ann", "g")

    @rule(
        what=st.sampled_from(["down", "kick", "status", "leave", "void"]),
        user=_user,
        group=_group,
        link=_link,
        which=_newest,
        device=st.none() | _device,
        yes=st.booleans(),
    )
    def rarer(  # than if each were a rule of its own
        self, what: str, user: str, group: str, link: str, which: int, device: str | None, *, yes: bool
    ) -> None:
        match what:
            case "down":
                self.down(which)
            case "kick":
                self.kick(which, device, spared=yes)
            case "status":
                self.set_status(user, "away" if yes else "")
            case "leave":
                self.leave(user, group)
            case _:
                self.void(link, again=yes)

    # What gateways do.

    @rule(user=_user, device=_device, link=_link, background=st.booleans())
    def up(self, user: str, device: str, link: str, *, background: bool) -> None:
        place = self._place(user, link)
        self._begins(user, device, place, background=background)
        self._do(Up("app", user, device, link, place[1], 3, place[2], device, background))

    @rule(which=_newest, link=_link, background=st.booleans(), stays=st.booleans())
    def resume(self, which: int, link: str, *, background: bool, stays: bool) -> None:
        if not self.places:
            return
        user, was = self.places[-min(which, len(self.places))]
        place = was if stays else self._place(user, link)
        old = self._at(user, was)
        known = old is not None
        ended: set[Place] = set()
        if place[1] <= self.dead.get(place[0], 0):
            known = False
        elif old is not None:
            end = None if stays else old
            lost, old.lost_until = old.lost_until is not None, None
            if end is not None:
                ended = set() if lost else {end.place}
                self.sessions.remove(end)
                new = _Session(user, "tv", old.platform, place, background, asked=old.asked, watched=old.watched)
                self._turn(new)
                self.sessions.append(new)
            else:
                old.background = background
                self._turn(old)
                if lost:
                    for name in old.watched:
                        self.found.pop((place, name), None)  # told anew
        else:
            known = False
            self._begins(user, "tv", place, background=background, platform="")
            if (begun := self._at(user, place)) is not None:
                begun.turned = self.now  # told, for its slot may have been in the background before
        self._do(Resume("app", user, "tv", place[0], place[1], 3, place[2], SessionId(*was), background=background))
        told = [one.known for to, one in self.replies if isinstance(one, Resumed) and one.slot == place[2]]
        if self._lives(place) and self._at(user, place) is not None:
            assert told == [known]
        if known:
            assert {(*to, one.slot) for to, one in self.replies if isinstance(one, Ended)} == ended

    @rule(user=_user, device=_device, links=st.permutations(["l", "m"]), back=st.booleans())
    def told_late(self, user: str, device: str, links: list[str], *, back: bool) -> None:
        """A client leaves a link that is cut off from Kafka for another, whose records come first."""
        left, place = self._place(user, links[0]), self._place(user, links[1])
        self._begins(user, "tv", place, background=False, platform="")
        begun = self._at(user, place)
        self._do(Resume("app", user, "tv", *place[:2], 3, place[2], SessionId(*left)))
        if begun is None:
            return
        begun.turned = self.now
        if back:  # it had been elsewhere before
            self._do(Resume("app", user, device, *left[:2], 3, left[2], SessionId("elsewhere", 1, 1)))
        else:
            self._do(Up("app", user, device, *left[:2], 3, left[2], device))
        self._do(Lost("app", user, *left))

    @rule(which=_newest)
    def lost(self, which: int) -> None:
        for user, place, session in self._one(which):
            if session is not None and session.lost_until is None:
                session.lost_until = self.now + _RESUME
            self._do(Lost("app", user, *place))

    @rule(which=_newest, background=st.booleans())
    def ground(self, which: int, *, background: bool) -> None:
        for user, place, session in self._one(which):
            if session is not None and session.lost_until is None:
                session.background = background
            self._do(Ground("app", user, *place, background))

    def down(self, which: int) -> None:
        for user, place, session in self._one(which):
            if session is not None:
                self.sessions.remove(session)
            self._do(Down("app", user, *place))

    def kick(self, which: int, device: str | None, *, spared: bool) -> None:
        for user, place, _ in self._one(which):
            gone = [
                one
                for one in self._of(user)
                if (device is None or one.device == device) and not (spared and one.place == place)
            ]
            ended = {one.place for one in gone if one.lost_until is None}
            self.sessions = [one for one in self.sessions if one not in gone]
            to = ToSession(place[0], place[1], 3, place[2])
            self._do(Kick("app", user, SessionId(*place) if spared else None, device, "k", to))
            assert {(*to, one.slot) for to, one in self.replies if isinstance(one, Ended)} == ended
            done = [one.changed for _, one in self.replies if isinstance(one, Done)]
            assert done == ([len(gone)] if place[1] > self.dead.get(place[0], 0) else [])

    @rule(which=_newest, asks=_subscriptions)
    def subscribe(self, which: int, asks: list[tuple[str, Wanted]]) -> None:
        for user, place, session in self._one(which):
            expected: list[tuple[str, int | None]] = []
            if session is not None and session.lost_until is None:
                asked = {group: set(wanted) for group, wanted in session.asked.items()}
                new = [(group, wanted) for group, wanted in asks if self._may_have(user, group, wanted)]
                for group, wanted in sorted(new, key=lambda one: one[1].level == "messages"):  # the strongest last
                    _add(asked.setdefault(group, set()), wanted)
                most = max((len({one.channel for one in wanted}) for wanted in asked.values()), default=0)
                if most > 2 or len(asked) > 2:
                    expected = [("limit_reached", 2)]
                else:
                    session.asked = asked
            elif self._reachable(place):
                expected = [("unknown_session", None)]
            self._do(Subscribe("app", user, *place, _flat(asks), "s"))
            assert self._refused() == expected

    @rule(which=_newest, asks=_subscriptions, unheard=st.booleans())
    def unsubscribe(self, which: int, asks: list[tuple[str, Wanted]], *, unheard: bool) -> None:
        for user, place, session in self._one(which):
            if session is not None and (unheard or session.lost_until is None):
                for group, wanted in asks:
                    session.asked.get(group, set()).discard(wanted)
                session.asked = {group: wanted for group, wanted in session.asked.items() if wanted}
            if unheard:
                for group, wanted in asks:
                    self.heard.get((group, place), set()).discard(wanted)  # its owner ended it, and says so
                lot = MembershipLot([Unheard("app", group, user, *place, [wanted]) for group, wanted in asks])
                self._apply((catalog.MEMBERSHIPS, lot))
            else:
                self._do(Unsubscribe("app", user, *place, _flat(asks), "s"))

    @rule(which=_newest, users=st.lists(_user, min_size=1, max_size=3), begins=st.booleans())
    def watch(self, which: int, users: list[str], *, begins: bool) -> None:
        for user, place, session in self._one(which):
            refused: list[tuple[str, int | None]] = []
            if session is None or session.lost_until is not None:
                refused = [("unknown_session", None)] if self._reachable(place) else []
            elif not begins:
                session.watched -= set(users)
            elif len(session.watched | set(users)) > 2:
                refused = [("limit_reached", 2)]
            else:
                session.watched |= set(users)
                for name in users:
                    self.found.pop((place, name), None)  # told anew
            self._do((Watch if begins else Unwatch)("app", user, *place, users, "w"))
            assert self._refused() == refused

    def set_status(self, user: str, status: str) -> None:
        self.status[user] = status
        self._do(SetStatus("app", user, status))

    # What groups, links and time do.

    @rule(user=_user, group=_group)
    def join(self, user: str, group: str) -> None:
        if (user, group) not in self.members:
            self.members[user, group] = self.next
            self._apply((catalog.MEMBERSHIPS, MembershipLot([Joined("app", group, 1, [user], [self.next])])))
            self.next += 1

    def leave(self, user: str, group: str) -> None:
        if (ordinal := self.members.pop((user, group), None)) is not None:
            for session in self._of(user):
                session.asked.pop(group, None)
                self.heard.pop((group, session.place), None)
            self.bound = {one for one in self.bound if one[1] != ordinal}
            self._apply((catalog.MEMBERSHIPS, MembershipLot([Left("app", group, 2, [user], [ordinal])])))

    def void(self, link: str, *, again: bool) -> None:
        epoch = self.dead.get(link, 0) + (not again)
        for session in self.sessions:
            if session.place[:2] == (link, epoch) and epoch > self.dead.get(link, 0):
                session.lost_until = min(session.lost_until or self.now + _RESUME, self.now + _RESUME)
        self.dead[link] = epoch
        self._apply((catalog.LINK_VOIDS, Void(link, epoch)))

    @rule(later_ms=st.sampled_from([1, 150, 200, 300, 1_000]))
    def wait(self, later_ms: int) -> None:
        end = self.now + later_ms
        while (due := self.partition.core.due_ms()) is not None and due <= end:
            self.partition.now_ms = max(self.now, due)
            self._apply()
        self.partition.now_ms = end
        self._apply()

    @rule(all_of_it=st.booleans())
    def crash(self, *, all_of_it: bool) -> None:
        if all_of_it:  # the local copy is gone as well
            rows = self.partition.store.rows
            logged = {key: row for key, row in rows.items() if not key.startswith(b"~")}
            self.partition.store = Memory()
            for key, row in logged.items():
                self.partition.store.write(index(key, None, row, self.partition.store.get))
            self.partition.store.write(logged)
            assert self.partition.store.rows == rows
        self.partition.crash()

    # What must hold.

    @invariant()
    def who_hears_what_is_what_the_oracle_says(self) -> None:
        living = [one for one in self.sessions if one.place[1] > self.dead.get(one.place[0], 0)]
        assert self._alive(self.bound) == {
            (group, ordinal, one.place)
            for (user, group), ordinal in self.members.items()
            for one in self._of(user, living)
        }
        heard = {of: wanted for of, wanted in self.heard.items() if wanted and self._lives(of[1])}
        assert heard == {(group, one.place): wanted for one in living for group, wanted in one.asked.items()}
        for one in living:
            if one.asked or any(user == one.user for user, _ in self.members):
                assert self.grounds.get(one.place, False) == one.told

    @invariant()
    def who_watches_knows_each_users_state_once_its_window_is_over(self) -> None:
        for one in self.sessions:
            if one.lost_until is None:
                for user in one.watched:
                    found = self.found[one.place, user]
                    if self.now >= self.told_at[user] + _PRESENCE:
                        assert (found.state, found.status) == (self._state(user), self.status[user])

    @invariant()
    def nothing_is_left_of_what_ended(self) -> None:
        if not self.sessions and self.partition.core.due_ms() is None:
            left = {key[:1] for key in self.partition.store.rows} - {b"!", b"Y", b"v", b"l", b"p", b"w"}
            assert not [key for key in self.partition.store.rows if key[:1] in left and not key.startswith(b"~i")]

    # The oracle's own means.

    @property
    def now(self) -> int:
        return self.partition.now_ms

    def _place(self, user: str, link: str) -> Place:
        """A new connection on the link's registration that lives, or, now and then, on its last dead one."""
        self.next += 1
        place = link, self.dead.get(link, 0) + (self.next % 7 > 0), self.next
        self.places.append((user, place))
        return place

    def _one(self, which: int) -> Iterator[tuple[str, Place, _Session | None]]:
        """A connection that there is, or was."""
        if self.places:
            user, place = self.places[-min(which, len(self.places))]
            yield user, place, self._at(user, place)

    def _of(self, user: str, among: list[_Session] | None = None) -> list[_Session]:
        return [one for one in (self.sessions if among is None else among) if one.user == user]

    def _at(self, user: str, place: Place) -> _Session | None:
        return next((one for one in self._of(user) if one.place == place), None)

    def _lives(self, place: Place) -> bool:
        return place[1] > self.dead.get(place[0], 0)

    def _may_have(self, user: str, group: str, wanted: Wanted) -> bool:
        """Whether a group's owner would let the user hear this."""
        return (user, group) in self.members or wanted.level == "messages"

    def _alive(self, bound: set[tuple[str, int, Place]]) -> set[tuple[str, int, Place]]:
        return {one for one in bound if self._lives(one[2])}

    def _reachable(self, place: Place) -> bool:
        """Whether anybody's session tells how the link is reached."""
        return self._lives(place) and any(one.place[:2] == place[:2] for one in self.sessions)

    def _state(self, user: str) -> str:
        grounds = [one.background for one in self._of(user)]
        return "offline" if not grounds else "background" if all(grounds) else "online"

    def _begins(self, user: str, device: str, place: Place, *, background: bool, platform: str | None = None) -> None:
        if not self._lives(place):
            return
        platform = device if platform is None else platform
        others = {
            "any": list[_Session](),
            "one_per_device": [one for one in self._of(user) if one.device == device],
            "one_per_platform": [one for one in self._of(user) if one.platform == platform],
            "one": self._of(user),
        }[self.rule]
        if len(self._of(user)) - len(others) < 3:
            self.sessions = [one for one in self.sessions if one not in others]
            session = _Session(user, device, platform, place, background)
            self._turn(session)
            self.sessions.append(session)

    def _turn(self, one: _Session) -> None:
        """What is told of its ground by now."""
        if one.told and not one.background:
            one.told, one.turned = False, self.now
        if one.background and not one.told and (one.turned is None or self.now >= one.turned + _GROUND):
            one.told, one.turned = True, self.now

    def _refused(self) -> list[tuple[str, int | None]]:
        return [(one.code, one.limit) for _, one in self.replies if isinstance(one, Refused)]

    def _do(self, record: Any) -> None:
        self._apply((catalog.SESSIONS, record))

    def _apply(self, *records: tuple[Any, Any]) -> None:
        self.sessions = [one for one in self.sessions if one.lost_until is None or one.lost_until > self.now]
        for one in self.sessions:
            self._turn(one)
        self.replies = []
        seen = self._read(self.partition.apply(*records))
        while seen.records(catalog.WATCHES):
            seen = self._read(self.partition.apply(*((catalog.WATCHES, lot) for lot in seen.records(catalog.WATCHES))))
        while self.partition.core.due_ms() is not None and (self.partition.core.due_ms() or 0) <= self.now:
            self._read(self.partition.tick())

    def _read(self, seen: Seen) -> Seen:
        assert set(seen.rejected()) <= {"too_many_sessions"}
        for told in seen.bindings():
            place = told.link, told.epoch, told.slot
            match told:
                case Grounded():
                    self.grounds[place] = told.background
                case Bind():
                    self.bound.add((told.group, told.ordinal, place))
                case Unbind():
                    self.bound.discard((told.group, told.ordinal, place))
                    self.heard.pop((told.group, place), None)
                case Listen():
                    for wanted in told.wanted:
                        if self._may_have(told.user, told.group, wanted):
                            _add(self.heard.setdefault((told.group, place), set()), wanted)
                case _ if told.wanted:
                    self.heard.get((told.group, place), set()).difference_update(told.wanted)
                case _:
                    self.heard.pop((told.group, place), None)
        for lot in seen.records(catalog.DELIVERIES):
            assert isinstance(lot, SessionLot)
            assert lot.epoch > self.dead.get(lot.link, 0)
            for entry in lot.entries:
                self.replies.append(((lot.link, lot.epoch), entry))
                if isinstance(entry, PresenceOut):
                    self._hear((lot.link, lot.epoch), entry)
        return seen

    def _hear(self, link: tuple[str, int], entry: PresenceOut) -> None:
        for slot in entry.slots:
            for presence in entry.users:
                place = (*link, slot)
                before = self.found.get((place, presence.user))
                if before is not None:
                    assert presence.version > before.version
                    assert (presence.state, presence.status) != (before.state, before.status)
                if presence.version > self.versions.get(presence.user, -1):  # maybe first to who begins to watch
                    self.versions[presence.user], self.told_at[presence.user] = presence.version, self.now
                self.found[place, presence.user] = presence


def _add(heard: set[Wanted], wanted: Wanted) -> None:
    """It is heard from here on; of a channel's levels of messages only this one."""
    if wanted.level != "typing":
        heard -= {Wanted("messages", wanted.channel), Wanted("unread_count", wanted.channel)}
    heard.add(wanted)


def _flat(asks: list[tuple[str, Wanted]]) -> list[Subscription]:
    return [Subscription(group, wanted.level, wanted.channel) for group, wanted in asks]


TestUsersModel = UsersModel.TestCase
TestUsersModel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
