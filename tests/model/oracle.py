"""What each session is due, from plain sets: who is a member, who sees what, who asked for what, who looks.

It knows what was asked of the pipeline, the events of groups and the answers; never what roles tell each other. Where
something is still on its way, more than one thing may be right: from one quiet moment to the next only sessions that
nothing was asked of are judged exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from jobs.verify.relations import Relations
from tests.model.hearing import Ear, Heard
from topics import limits
from topics.events import GroupCreated, GroupDeleted, MembersAdded, MembersRemoved
from topics.messages import Message
from topics.policy import Policy
from topics.presence import State
from topics.subscriptions import MESSAGE_LEVELS, Joined, Subscription

NOTHING: Final = "nothing"
#: How a message comes to one who has a level, the weakest first.
_RANKS: Final = ("unread_status", "unread_count", "messages")


class Item(NamedTuple):
    """A level of a channel, or of a group."""

    level: str
    channel: str | None


@dataclass(eq=False)
class Session:
    """One session, wherever it goes.

    Attributes:
        user: whose.
        device: on which device.
        ear: the link that it is on.
        slot: its slot there.
        background: whether it is in the background.
        lost_ms: when its connection was lost; None: it stands.
        over: it ended, and everybody knows.
        ending: it ended, or may have.
        restless: something was asked of it since all was quiet.
        had: what it heard to ask for, and since which version of the group: in force while it sees the channel.
        maybe: what may be in force again, as a resume may have asked for it.
        watches: whom it watches.
    """

    user: str
    device: str
    ear: Ear
    slot: int
    background: bool = False
    lost_ms: int | None = None
    over: bool = False
    ending: bool = False
    restless: bool = True
    had: dict[str, dict[Item, int]] = field(default_factory=lambda: defaultdict(dict))
    maybe: dict[str, set[Item]] = field(default_factory=lambda: defaultdict(set))
    watches: set[str] = field(default_factory=set)
    heard: list[Heard] = field(default_factory=list)

    @property
    def stands(self) -> bool:
        """It has a connection."""
        return not self.ending and self.lost_ms is None

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it is."""
        return self.ear.address.link, self.ear.address.epoch, self.slot


class Known:
    """One group, at every version."""

    def __init__(self) -> None:
        self.relations = Relations()
        self.version = 0
        self.kind = "team"
        self._members: set[str] = set()
        self._joined: list[tuple[int, Joined]] = [(0, "messages")]

    def apply(self, event: Any, policy: Policy) -> None:
        """One event."""
        self.relations.apply(event)
        self.version = event.version
        match event:
            case GroupCreated():
                self.kind, self._members = event.kind, set(event.users)
                self._joined.append((event.version, "messages"))
            case MembersAdded():
                self._members |= set(event.users)
            case MembersRemoved():
                self._members -= set(event.users)
            case GroupDeleted():
                self._members = set()
        self.drive(policy)

    def drive(self, policy: Policy) -> None:
        """What is heard unasked, by kind, size and policy: a size that was passed counts until it is well below."""
        mode = getattr(policy, f"drive_{self.kind}")
        joined: Joined = "unread_count" if mode == "session" else "messages"
        if mode == "subscription" and self.kind == "server":
            most = policy.subscribe_members
            was = self._joined[-1][1]
            joined = (
                "none" if len(self._members) > (most * limits.SUBSCRIBE_AGAIN if was == "none" else most) else joined
            )
        self._joined.append((self.version, joined))

    def joined(self, version: int) -> set[Joined]:
        """What was heard unasked at a version; several within one that saw a change of policy."""
        before = [joined for since, joined in self._joined if since < version]
        return {joined for since, joined in self._joined if since == version} or {before[-1]}

    def member(self, user: str, version: int) -> bool:
        """Whether a user was a member."""
        life = self.relations.life.at(version)
        return life is not None and life.members.has(user, version)

    def sees(self, user: str, channel: str | None, version: int) -> bool:
        """Whether a user, member or not, saw a channel; of None: whether there was a group."""
        life = self.relations.life.at(version)
        if life is None or channel is None:
            return life is not None
        if life.members.has(user, version):
            return self.relations.sees(user, channel, version)
        found = life.channel(channel, version)
        if found is None:
            return False
        mode = found.channel.at(version).visitor_mode
        return mode == "visible" or (mode == "follow" and life.place(found, version).mode.at(version) == "public")

    def allows(self, user: str, item: Item, version: int) -> bool:
        """Whether a user could ask to hear this."""
        if not self.sees(user, item.channel, version):
            return False
        return self.member(user, version) or item.level in {"messages", "server"}

    def kept(self, user: str, item: Item, since: int) -> bool:
        """Whether a user could hear it, ever since; and came or went as a member at no time."""
        versions = range(since, self.version + 1)
        was = self.member(user, since)
        return all(self.allows(user, item, one) and self.member(user, one) == was for one in versions)


