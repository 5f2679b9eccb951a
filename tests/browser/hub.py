"""Two gateways as they are, on a pipeline of a few lines: real sockets and pages, no Kafka."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

import msgspec
from aiohttp.test_utils import TestServer
from msgspec import Raw

from examples.gateway.server import Gateway
from linkcast_gateway import (
    Accepted,
    Access,
    Applied,
    Done,
    Group,
    Handler,
    Head,
    Message,
    NotRegisteredError,
    Page,
    Place,
    Presence,
    PullError,
    Refused,
    RefusedError,
    Registration,
    Resumed,
    Session,
    Signal,
    Subscribed,
    Subscription,
    Unread,
    Views,
    Wanted,
)

T = TypeVar("T")


@dataclass
class Team:
    """One group."""

    members: dict[str, None] = field(default_factory=dict)  # in the order of joining
    joined: str = "messages"  # what members hear unasked
    messages: list[Message] = field(default_factory=list)
    version: int = 0


class Hub:
    """The pipeline: groups, and the links that hear them."""

    def __init__(self) -> None:
        self.teams: dict[str, Team] = {}
        self.links: list[HubLink] = []
        self.deaf = False  # sends go nowhere, as if the gateway had lost them
        self.resends = 0
        self.pulls = asyncio.Event()  # cleared: pulls wait
        self.pulls.set()
        self.failing = 0  # so many pulls fail before one does not
        self.refusing: str | None = None  # the next send is refused with this code
        self.seen: dict[str, set[str]] = {}  # channels that a user sees, beside `main`
        self.asked: list[tuple[str, str, dict[str, Any]]] = []  # commands: by whom, which, what
        self.statuses: dict[str, str] = {}
        self.version = 0  # of what is told of users
        self.at = time.time_ns() // 1_000_000  # when the last message was accepted

    def bind(self, link: HubLink, session: Session, group: str) -> None:
        heads = [("main", len(self.teams[group].messages))]
        link.handler.on_drive(Group("demo", group), self.teams[group].joined, (session.slot,))
        link.handler.on_live(Group("demo", group), (session.slot,), heads)

    def send(
        self, link: HubLink, session: Session, group: str, client_id: str, body: bytes, mentions: Sequence[str]
    ) -> None:
        if self.refusing is not None:
            code, self.refusing = self.refusing, None
            refused = Refused(code, app="demo", group=group, client_id=client_id, slot=session.slot)
            link.handler.on_answer(session.slot, refused)
            return
        team = self.teams[group]
        known = [m for m in team.messages if (m.sender, m.client_id) == (session.user, client_id)]
        self.resends += len(known)
        if not known:
            known = [self.write(group, session.user, body, session.device, client_id)]
            known[0].mentions = list(mentions)
            self.push(group, known[0])
        seq, at = known[0].seq, known[0].at
        link.handler.on_answer(session.slot, Accepted("demo", group, "main", client_id, seq, at, slot=session.slot))

    def write(self, group: str, sender: str, body: bytes, device: str = "d", client_id: str | None = None) -> Message:
        """Store a message that nobody is told of."""
        messages = self.teams[group].messages
        seq = len(messages) + 1
        self.at += 1
        about = (sender, device, client_id or f"c{seq}", self.at, Raw(body))
        messages.append(Message("demo", group, "main", seq, seq - 1, *about))
        return messages[-1]

    def push(self, group: str, entry: Message | Head | Signal) -> None:
        """To sessions in the foreground that hear the group; a notice in place of a message to the others."""
        team = self.teams[group]
        for link in self.links:
            link.state.lots += 1
            slots = [s.slot for s in link.sessions.values() if s.user in team.members]
            asked = {slot for slot in slots if Subscription(group, "messages", "main") in link.subscribed[slot]}
            heard = [
                slot for slot in slots if slot not in link.background and (team.joined == "messages" or slot in asked)
            ]
            match entry:
                case Head():
                    link.handler.on_head(Group("demo", group), entry, heard)
                case Signal():
                    link.handler.on_signal(Group("demo", group), entry, heard)
                case Message():
                    link.handler.on_message(Group("demo", group), entry, heard)
                    unread = Unread("demo", group, "main", entry.seq, 1)
                    link.handler.on_unread(Group("demo", group), unread, [slot for slot in slots if slot not in heard])
                    named = [slot for slot in slots if link.sessions[slot].user in entry.mentions]
                    link.handler.on_mention(entry, named)

    def drive(self, group: str, joined: str) -> None:
        """Members hear something else of the group unasked."""
        self.teams[group].joined = joined
        for link in self.links:
            slots = [s.slot for s in link.sessions.values() if s.user in self.teams[group].members]
            link.handler.on_drive(Group("demo", group), joined, slots)

    def presence_of(self, user: str) -> Presence:
        """How a user is to be found."""
        here = [(link, s.slot) for link in self.links for s in link.sessions.values() if s.user == user]
        online = "online" if any(slot not in link.background for link, slot in here) else "background"
        self.version += 1
        return Presence(user, online if here else "offline", self.statuses.get(user, ""), self.version)

    def tell_presence(self, user: str) -> None:
        """Whoever watches a user hears how that one is to be found."""
        presence = self.presence_of(user)
        for link in self.links:
            link.handler.on_presence("demo", [presence], [slot for slot in link.sessions if user in link.watched[slot]])

    def announce(self, group: str) -> None:
        """The group is quiet."""
        self.push(group, Head("demo", group, "main", len(self.teams[group].messages)))


class HubLink:
    """A link without Kafka. Has what `linkcast_gateway.Link` has."""

    def __init__(self, hub: Hub, name: str, handler: Handler) -> None:
        self.id = name
        self.handler = handler
        self.registration: Registration | None = Registration(epoch=41, partition=0, partitions=8)
        self.state = SimpleNamespace(lots=0)
        self.failure = None
        self.sessions: dict[int, Session] = {}
        self.background: set[int] = set()
        self.subscribed: defaultdict[int, set[Subscription]] = defaultdict(set)
        self.watched: defaultdict[int, set[str]] = defaultdict(set)
        self.held: set[int] = set()
        self._hub = hub
        self._next_slot = 0

    async def start(self) -> None:
        self._hub.links.append(self)

    async def stop(self) -> None:
        self._hub.links.remove(self)

    def new_session(self, app: str, user: str, device: str) -> Session:
        if self.registration is None:
            raise NotRegisteredError("the link registers anew")
        session = self.sessions[self._next_slot] = Session(self._next_slot, app, user, device)
        self._next_slot += 1
        return session

    def old_session(self, app: str, user: str, device: str, was: Place) -> Session:
        session = self.sessions.get(was.slot)
        if was == Place(self.id, 41, was.slot) and session == Session(was.slot, app, user, device):
            self.held.discard(was.slot)
            return session
        return self.new_session(app, user, device)

    def place_of(self, session: Session) -> Place:
        assert self.registration is not None
        return Place(self.id, self.registration.epoch, session.slot)

    def groups_of(self, session: Session) -> dict[Group, str]:
        teams = self._hub.teams.items()
        return {Group("demo", group): team.joined for group, team in teams if session.user in team.members}

    async def up(self, session: Session, platform: str = "", *, background: bool = False) -> None:
        assert platform == "web"
        await self.ground(session, background=background)
        for group, team in self._hub.teams.items():
            if session.user in team.members:
                self._hub.bind(self, session, group)

    async def resume(self, session: Session, was: Place, platform: str = "", *, background: bool = False) -> None:
        known = (was.link, was.slot) == (self.id, session.slot)
        self.handler.on_resumed(Resumed(session.slot, known, 0))
        if known:
            await self.ground(session, background=background)
        else:
            await self.up(session, platform, background=background)

    async def lost(self, session: Session) -> None:
        self.held.add(session.slot)

    async def down(self, session: Session) -> None:
        self.sessions.pop(session.slot, None)
        self._hub.tell_presence(session.user)

    async def ground(self, session: Session, *, background: bool) -> None:
        self.background = self.background | {session.slot} if background else self.background - {session.slot}
        self.handler.on_ground((session.slot,), background=background)
        self._hub.tell_presence(session.user)

    async def subscribe(self, session: Session, subscriptions: Sequence[Subscription]) -> None:
        self.subscribed[session.slot].update(subscriptions)
        for group in {one.group for one in subscriptions}:
            self._tell_subscribed(session, group)

    async def unsubscribe(self, session: Session, subscriptions: Sequence[Subscription]) -> None:
        self.subscribed[session.slot].difference_update(subscriptions)

    def _tell_subscribed(self, session: Session, group: str) -> None:
        here = [one for one in self.subscribed[session.slot] if one.group == group]
        heads = [("main", len(self._hub.teams[group].messages)) for one in here if one.level == "messages"]
        wanted = [Wanted(one.level, one.channel) for one in here]
        self.handler.on_subscribed(session.slot, Subscribed("demo", group, session.slot, wanted, heads=heads))

    async def watch(self, session: Session, users: Sequence[str]) -> None:
        self.watched[session.slot].update(users)
        told = [self._hub.presence_of(user) for user in users]
        self.handler.on_presence("demo", told, (session.slot,))

    async def unwatch(self, session: Session, users: Sequence[str]) -> None:
        self.watched[session.slot].difference_update(users)

    async def set_status(self, session: Session, status: str) -> Done:
        self._hub.statuses[session.user] = status
        self._hub.tell_presence(session.user)
        return Done("demo", session.user, 1, "r", session.slot)

    async def kick(self, session: Session) -> Done:
        others = [(link, s) for link in self._hub.links for s in [*link.sessions.values()] if s.user == session.user]
        others = [(link, one) for link, one in others if one is not session]
        for link, one in others:
            del link.sessions[one.slot]
            link.handler.on_ended(one.slot, "kicked")
        return Done("demo", session.user, len(others), "r", session.slot)

    async def send(
        self,
        session: Session,
        group: str,
        client_id: str,
        tried_at: int,
        body: bytes,
        channel: str,
        mentions: Sequence[str],
    ) -> None:
        assert (tried_at > 0, channel) == (True, "main")
        if not self._hub.deaf:
            self._hub.send(self, session, group, client_id, body, mentions)

    async def signal(self, session: Session, group: str, body: bytes, channel: str, kind: str) -> None:
        if session.user in self._hub.teams[group].members:
            self._hub.push(group, Signal("demo", group, channel, session.user, Raw(body), kind))

    async def create_group(
        self, session: Session, group: str, members: Sequence[str], kind: str = "team", request: str | None = None
    ) -> None:
        assert kind in {"team", "direct"}
        if group in self._hub.teams:
            refused = Refused("group_exists", app="demo", group=group, request=request, slot=session.slot)
            self.handler.on_answer(session.slot, refused)
            return
        self._hub.teams[group] = Team()
        await self.add_members(session, group, members, request)

    async def add_members(self, session: Session, group: str, users: Sequence[str], request: str | None = None) -> None:
        if group not in self._hub.teams:
            refused = Refused("unknown_group", app="demo", group=group, request=request, slot=session.slot)
            self.handler.on_answer(session.slot, refused)
            return
        team = self._hub.teams[group]
        new = [user for user in users if user not in team.members]
        team.members.update(dict.fromkeys(new))
        team.version += bool(new)
        self.handler.on_answer(session.slot, Applied("demo", group, team.version, len(new), request, session.slot))
        for link in self._hub.links:
            for other in [s for s in link.sessions.values() if s.user in new]:
                self._hub.bind(link, other, group)

    async def command(self, session: Session, group: str, what: str, request: str, **fields: Any) -> Applied:
        self._hub.asked.append((session.user, what, {"group": group, **fields}))
        if self._hub.refusing is not None:
            code, self._hub.refusing = self._hub.refusing, None
            raise RefusedError(Refused(code, app="demo", group=group, request=request, slot=session.slot))
        return Applied("demo", group, 2, 1, request, session.slot)

    async def remove_members(
        self, session: Session, group: str, users: Sequence[str], request: str | None = None
    ) -> None:
        team = self._hub.teams[group]
        for user in users:
            team.members.pop(user, None)
        team.version += 1
        self.handler.on_answer(session.slot, Applied("demo", group, 2, len(users), request, session.slot))
        for link in self._hub.links:
            slots = [s.slot for s in link.sessions.values() if s.user in users]
            link.handler.on_gone(Group("demo", group), slots)

    def void(self) -> None:
        """The registration ends, and another begins."""
        self.sessions = {}
        self.handler.on_void()
        self.registration = Registration(epoch=42, partition=0, partitions=8)


class HubViews(Views):
    """Views that read the hub."""

    def __init__(self, hub: Hub) -> None:
        super().__init__("http://nowhere", "token")
        self._hub = hub
        self._on: dict[str, dict[str, list[str]]] = {}
        self._map: dict[str, int] = {}

    async def page(
        self, app: str, group: str, channel: str, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> Page:
        assert (app, channel in {"main", "ops"}) == ("demo", True)
        await self._hub.pulls.wait()
        if self._hub.failing:
            self._hub.failing -= 1
            raise PullError("not_stored_yet")
        messages = self._hub.teams[group].messages
        if before is not None:
            found = [m for m in messages if m.seq < before]
            return Page(found[-limit:], len(messages), more=len(found) > limit)
        found = messages[after or 0 :]
        return Page(found[:limit], len(messages), more=len(found) > limit)

    async def access(self, app: str, group: str, channel: str, user: str) -> Access:
        assert (app, group in self._hub.teams) == ("demo", True)
        return Access(1, member=True, sees=channel in self._hub.seen.get(user, ()), words=["public"])

    async def get(self, path: str, type_: type[T], **params: str | int) -> T:
        """Who is there, as the views of the pipeline answer it. Nobody was told anything in person."""
        if path.endswith("/notices"):
            return msgspec.convert({"newest": 0, "first": 1, "notices": [], "more": False}, type_)
        names = path.removeprefix("/v1/apps/demo/groups/").split("/")
        team = self._hub.teams[names[0]]
        on = {link.id: [s.user for s in link.sessions.values() if s.user in team.members] for link in self._hub.links}
        on = {link: users for link, users in on.items() if users}
        match names[1:]:
            case []:
                self._map[names[0]] = self._map.get(names[0], 0) + (self._on.get(names[0]) != on)
                self._on[names[0]] = on
                heads = [{"channel": "main", "head": len(team.messages)}]
                about = {"version": team.version, "members": len(team.members), "map": self._map[names[0]]}
                answer: Any = about | {"channels": heads}
            case ["link-map"]:
                answer = {"links": [{"link": link, "sessions": len(users)} for link, users in on.items()]}
            case ["link-map", link]:
                sessions = Counter(on.get(link, []))
                answer = {"members": [{"user": user, "slots": [0] * n} for user, n in sessions.items()]}
            case _:
                answer = {"members": [{"user": user} for user in team.members][: int(params["limit"])]}
        return msgspec.convert(answer, type_)


@asynccontextmanager
async def gateways(hub: Hub) -> AsyncIterator[tuple[str, str]]:
    """Two gateways of the hub, L1 and L2; gives their addresses."""
    first, second = gateway(hub, "L1"), gateway(hub, "L2")
    servers = [TestServer(started.application()) for started in (first, second)]
    try:
        for server in servers:
            await server.start_server()
        addresses = [str(server.make_url("/")).rstrip("/") for server in servers]
        first._gateways = second._gateways = addresses
        yield addresses[0], addresses[1]
    finally:
        for server in servers:
            await server.close()


def gateway(hub: Hub, name: str) -> Gateway:
    """A gateway whose link and views are the hub's."""
    made = Gateway("demo", name, "nowhere:9", HubViews(hub), "http://nowhere")
    link: Any = HubLink(hub, name, made)
    made.link = link
    return made
