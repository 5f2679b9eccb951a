"""The users of a demo and their clients: who is where, what they sent, what they were told.

A client sends again what is not answered, from wherever its user is online then: a real one would do the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobs.demo.hall import HALL, Command
from jobs.demo.ledger import Ledger
from jobs.demo.scenario import TEAM, TOWN, Beckon, Come, Go, Join, Lose, Part, Return, Say, SayAgain, Turn, shown
from linkcast_gateway import (
    Accepted,
    Answer,
    Group,
    Handler,
    Head,
    KafkaAwayError,
    Link,
    Message,
    NotRegisteredError,
    Place,
    Refused,
    Registration,
    Resumed,
    Session,
    Subscribed,
    Subscription,
    Unread,
)

AGAIN_S: Final = 4.0
_ADMIN: Final = "admin"
_DEVICE: Final = "phone"
#: What a client waits out: its link registers anew, or Kafka is away.
_LATER: Final = (NotRegisteredError, KafkaAwayError)


class SimulatedLink(Link):
    """A link whose process can die."""

    async def crash(self) -> None:
        """End without leaving: the pipeline has to notice by itself."""
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await life

    async def ask(self, session: Session, group: str, request: str, what: str, **fields: Any) -> None:
        """Write any command of the contract, as the back end; its answer comes like those of others."""
        await self._relate(session, group, request, t=what, **fields)


@dataclass(slots=True)
class Pending:
    """A send that is not answered yet."""

    user: str
    group: str
    client_id: str
    tried_at_ms: int
    tried_s: float
    channel: str = "main"
    mentions: tuple[str, ...] = ()
    tries: int = 0


@dataclass(slots=True)
class Counts:
    """What happened so far, as the clients see it."""

    sent: int = 0
    again: int = 0
    accepted: int = 0
    refused: int = 0
    signals: int = 0
    delivered: int = 0
    reached: int = 0
    notices: int = 0
    mentions: int = 0
    subscribed: int = 0
    resumed: int = 0
    anew: int = 0


class _Ears(Handler):
    """What one link hears."""

    def __init__(self, crowd: Crowd, link: str) -> None:
        self._crowd = crowd
        self._link = link
        self.live: dict[str, set[int]] = {TEAM: set(), TOWN: set()}  # slots that hear the large groups
        self.ledger = Ledger()

    def on_registered(self, registration: Registration) -> None:
        del registration
        self._forget()
        self._crowd.arrive(self._link)

    def on_void(self) -> None:
        self._forget()
        self._crowd.scatter(self._link)

    def on_live(self, group: Group, slots: Sequence[int], heads: Sequence[tuple[str, int]]) -> None:
        if group.name in self.live:
            self.live[group.name].update(slots)
        self.ledger.begins(group.name, heads, slots)
        self._crowd.look_at(self._link, group.name, slots)

    def on_gone(self, group: Group, slots: Sequence[int]) -> None:
        if group.name in self.live:
            self.live[group.name].difference_update(slots)
        self.ledger.ends(group.name, slots)

    def on_forgotten(self, source: int, bindings: Mapping[Group, Sequence[int]]) -> None:
        del source
        for group, slots in bindings.items():
            self.ledger.ends(group.name, slots)

    def on_missed(self, group: Group, slots: Sequence[int]) -> None:
        self.ledger.ends(group.name, slots)  # they pull

    def on_ground(self, slots: Sequence[int], *, background: bool) -> None:
        if not background:
            self.ledger.pulls(slots)

    def on_subscribed(self, slot: int, subscribed: Subscribed) -> None:
        self._crowd.counts.subscribed += len(subscribed.wanted)
        self.ledger.begins(subscribed.group, subscribed.heads, [slot])

    def on_resumed(self, resumed: Resumed) -> None:
        self.ledger.pulls([resumed.slot])
        self._crowd.went_on(self._link, resumed.slot, known=resumed.known)

    def on_ended(self, slot: int, why: str) -> None:
        del why
        self._crowd.ended(self._link, slot)

    def on_unread(self, group: Group, unread: Unread, slots: Sequence[int]) -> None:
        self._crowd.counts.notices += 1
        self.ledger.notice(group.name, unread.channel, unread.seq, slots)

    def on_head(self, group: Group, head: Head, slots: Sequence[int]) -> None:
        self.ledger.notice(group.name, head.channel, head.seq, slots)

    def on_mention(self, message: Message, slots: Sequence[int]) -> None:
        del message
        self._crowd.counts.mentions += len(slots)

    def on_message(self, group: Group, message: Message, slots: Sequence[int]) -> None:
        if group.name != TOWN:  # told one by one it would be most of the demo's work
            self.ledger.message(group.name, message.channel, (message.seq, message.prev), slots)
        self._crowd.counts.delivered += 1
        self._crowd.counts.reached += len(slots)

    def on_answer(self, slot: int, answer: Answer) -> None:
        del slot
        self._crowd.answered(answer)

    def _forget(self) -> None:
        self.ledger.clear()
        for slots in self.live.values():
            slots.clear()


class Crowd:
    """All users of the demo's app, on its links."""

    def __init__(
        self,
        app: str,
        links: Sequence[str],
        make_link: Callable[[str, Handler], SimulatedLink],
        *,
        subscribes: bool = True,
    ) -> None:
        """Nobody is there yet.

        Args:
            app: whose users they are.
            links: the names of its links.
            make_link: makes one.
            subscribes: whether sessions subscribe to what they show.
        """
        self.counts = Counts()
        self._subscribes = subscribes
        self.pending: dict[str, Pending] = {}
        self.commands: dict[str, str] = {}  # request -> what is not answered yet
        self._app = app
        self._ears = {link: _Ears(self, link) for link in links}
        self.links = {link: make_link(link, self._ears[link]) for link in links}
        self._home: dict[str, str] = {}  # user -> the link that the user is or wants to be on
        self._sessions: dict[str, tuple[str, Session]] = {}
        self._places: dict[str, Place] = {}  # by user: what the client keeps to resume its session
        self._lost: set[str] = set()  # users whose connection broke
        self._background: set[str] = set()
        self._showing: set[tuple[str, str]] = set()  # (user, group): what is shown there is subscribed to
        self._shows: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._newest: dict[tuple[str, str], int] = {}
        self._sent: dict[str, Pending] = {}
        self._homeless: asyncio.Queue[str] = asyncio.Queue()
        self._requests = 0

    @property
    def online(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    @property
    def background(self) -> int:
        """How many of them are in the background."""
        return len(self._background & self._sessions.keys())

    def live(self, group: str = TEAM) -> int:
        """How many sessions hear a large group."""
        return sum(len(ears.live[group]) for ears in self._ears.values())

    async def start(self) -> None:
        """Start the links; returns when all are registered."""
        for link in self.links.values():
            await link.start()
        for link in self.links.values():
            await link.registered()
        await self.come(Come(_ADMIN, next(iter(self.links))))

    async def stop(self) -> None:
        """The links leave."""
        for link in self.links.values():
            await link.stop()

    async def create(self, group: str, members: Sequence[str]) -> None:
        """Create a group."""
        name, session = self._sessions[_ADMIN]
        await self.links[name].create_group(session, group, members, request=self._request(f"create {group}"))

    async def come(self, come: Come) -> None:
        """A user comes online, where it is possible."""
        self._home[come.user] = come.link
        await self._connect(come.user)

    async def go(self, go: Go) -> None:
        """A user goes offline."""
        self._home.pop(go.user, None)
        self._forget(go.user)
        self._lost.discard(go.user)
        self._background.discard(go.user)
        if (at := self._sessions.pop(go.user, None)) is not None:
            with contextlib.suppress(*_LATER):
                await self.links[at[0]].down(at[1])

    async def turn(self, turn: Turn) -> None:
        """A user's device goes to the background, or comes from there."""
        if (at := self._sessions.get(turn.user)) is None:
            return
        (self._background.add if turn.background else self._background.discard)(turn.user)
        with contextlib.suppress(*_LATER):
            await self.links[at[0]].ground(at[1], background=turn.background)

    async def lose(self, lose: Lose) -> None:
        """A user's connection breaks; the client is to resume on a link."""
        if (at := self._sessions.pop(lose.user, None)) is None:
            return
        self._lost.add(lose.user)
        self._home[lose.user] = lose.link
        with contextlib.suppress(*_LATER):
            await self.links[at[0]].lost(at[1])

    async def resume(self, back: Return) -> None:
        """The client resumes."""
        if back.user in self._lost:
            self._lost.discard(back.user)
            await self._connect(back.user)

    def unanswered(self) -> list[str]:
        """Sends and commands that nobody answered yet, in words."""
        now_s = time.monotonic()
        sends = [
            f"{one.client_id} of {one.user} on {self._sessions.get(one.user, ('no link',))[0]} to {one.group}, "
            f"tried {one.tries} times, last {now_s - one.tried_s:.0f} s ago"
            for one in self.pending.values()
        ]
        return [*sends, *self.commands.values()]

    def missed(self) -> list[str]:
        """What sessions neither heard nor heard of, of all that was accepted."""
        by_all = {of: seq for of, seq in self._newest.items() if of[0] not in {HALL, TOWN}}
        return [f"{link}: {what}" for link, ears in self._ears.items() for what in ears.ledger.missed(by_all)]

    async def say(self, say: Say) -> None:
        """A user sends; without a connection just now, later."""
        pending = Pending(
            say.user, say.group, say.client_id, time.time_ns() // 1_000_000, time.monotonic(), say.channel, say.mentions
        )
        self.pending[say.client_id] = self._sent[say.client_id] = pending
        self.counts.sent += 1
        await self._try(pending)

    async def say_again(self, again: SayAgain) -> None:
        """A client sends once more what it sent."""
        if (pending := self._sent.get(again.client_id)) is not None and pending.tries:
            await self._try(pending)

    async def beckon(self, beckon: Beckon) -> None:
        """A user signals."""
        if (at := self._sessions.get(beckon.user)) is None:
            return
        self.counts.signals += 1
        with contextlib.suppress(*_LATER):
            await self.links[at[0]].signal(at[1], beckon.group, b'"typing"', beckon.channel)

    async def change(self, change: Join | Part) -> None:
        """The admin changes a group's members."""
        if (at := self._sessions.get(_ADMIN)) is None:
            return  # the admin is away just now, and lets it be
        name, session = at
        request = self._request(f"{change}")
        link = self.links[name]
        try:
            if isinstance(change, Join):
                await link.add_members(session, change.group, change.users, request=request)
            else:
                await link.remove_members(session, change.group, change.users, request=request)
        except _LATER:  # the admin is told at once, and lets it be
            del self.commands[request]

    async def rule(self, command: Command) -> None:
        """The server is changed: by the back end, or for whom the command names."""
        if (at := self._sessions.get(_ADMIN)) is None:
            return  # as above
        name, session = at
        request = self._request(f"{command.what} {HALL}")
        fields = dict(command.fields)
        if command.lasts_ms is not None:
            fields["until"] = time.time_ns() // 1_000_000 + command.lasts_ms
        try:
            await self.links[name].ask(session, HALL, request, command.what, **fields)
        except _LATER:  # as above
            del self.commands[request]

    async def silence(self, link: str) -> None:
        """A link dies; every other of its users goes to another link at once."""
        lost = [user for user, (at, _) in self._sessions.items() if at == link]
        await self.links[link].crash()
        others = [other for other in self.links if other != link]
        for i, user in enumerate(lost[::2]):
            await self.come(Come(user, others[i % len(others)]))

    async def tend(self, *, everyone: bool = False) -> None:
        """Connect who lost the connection; send again what is not answered in time.

        Args:
            everyone: also bring back users who went before they were answered, and whose connection broke.
        """
        for user in [*self._lost] if everyone else ():
            await self.resume(Return(user))
        for _ in range(self._homeless.qsize()):
            await self._connect(self._homeless.get_nowait())
        for _ in range(self._shows.qsize()):
            await self._show(*self._shows.get_nowait())
        now_s = time.monotonic()
        for pending in list(self.pending.values()):
            if now_s - pending.tried_s < AGAIN_S * max(pending.tries, 1):  # ever rarer: it may be busy
                continue
            if everyone and pending.user not in self._home:
                await self.come(Come(pending.user, next(iter(self.links))))
            await self._try(pending)

    # Told by the links.

    def arrive(self, link: str) -> None:
        """A link lives: those who wait for it connect."""
        for user, home in self._home.items():
            if home == link and user not in self._sessions and user not in self._lost:
                self._homeless.put_nowait(user)

    def scatter(self, link: str) -> None:
        """A link's registration is dead, and with it all its sessions."""
        for user in [user for user, (at, _) in self._sessions.items() if at == link]:
            del self._sessions[user]

    def look_at(self, link: str, group: str, slots: Sequence[int]) -> None:
        """Sessions hear a group: they subscribe to what they show of it, if they did not before."""
        sessions = self.links[link].sessions
        for slot in slots if self._subscribes else ():
            if (session := sessions.get(slot)) is not None and (session.user, group) not in self._showing:
                self._showing.add((session.user, group))
                if shown(session.user, group):
                    self._shows.put_nowait((session.user, group))

    def went_on(self, link: str, slot: int, *, known: bool) -> None:
        """A session was resumed; if it was not known it begins anew."""
        self.counts.resumed += known
        self.counts.anew += not known
        if not known and (session := self.links[link].sessions.get(slot)) is not None:
            for user, group in [pair for pair in self._showing if pair[0] == session.user]:
                self._shows.put_nowait((user, group))

    def ended(self, link: str, slot: int) -> None:
        """Another session of the user ended this one, or Kafka lost what it said.

        A user has one client, which is here: it comes again. It was ended by what another link said late.
        """
        for user, (at, session) in list(self._sessions.items()):
            if at == link and session.slot == slot:
                del self._sessions[user]
                self._homeless.put_nowait(user)

    def answered(self, answer: Answer) -> None:
        """A client is told."""
        if isinstance(answer, Accepted):
            of = answer.group, answer.channel
            self._newest[of] = max(self._newest.get(of, 0), answer.seq)
            if self.pending.pop(answer.client_id, None) is not None:
                self.counts.accepted += 1
        elif isinstance(answer, Refused) and answer.client_id is not None:
            if self.pending.pop(answer.client_id, None) is not None:
                self.counts.refused += 1
        elif answer.request is not None:
            self.commands.pop(answer.request, None)

    async def _connect(self, user: str) -> None:
        home = self._home.get(user)
        if home is None or user in self._sessions:
            return
        link, was, background = self.links[home], self._places.get(user), user in self._background
        try:
            if was is None:
                session = link.new_session(self._app, user, _DEVICE)
            else:
                session = link.old_session(self._app, user, _DEVICE, was)
            self._sessions[user], self._places[user] = (home, session), link.place_of(session)
            if was is None:
                await link.up(session, background=background)
            else:
                await link.resume(session, was, background=background)
        except KafkaAwayError:
            self._sessions.pop(user, None)
            self._homeless.put_nowait(user)
        except NotRegisteredError:
            pass  # it comes when the link lives again

    async def _try(self, pending: Pending) -> None:
        if (at := self._sessions.get(pending.user)) is None:
            return
        body = f'{{"text":"{pending.client_id} of {pending.user}, to everyone who hears {pending.group}"}}'
        with contextlib.suppress(*_LATER):
            link, session = self.links[at[0]], at[1]
            tried_at_ms, channel = pending.tried_at_ms, pending.channel
            await link.send(
                session,
                pending.group,
                pending.client_id,
                tried_at_ms,
                body.encode(),
                channel,
                mentions=pending.mentions,
            )
            self.counts.again += pending.tries > 0
            pending.tries += 1
            pending.tried_s = time.monotonic()

    async def _show(self, user: str, group: str) -> None:
        if (at := self._sessions.get(user)) is not None:
            wanted = [Subscription(group, level, channel) for level, channel in shown(user, group)]
            with contextlib.suppress(*_LATER):
                await self.links[at[0]].subscribe(at[1], wanted)

    def _forget(self, user: str) -> None:
        """The session ends for good: the next one begins anew."""
        self._places.pop(user, None)
        self._showing = {pair for pair in self._showing if pair[0] != user}

    def _request(self, what: str) -> str:
        self._requests += 1
        request = f"r{self._requests}"
        self.commands[request] = what
        return request