class Due(NamedTuple):
    """How one message may come to one session."""

    seq: int
    version: int
    options: frozenset[str]


class Oracle:
    """All sessions, all groups, and what is due."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.driven_anew = False  # the policy was changed since all was quiet
        self.groups: dict[str, Known] = defaultdict(Known)
        self.sessions: list[Session] = []
        self.left: list[tuple[Ear, int]] = []  # connections whose sessions went on elsewhere unlost
        self.statuses: dict[str, str] = {}
        self.quiet_at: dict[str, int] = defaultdict(int)  # each group's version when all was quiet
        self._due: dict[tuple[int, str, str], tuple[Session, list[Due]]] = {}
        self._said: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._at: dict[tuple[str, int, int], Session] = {}
        self._calls: dict[str, set[tuple[str, Item]]] = {}  # what each call is to bring, by its request

    # -- sessions ----------------------------------------------------------------------------------------------------

    def begins(self, session: Session) -> None:
        """A session begins; it takes the place of others of its device."""
        for other in self.living(session.user):
            if other.device == session.device:
                other.ending = other.restless = True
        self.sessions.append(session)
        self._at[session.place] = session

    def subscribes(self, request: str, subscriptions: Iterable[Subscription]) -> None:
        """A session asks to hear something: of a channel's messages in the strongest way that the call names."""
        asked = {(one.group, Item(one.level, one.channel)) for one in subscriptions}
        self._calls[request] = {
            (group, item)
            for group, item in asked
            if item.level not in _RANKS
            or not any((group, item._replace(level=level)) in asked for level in _RANKS[_RANKS.index(item.level) + 1 :])
        }

    def moves(self, session: Session, ear: Ear, slot: int) -> None:
        """A session goes on, here or elsewhere."""
        if (ear, slot) != (session.ear, session.slot):
            for group, items in session.had.items():
                known = self.groups[group]
                lost = {item for item, since in items.items() if not known.kept(session.user, item, since)}
                session.maybe[group] |= lost
            if session.lost_ms is None:
                self.left.append((session.ear, session.slot))
            session.ear, session.slot = ear, slot
            self._at[session.place] = session
        session.lost_ms, session.restless = None, True

    def living(self, user: str) -> list[Session]:
        """The sessions of a user, those lost among them."""
        return [one for one in self.sessions if one.user == user and not one.ending]

    def dies(self, ear: Ear, now_ms: int) -> None:
        """A link is dead: its sessions are lost."""
        for one in self.sessions:
            if one.ear is ear:
                one.restless = True
                one.lost_ms = now_ms if one.lost_ms is None else one.lost_ms

    def state(self, user: str) -> tuple[State, str]:
        """How a user is to be found."""
        grounds = {one.background for one in self.living(user)}
        state: State = "offline" if not grounds else "background" if grounds == {True} else "online"
        return state, self.statuses.get(user, "")

    # -- what happens ------------------------------------------------------------------------------------------------

    def event(self, event: Any) -> None:
        """A group changed."""
        self.groups[event.group].apply(event, self.policy)

    def drive(self, policy: Policy) -> None:
        """The policy is another one."""
        self.policy, self.driven_anew = policy, True
        for known in self.groups.values():
            known.drive(policy)

    def said(self, message: Message) -> None:
        """A message was accepted: each session that nothing is asked of is due it in one way."""
        recent = self._said[message.group, message.channel]
        recent.append(message.at)
        for one in self.sessions:
            if one.restless or not one.stands:
                continue
            options = frozenset(self._options(one, message, recent))
            key = id(one), message.group, message.channel
            self._due.setdefault(key, (one, []))[1].append(Due(message.seq, message.version, options))

    def heard(self, ear: Ear, heard: Iterable[Heard], first: dict[str, int]) -> None:
        """What sessions of a link heard in one batch, before which the groups had these versions."""
        for one in heard:
            session = self._at[ear.address.link, ear.address.epoch, one.slot]
            if one.what == "subscribed":
                self._subscribed(session, one, first.get(one.group, 0))
                continue
            assert not session.over, f"{session} is over and hears {one}"
            assert self.groups[one.group].sees(session.user, one.channel, _version(one)), f"{session.user} hears {one}"
            if session.place == (ear.address.link, ear.address.epoch, one.slot):
                session.heard.append(one)
            if one.what == "mention":
                assert session.user in one.entry.message.mentions
            if one.what == "signal" and one.entry.kind == "typing" and not session.restless:
                assert not session.background
                assert Item("typing", one.channel) in self._asked(session, one.group)[1], f"{session} hears {one}"

    # -- when all is quiet -------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """All that was due has come, in the right way, and nothing else."""
        for (_, group, channel), (session, due) in self._due.items():
            if not session.restless and session.stands:
                known = self.groups[group]
                told = [one for one in session.heard if (one.group, one.channel) == (group, channel)]
                owed = [
                    one
                    if self._goes_on(session, known, channel, one)
                    else one._replace(options=one.options | {NOTHING})
                    for one in due
                ]
                _judge(f"{session.user} slot {session.slot} in {group}/{channel}", owed, told)
        self._due.clear()

    def rest(self, now_ms: int) -> None:
        """All is quiet: what was asked is in force, what was lost for too long is over."""
        for one in self.sessions:
            if one.lost_ms is not None and now_ms - one.lost_ms > self.policy.resume_ms:
                one.ending = True
            one.over |= one.ending
            one.restless = False
            one.heard.clear()
        self.driven_anew = False
        self.quiet_at = defaultdict(int, {name: known.version for name, known in self.groups.items()})

    # ----------------------------------------------------------------------------------------------------------------

    def _goes_on(self, session: Session, known: Known, channel: str, due: Due) -> bool:
        """Whether a session heard the channel for the same reason ever since."""
        versions = range(due.version, known.version + 1)
        same = len({(known.member(session.user, at), frozenset(known.joined(at))) for at in versions}) == 1
        return same and not self.driven_anew and all(known.sees(session.user, channel, at) for at in versions)

    def _subscribed(self, session: Session, heard: Heard, first: int) -> None:
        """An answer: what it holds is in force from here on; what it refused could not be heard."""
        known, entry, group = self.groups[heard.group], heard.entry, heard.group
        versions = range(first, known.version + 1)
        for turned in entry.refused:
            item = Item(turned.level, turned.channel)
            if turned.code == "unknown_session":  # not bound yet, or no more
                before = known.member(session.user, self.quiet_at[group])
                assert not session.stands or not before, f"{session} refused as unknown"
                continue
            assert not all(known.allows(session.user, item, one) for one in versions), f"refused: {turned}"
        wanted = {Item(one.level, one.channel) for one in entry.wanted}
        for item in wanted:
            assert any(known.allows(session.user, item, one) for one in versions), f"granted: {item}"
        messages = [item.channel for item in wanted if item.level in MESSAGE_LEVELS]
        assert len(messages) == len(set(messages)), f"{session} hears of a channel in two ways: {wanted}"
        due = {item for of, item in self._calls.get(entry.request or "", ()) if of == group}
        assert due <= wanted | {Item(one.level, one.channel) for one in entry.refused}, f"{due} was asked, not {wanted}"
        session.had[group] = dict.fromkeys(wanted, known.version)
        session.maybe[group] = {item for item in wanted if not known.kept(session.user, item, first)}

    def _asked(self, session: Session, group: str) -> tuple[set[Item], set[Item]]:
        """What a session hears of a group by asking: for certain, and at most."""
        known = self.groups[group]
        certain = {item for item, since in session.had[group].items() if known.kept(session.user, item, since)}
        return certain - session.maybe[group], certain | session.maybe[group]

    def _options(self, session: Session, message: Message, recent: list[int]) -> Iterator[str]:
        """How a message may come to a session that nothing was asked of."""
        known, group, channel = self.groups[message.group], message.group, message.channel
        if not known.sees(session.user, channel, message.version):
            yield NOTHING
            return
        versions = range(self.quiet_at[group], message.version + 1)
        was = known.member(session.user, message.version)
        if self.driven_anew or any(known.member(session.user, one) != was for one in versions):
            yield from ("message", *_RANKS[:2], NOTHING)  # it is being bound, or what it hears unasked changes
            return
        joined = {one for version in versions for one in known.joined(version)} if was else {"none"}
        for unasked in joined:
            for asked in self._asked(session, group):
                levels: set[str] = {
                    item.level for item in asked if item.channel == channel and item.level in MESSAGE_LEVELS
                }
                yield from self._ways(session, levels, unasked, narrow=session.ear.stalled or self._bursting(recent))
        lost = {item for item in session.had[group] if item.channel == channel} - self._asked(session, group)[0]
        if lost and not was:
            yield NOTHING

    def _ways(self, session: Session, asked: set[str], unasked: str, *, narrow: bool) -> Iterator[str]:
        top = max([*asked, unasked], key=lambda level: _RANKS.index(level) if level in _RANKS else -1)
        if top not in _RANKS:
            yield NOTHING
        elif top != "messages" or session.background:
            yield "unread_count" if top == "messages" else top
        else:
            yield "message"
            if narrow and "messages" not in asked:
                yield "unread_count"

    def _bursting(self, recent: list[int]) -> bool:
        """Whether so many came of late that what nobody asked for may be told as notices."""
        within = [at for at in recent if at > recent[-1] - 2 * limits.BURST_MS]
        return len(within) > self.policy.burst_per_s * limits.BURST_CALM * limits.BURST_MS / 1_000


def _judge(who: str, due: list[Due], told: list[Heard]) -> None:
    """One session, one channel, from one quiet moment to the next."""
    messages = [one.seq for one in told if one.what == "message"]
    notices = [one for one in told if one.what in {"unread_count", "unread_status"}]
    assert len(messages) == len(set(messages)), f"{who}: a message twice, of {messages}"
    options = {one.seq: one.options for one in due}
    for seq in messages:
        assert "message" in options[seq], f"{who}: {seq} came as a message, not as {set(options[seq])}"
    for one in notices:
        assert one.what in options[one.seq], f"{who}: {one} came, {set(options[one.seq])} was due"
        assert one.seq not in messages, f"{who}: {one.seq} as a message and as a notice"
    for seq, ways in options.items():
        covered = {one.what for one in notices if one.seq >= seq} | ({"message"} if seq in messages else set())
        assert NOTHING in ways or covered & ways, f"{who}: {seq} was due as {set(ways)}, came as {covered}"
    if all(ways == {"unread_count"} for ways in options.values()):
        assert sum(one.entry.count for one in notices) == len(options), f"{who}: {notices} count {len(options)}"


def _version(heard: Heard) -> int:
    version: int = heard.entry.message.version if heard.what == "mention" else heard.entry.version
    return version
