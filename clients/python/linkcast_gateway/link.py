"""A link: its sessions, and what they send. `life` keeps it registered and hands on what is delivered.

It knows nothing of WebSockets: give it a `Handler` to hear what happens.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from linkcast_gateway import wire
from linkcast_gateway.asks import Ask
from linkcast_gateway.errors import (
    BadIdError,
    NotRegisteredError,
    RefusedError,
    SlotsUsedUpError,
    UnansweredError,
)
from linkcast_gateway.handler import Handler, Place, Registration, Session, Subscription
from linkcast_gateway.kafka import json_of
from linkcast_gateway.life import Life
from linkcast_gateway.wire import Accepted, Applied, Done, Group, Refused

# The contract's limits.
BODY_BYTES: Final = 16 * 1024
DEDUPE_WINDOW_MS: Final = 60_000
SLOTS: Final = 1 << 32
MENTIONS: Final = 50
SUBSCRIPTIONS_PER_CALL: Final = 100
STATUS_CHARS: Final = 128
#: How long a session that was lost may be resumed, unless the app's policy says otherwise.
RESUME_MS: Final = 60_000

#: A send that nobody answered is sent again after this.
RESEND_MS: Final = 3_000
#: A command that nobody answered for this long is given up.
COMMAND_MS: Final = 30_000
#: Sends and commands that wait for an answer at once; more wait for their turn.
UNANSWERED: Final = 1_000
#: Refusals that are for now only: the same send is tried again.
_LATER: Final = frozenset({"throttled", "overloaded"})
#: Fields of commands that name things, and those that name many.
_IDS: Final = frozenset({"user", "to", "owner", "role", "channel", "category", "invite", "application", "code"})
_ID_LISTS: Final = frozenset(
    {"users", "members", "add_users", "remove_users", "add_roles", "remove_roles", "black_roles", "white_roles"}
)

_Thing = TypeVar("_Thing")
_Answer = TypeVar("_Answer", Applied, Done)
_ID: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}\Z")


class Link(Life):
    """One link.

    Args:
        link: its id, chosen by whoever runs it; two with one id end each other.
        kafka: brokers to ask first, `host:port`, by commas.
        handler: hears what happens.
        address: where clients reach it; told to the pipeline.
        region: where it stands; told to the pipeline.

    Attributes:
        registration: the living one, or None.
        sessions: those of the living registration, by slot.
        failure: why the link has given up, or None.

    Raises:
        BadIdError: the link's id is none.
    """

    def __init__(self, link: str, kafka: str, handler: Handler, address: str = "", region: str = "") -> None:
        _check_ids(link)
        super().__init__(link, kafka, handler, {"address": address, "region": region})
        self._turns = asyncio.Semaphore(UNANSWERED)

    # Sessions. Each call keeps the order of those before it with the same key.

    def new_session(self, app: str, user: str, device: str) -> Session:
        """Give a connection its slot. Nothing is told yet: be ready to hear for it, then call `up`.

        Raises:
            NotRegisteredError: try again when registered.
            BadIdError: app, user or device is no id.
        """
        _check_ids(app, user, device)
        self._living()
        if self._next_slot >= SLOTS:
            raise SlotsUsedUpError("every slot of this epoch was used: stop the link and start it")
        session = self.sessions[self._next_slot] = Session(self._next_slot, app, user, device)
        self._next_slot += 1  # never used again within the epoch
        return session

    def old_session(self, app: str, user: str, device: str, was: Place) -> Session:
        """Give a connection that comes back its slot again, where this link still holds it; else a new one.

        An old connection that has not been noticed to be broken loses the slot to the new one: close it, and tell
        nobody. Then call `resume`.

        Raises:
            NotRegisteredError: try again when registered.
            BadIdError: app, user or device is no id.
        """
        held = self.sessions.get(was.slot)
        if (was.link, was.epoch) == (self.id, self._living().epoch) and held == Session(was.slot, app, user, device):
            self._held.pop(was.slot, None)
            self._unsaid.pop(was.slot, None)
            return held
        return self.new_session(app, user, device)

    def place_of(self, session: Session) -> Place:
        """What a client keeps to resume its session, here or on any other link."""
        return Place(self.id, self._own(session).epoch, session.slot)

    def groups_of(self, session: Session) -> dict[Group, str]:
        """The groups that a session hears of now, and what it hears of their channels unasked."""
        return {} if self.state is None else self.state.groups_of(session.slot)

    async def up(self, session: Session, platform: str = "", *, background: bool = False) -> None:
        """The connection of a session began; who it is was made sure of by the caller.

        Args:
            session: which.
            platform: what kind of device it is on: an app may allow one session of each.
            background: whether it begins in the background.

        Raises:
            NotRegisteredError: its registration is void; so it is with every call that takes a session.
            KafkaAwayError: Kafka takes nothing for long; so it is with every call that writes.
        """
        await self._open(session, "up", platform, background)

    async def resume(self, session: Session, was: Place, platform: str = "", *, background: bool = False) -> None:
        """A session goes on, here: with what it had asked for. `on_resumed` tells whether it was still known."""
        await self._open(session, "resume", platform, background, was=msgspec.to_builtins(was))

    async def lost(self, session: Session, hold_ms: int = RESUME_MS) -> None:
        """The connection of a session broke. It may go on for a while: its slot is held for so long."""
        if self.sessions.get(session.slot) is session:
            self._held[session.slot] = time.monotonic_ns() // 1_000_000 + hold_ms
            await self._say(session, "lost")

    async def down(self, session: Session) -> None:
        """The connection of a session ended, for good. If its registration did already, there is nothing to tell."""
        if self.sessions.get(session.slot) is session:
            address = self._of_user(session)
            self._end_session(session.slot)
            await self._say_of(session, {"t": "down", **address})

    async def ground(self, session: Session, *, background: bool) -> None:
        """A session went to the background, or came to the foreground; `on_ground` tells when it is in force."""
        await self._say(session, "ground", background=background)

    # What sessions ask to hear.

    async def subscribe(
        self, session: Session, subscriptions: Sequence[Subscription], request: str | None = None
    ) -> None:
        """A session asks to hear something. `on_subscribed` tells for each group what is in force.

        More than SUBSCRIPTIONS_PER_CALL go in several calls. What is too much for the session is refused: `on_answer`.

        Raises:
            BadIdError: something named is no id; so it is with the calls below.
        """
        await self._ask_to_hear(session, "subscribe", subscriptions, request)

    async def unsubscribe(
        self, session: Session, subscriptions: Sequence[Subscription], request: str | None = None
    ) -> None:
        """A session wants to hear something no more; answered like `subscribe`."""
        await self._ask_to_hear(session, "unsubscribe", subscriptions, request)

    async def watch(self, session: Session, users: Sequence[str], request: str | None = None) -> None:
        """A session wants to know which of these users are online: `on_presence`, at once and with each change."""
        _check_ids(*users)
        for some in _in_calls(users):
            await self._say(session, "watch", users=some, request=request)

    async def unwatch(self, session: Session, users: Sequence[str], request: str | None = None) -> None:
        """A session watches these users no more."""
        _check_ids(*users)
        for some in _in_calls(users):
            await self._say(session, "unwatch", users=some, request=request)

    # What users say of themselves.

    async def set_status(self, session: Session, status: str) -> Done:
        """Set the custom status of a session's user, and wait until it is; empty: none.

        Raises:
            RefusedError: it is refused.
            UnansweredError: nobody answered; it may have been set or not.
        """
        return await self._user_command(session, "set_status", status=status[:STATUS_CHARS])

    async def kick(self, session: Session, device: str | None = None) -> Done:
        """End the other sessions of a session's user, or those of one device; tells how many. Errors as above."""
        spared = {"link": self.id, "epoch": self._own(session).epoch, "slot": session.slot}
        return await self._user_command(session, "kick", spared=spared, device=device)

    # What sessions send.

    async def send(
        self,
        session: Session,
        group: str,
        client_id: str,
        tried_at: int,
        body: bytes,
        channel: str = "main",
        kind: str = "text",
        mentions: Sequence[str] = (),
    ) -> None:
        """Send a message; the answer comes by `on_answer`. A resend repeats client_id and tried_at.

        For gateways whose clients resend by themselves; `send_and_wait` does it for them.

        Args:
            session: who sends.
            group: into which group of the session's app.
            client_id: the sender's id of the message.
            tried_at: milliseconds since 1970 of the first try.
            body: JSON; valid, as it is put into the record as it is.
            channel: the channel.
            kind: text, ...
            mentions: users whom it mentions, at most MENTIONS: those who see the channel hear it wherever they are.

        Raises:
            BadIdError: group, client_id, channel or a mention is no id, or there are too many mentions.
        """
        _check_ids(group, client_id, channel, *mentions)
        if len(mentions) > MENTIONS:
            raise BadIdError(f"{len(mentions)} mentions: a message has at most {MENTIONS}")
        record = {
            "t": "send",
            "app": session.app,
            "group": group,
            "channel": channel,
            "sender": session.user,
            "device": session.device,
            "client_id": client_id,
            "tried_at": tried_at,
            "kind": kind,
            "reply": self._reply(session),
            "body": Raw(body),
            **({"mentions": list(mentions)} if mentions else {}),
        }
        await self._produce("messages", f"{session.app}:{group}", wire.encode(record))

    async def send_and_wait(
        self,
        session: Session,
        group: str,
        body: bytes,
        client_id: str | None = None,
        tried_at: int | None = None,
        channel: str = "main",
        kind: str = "text",
        mentions: Sequence[str] = (),
    ) -> Accepted:
        """Send a message, again and again just as it was while nobody answers; returns when it is accepted.

        A resend is never taken for a new message. When the session ends first, the same client_id and tried_at may be
        sent by another one of the same user and device.

        Raises:
            RefusedError: it is refused, for good.
            UnansweredError: nobody answered for as long as a resend is known.
            NotRegisteredError: the registration ended; it is not known whether the message was accepted.
        """
        client_id = client_id or uuid.uuid4().hex
        tried_at = tried_at if tried_at is not None else _wall_ms()
        ask = Ask(session.slot, group, "send", client_id)
        async with self._turns:
            try:
                while _wall_ms() - tried_at < DEDUPE_WINDOW_MS:
                    answer = self._asks.answer(ask)
                    await self.send(session, group, client_id, tried_at, body, channel, kind, mentions)
                    await asyncio.wait([answer], timeout=RESEND_MS / 1000)
                    if not answer.done():
                        continue
                    match answer.result():
                        case Accepted() as accepted:
                            return accepted
                        case Refused(code=code) as refused if code not in _LATER:
                            raise RefusedError(refused)
                    await asyncio.sleep(RESEND_MS / 1000)
            finally:
                self._asks.forget(ask)
        raise UnansweredError("no answer as long as a resend is known: it may have been accepted or not")

    async def signal(
        self, session: Session, group: str, body: bytes, channel: str = "main", kind: str = "custom"
    ) -> None:
        """Send something to those online now; nobody answers."""
        _check_ids(group, channel)
        self._own(session)
        record = {
            "t": "signal",
            "app": session.app,
            "group": group,
            "channel": channel,
            "sender": session.user,
            "kind": kind,
            "body": Raw(body),
        }
        await self._produce("messages", f"{session.app}:{group}", wire.encode(record))

    # Changes of groups: for the session's user, or, without asking who may, as the app's back end.

    async def command(
        self,
        session: Session,
        group: str,
        what: str,
        expected: int | None = None,
        request: str | None = None,
        **fields: Any,
    ) -> Applied:
        """Send a command for a session's user, whose permissions count, and wait for the answer.

        It is sent once: a command that changes nothing is harmless, so whoever does not know may send it again.

        Args:
            session: for whom.
            group: the group.
            what: any command of the contract: `create_role`, `edit_list`, `join`, ...
            expected: the group's version that the decision was made at; another one refuses the command.
            request: names the command in its answer; one is made if none is given.
            **fields: the command's own, as the contract names them; what is None is left out.

        Raises:
            RefusedError: it is refused, and changed nothing.
            UnansweredError: nobody answered; it may have been applied or not.
            BadIdError: something named is no id.
            NotRegisteredError: the registration ended; it is not known whether it was applied.
        """
        request = request or uuid.uuid4().hex
        _check_ids(*_ids_in(fields))
        told = {**fields, "by": session.user, "expected": expected}  # whoever gives `by` does not choose it
        known = {name: value for name, value in told.items() if value is not None}
        asked = Ask(session.slot, group, "command", request)
        return await self._answer(asked, Applied, lambda: self._relate(session, group, request, t=what, **known))

    async def create_group(
        self, session: Session, group: str, members: Sequence[str], kind: str = "team", request: str | None = None
    ) -> None:
        """Create a group; the answer (applied or refused) comes by `on_answer`, with `request`."""
        await self._relate(session, group, request, t="create_group", kind=kind, members=list(members))

    async def delete_group(self, session: Session, group: str, request: str | None = None) -> None:
        """Delete a group."""
        await self._relate(session, group, request, t="delete_group")

    async def add_members(self, session: Session, group: str, users: Sequence[str], request: str | None = None) -> None:
        """Make users members of a group, at most 10,000 a call."""
        await self._relate(session, group, request, t="add_members", users=list(users))

    async def remove_members(
        self, session: Session, group: str, users: Sequence[str], request: str | None = None
    ) -> None:
        """Make users members of a group no more, at most 10,000 a call."""
        await self._relate(session, group, request, t="remove_members", users=list(users))

    async def resync(self, source: int) -> None:
        """Ask a source to begin anew, as if a lot of it had been lost."""
        if self.state is not None:
            await self._act(self.state.resync(source, time.monotonic_ns() // 1_000_000))

    # Their records.

    async def _open(self, session: Session, what: str, platform: str, background: bool, **more: Any) -> None:
        """A connection begins, or goes on."""
        about = {"t": what, "app": session.app, "user": session.user, "device": session.device}
        address = {**self._address(self._own(session)), "slot": session.slot}
        grounds = ({"platform": platform} if platform else {}) | ({"background": True} if background else {})
        await self._say_of(session, {**about, **address, **grounds, **more})

    async def _say(self, session: Session, what: str, **more: Any) -> None:
        """Something that a session says of itself."""
        told = {name: value for name, value in more.items() if value is not None}
        await self._say_of(session, {"t": what, **self._of_user(session), **told})

    def _of_user(self, session: Session) -> dict[str, Any]:
        """A session, in records of its user."""
        about = {"app": session.app, "user": session.user, "link": self.id}
        return {**about, "epoch": self._own(session).epoch, "slot": session.slot}

    async def _ask_to_hear(
        self, session: Session, what: str, subscriptions: Sequence[Subscription], request: str | None
    ) -> None:
        named = [name for one in subscriptions for name in (one.group, one.channel) if name is not None]
        _check_ids(*named, *filter(None, [request]))
        for some in _in_calls(subscriptions):
            told = [msgspec.to_builtins(one) for one in some]
            known = [{name: value for name, value in one.items() if value is not None} for one in told]
            await self._say(session, what, subscriptions=known, request=request)

    async def _user_command(self, session: Session, what: str, **fields: Any) -> Done:
        request = uuid.uuid4().hex
        told = {name: value for name, value in fields.items() if value is not None}
        about = {"t": what, "app": session.app, "user": session.user, "request": request}
        record = {**about, "reply": self._reply(session), **told}
        asked = Ask(session.slot, "", "command", request)
        return await self._answer(asked, Done, lambda: self._send("sessions", f"{session.app}:{session.user}", record))

    async def _answer(self, ask: Ask, kind: type[_Answer], send: Callable[[], Awaitable[None]]) -> _Answer:
        """Send a command once, and wait for its answer.

        Raises:
            RefusedError: it is refused.
            UnansweredError: nobody answered.
        """
        async with self._turns:
            try:
                answer = self._asks.answer(ask)
                await send()
                await asyncio.wait([answer], timeout=COMMAND_MS / 1000)
                if answer.done():
                    match answer.result():
                        case Refused() as refused:
                            raise RefusedError(refused)
                        case found if isinstance(found, kind):
                            return found
            finally:
                self._asks.forget(ask)
        raise UnansweredError("nobody answered the command: it may have been applied or not")

    def _own(self, session: Session) -> Registration:
        if self.sessions.get(session.slot) is not session:
            raise NotRegisteredError("the session ended, or its registration did")
        return self._living()

    def _reply(self, session: Session) -> dict[str, Any]:
        """Where an answer goes: to the session, among its link's deliveries."""
        return {"t": "session", **self._address(self._own(session)), "slot": session.slot}

    async def _relate(self, session: Session, group: str, request: str | None, **what: Any) -> None:
        _check_ids(group, *what.get("users", ()), *what.get("members", ()), *filter(None, [request]))
        record = {**what, "app": session.app, "group": group, "reply": self._reply(session)}
        if request is not None:
            record["request"] = request
        await self._send("relations", f"{session.app}:{group}", record)

    async def _send(self, topic: str, key: str, record: dict[str, Any]) -> None:
        await self._produce(topic, key, json_of(record))


def _in_calls(things: Sequence[_Thing]) -> Iterator[list[_Thing]]:
    """As many at a time as one call takes."""
    for first in range(0, len(things), SUBSCRIPTIONS_PER_CALL):
        yield list(things[first : first + SUBSCRIPTIONS_PER_CALL])


def _ids_in(fields: dict[str, Any]) -> list[str]:
    """What a command's fields name."""
    one = [fields[name] for name in _IDS if fields.get(name) is not None]
    return one + [each for name in _ID_LISTS for each in fields.get(name, ())]


def _check_ids(*ids: str) -> None:
    for value in ids:
        if not _ID.match(value):
            raise BadIdError(f"{value!r} is no id: 1 to 64 of letters, digits and _ . - @")


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
