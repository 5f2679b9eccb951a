"""The WebSocket side: a page's connection is a session of the link; deliveries for its slot go to its socket.

It keeps nothing but connections, and who is online where somebody looks. Who a client says it is, is taken on trust: a
real gateway has a login before `hello`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import WSCloseCode, web
from yarl import URL

from examples.gateway.connection import BAD_HELLO, NOT_REGISTERED, VOID, Connection
from examples.gateway.frames import (
    COMMANDS,
    ID_CHARS,
    MAIN,
    OURS,
    CommandError,
    channel_in,
    frame_of,
    id_in,
    number_in,
    pull_in,
    users_in,
)
from examples.gateway.people import People, Watch
from examples.gateway.servers import Servers
from linkcast_gateway import (
    BODY_BYTES,
    Answer,
    Changed,
    GatewayError,
    Group,
    Handler,
    Head,
    Link,
    Message,
    Notice,
    NotRegisteredError,
    PullError,
    RefusedError,
    Registration,
    Session,
    Signal,
    Views,
)

log = logging.getLogger(__name__)

PAGE: Final = Path(__file__).parent / "page"

_HELLO_S: Final = 10
_PING_S: Final = 20
_PULSE_S: Final = 1.0
_FRAME_BYTES: Final = 2 * BODY_BYTES + 4_096
_POLICY: Final = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; frame-ancestors 'none'"
_json: Final = msgspec.json.Encoder().encode


class Gateway(Handler):
    """One gateway: one link, its connections, its page.

    Args:
        app: the app whose users connect here.
        link: the link's id.
        kafka: brokers to ask first.
        views: where pulls go.
        address: where browsers reach this gateway.
        peers: addresses of other gateways, shown to people.
    """

    def __init__(self, app: str, link: str, kafka: str, views: Views, address: str, peers: Sequence[str] = ()) -> None:
        self.link = Link(link, kafka, self, address=address)
        self._app = app
        self._views = views
        self._gateways = sorted([address, *peers])
        self._connections: dict[int, Connection] = {}
        self._servers = Servers(app, views)
        self._watch = Watch(app, views, self._watched, self._tell_people)
        self._written = self._resyncs = 0
        self._tasks: list[asyncio.Task[None]] = []

    def application(self) -> web.Application:
        """The HTTP application: page, socket, health. It starts the link and stops it."""
        app = web.Application(middlewares=[_policy])
        app.router.add_get("/", _index)
        app.router.add_get("/health", self._health)
        app.router.add_get("/socket", self._socket)
        app.router.add_static("/page", PAGE)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._stop)
        return app

    async def _start(self, _: web.Application) -> None:
        await self.link.start()
        self._tasks = [asyncio.create_task(self._watch.run()), asyncio.create_task(self._beat())]

    async def _stop(self, _: web.Application) -> None:
        self._close_all(WSCloseCode.GOING_AWAY, b"the gateway stops")
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self.link.stop()
        await self._views.close()

    # What the link tells.

    def on_registered(self, registration: Registration) -> None:
        """The next `hello` is served."""
        log.info("open: epoch %s", registration.epoch)

    def on_void(self) -> None:
        """Every session died with the registration: the pages come back by themselves."""
        self._close_all(VOID, b"the link's registration ended")

    def on_failed(self, error: GatewayError) -> None:
        """The link has given up: whoever runs this must act, and `/health` says so."""
        log.critical("this gateway takes nothing any more: %s", error)

    def on_live(self, group: Group, slots: Sequence[int], heads: Sequence[tuple[str, int]]) -> None:
        """Tell the pages that they hear the group now, and how far it is."""
        frame = _json({"t": "live", "group": group.name, "heads": dict(heads)})
        for connection in self._of(slots):
            connection.groups.add(group.name)
            connection.push(frame)
            if connection.watching == group.name:
                self._begin_watching(connection, group.name)

    def on_gone(self, group: Group, slots: Sequence[int]) -> None:
        """Tell the pages that they left the group."""
        frame = _json({"t": "gone", "group": group.name})
        for connection in self._of(slots):
            connection.groups.discard(group.name)
            connection.push(frame)

    def on_forgotten(self, source: int, bindings: Mapping[Group, Sequence[int]]) -> None:
        """Tell the pages that they may be missing something until `live` comes again."""
        del source
        self._resyncs += 1
        for group, slots in bindings.items():
            frame = _json({"t": "waiting", "group": group.name})
            for connection in self._of(slots):
                connection.groups.discard(group.name)
                connection.push(frame)

    def on_message(self, group: Group, message: Message, slots: Sequence[int]) -> None:
        """One frame, made once, to each page."""
        del group
        self._written += self._push(_json(page(message)), slots)

    def on_signal(self, group: Group, signal: Signal, slots: Sequence[int]) -> None:
        """One frame, made once, to each page."""
        where = {"t": "signal", "group": group.name, "channel": signal.channel}
        self._push(_json({**where, "sender": signal.sender, "kind": signal.kind, "body": signal.body}), slots)

    def on_head(self, group: Group, head: Head, slots: Sequence[int]) -> None:
        """Whoever lacks the newest message learns of it now."""
        self._push(_json({"t": "head", "group": group.name, "channel": head.channel, "seq": head.seq}), slots)

    def on_changed(self, group: Group, changed: Changed, slots: Sequence[int]) -> None:
        """Pages that show a server ask anew what it is."""
        told = {"version": changed.version, "since": changed.since, "what": changed.what, "channels": changed.channels}
        self._push(_json({"t": "changed", "group": group.name, **told}), slots)

    def on_notice(self, app: str, user: str, notice: Notice, slots: Sequence[int]) -> None:
        """A notice to a person, to each of their pages."""
        del app, user
        self._push(_json({"t": "notice", "notice": notice}), slots)

    def on_answer(self, slot: int, answer: Answer) -> None:
        """An answer to the page that asked."""
        self._push(_json(answer), (slot,))

    def _of(self, slots: Sequence[int]) -> list[Connection]:
        """The connections of these slots; those that are closed already have none."""
        found = self._connections
        return [found[slot] for slot in slots if slot in found]

    def _push(self, frame: bytes, slots: Sequence[int]) -> int:
        """Send a frame to each; tells to how many."""
        connections = self._of(slots)
        for connection in connections:
            connection.push(frame)
        return len(connections)

    def _close_all(self, code: int, why: bytes) -> None:
        for connection in self._connections.values():
            connection.close(code, why)
        self._connections = {}

    # What pages are told besides.

    async def _beat(self) -> None:
        """Every second, tell the pages how much there is to do here; nothing when nothing changed."""
        told: dict[int, bytes] = {}
        while True:
            frame = self._pulse()
            for slot, connection in self._connections.items():
                if told.get(slot) != frame:
                    connection.push(frame)
            told = dict.fromkeys(self._connections, frame)
            await asyncio.sleep(_PULSE_S)

    def _pulse(self) -> bytes:
        """What there was to do here so far."""
        state = self.link.state
        pulse = {
            "t": "pulse",
            "sessions": len(self._connections),
            "lots": state.lots if state else 0,
            "resyncs": self._resyncs,
            "written": self._written,
        }
        return _json(pulse)

    def _watched(self) -> set[str]:
        """The groups that somebody here looks at, and may."""
        return {one.watching for one in self._connections.values() if one.watching in one.groups and one.watching}

    def _tell_people(self, group: str, people: People | str) -> None:
        frame = _json({"t": "people", "group": group, "error": people} if isinstance(people, str) else people)
        for connection in self._connections.values():
            if connection.watching == group and group in connection.groups:
                connection.push(frame)

    def _begin_watching(self, connection: Connection, group: str) -> None:
        if (known := self._watch.begin(group)) is not None:
            connection.push(_json(known))

    # What pages ask.

    async def _health(self, _: web.Request) -> web.Response:
        registration = self.link.registration
        told = {
            "link": self.link.id,
            "registered": registration is not None,
            "sessions": len(self._connections),
            "epoch": registration.epoch if registration else None,
            "failure": str(self.link.failure) if self.link.failure else None,
        }
        return web.json_response(told, status=200 if registration else 503)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        origin = request.headers.get("Origin")
        if origin is not None and URL(origin).authority != request.host:
            raise web.HTTPForbidden(text="pages of other sites do not connect here")
        socket = web.WebSocketResponse(heartbeat=_PING_S, max_msg_size=_FRAME_BYTES)
        await socket.prepare(request)
        try:
            session = await self._hello(socket)
        except (CommandError, TimeoutError) as error:
            await socket.close(code=BAD_HELLO, message=str(error).encode() or b"no hello")
            return socket
        except NotRegisteredError as error:
            await socket.close(code=NOT_REGISTERED, message=str(error).encode())
            return socket
        transport = request.transport
        connection = Connection(socket, session, transport.abort if transport else _nothing)
        self._connections[session.slot] = connection
        try:
            await self._serve(socket, connection)
        finally:
            if self._connections.get(session.slot) is connection:
                del self._connections[session.slot]
            with contextlib.suppress(NotRegisteredError):
                await self.link.down(session)
            await connection.ended()
        return socket

    async def _hello(self, socket: web.WebSocketResponse) -> Session:
        """Who is there; gives them a slot."""
        frame = frame_of(await socket.receive(timeout=_HELLO_S))
        if frame.get("t") != "hello":
            raise CommandError("say hello first")
        return self.link.new_session(self._app, id_in(frame, "name"), id_in(frame, "device"))

    async def _serve(self, socket: web.WebSocketResponse, connection: Connection) -> None:
        """Announce the session, then take its frames in order."""
        registration = self.link.registration
        welcome = {
            "t": "hello",
            "link": self.link.id,
            "epoch": registration.epoch if registration else None,
            "slot": connection.session.slot,
            "name": connection.session.user,
            "gateways": self._gateways,
            "now": time.time_ns() // 1_000_000,
            "body_bytes": BODY_BYTES,
        }
        connection.push(_json(welcome))
        connection.push(self._pulse())
        with contextlib.suppress(NotRegisteredError):  # the socket is being closed as void
            await self.link.up(connection.session)
            async for message in socket:
                try:
                    await self._command(connection, frame_of(message))
                except NotRegisteredError:
                    raise
                except (CommandError, GatewayError) as error:
                    connection.push(_json({"t": "error", "text": str(error)}))

    async def _command(self, connection: Connection, frame: dict[str, Any]) -> None:
        if frame.get("request") is not None:
            id_in(frame, "request")
        match frame.get("t"):
            case "send":
                await self._send(connection.session, frame)
            case "pull":
                self._begin_pull(connection, pull_in(frame))
            case "watch":
                connection.watching = id_in(frame, "group")
                if connection.watching in connection.groups:
                    self._begin_watching(connection, connection.watching)
            case "typing":
                where = (id_in(frame, "group"), b"{}", channel_in(frame))
                await self.link.signal(connection.session, *where, kind="typing")
            case "server" | "channel" | "inbox" | "command":
                self._serve_server(connection, frame)
            case "direct":
                await self._direct(connection.session, frame)
            case "create" | "join" | "invite" | "leave":
                await self._relate(connection.session, frame)
            case _:
                raise CommandError("no such command")

    async def _send(self, session: Session, frame: dict[str, Any]) -> None:
        body = json.dumps(frame.get("body"), ensure_ascii=False, separators=(",", ":")).encode()
        what = (id_in(frame, "group"), id_in(frame, "client_id"), number_in(frame, "tried_at"), body)
        await self.link.send(session, *what, channel=channel_in(frame))

    async def _relate(self, session: Session, frame: dict[str, Any]) -> None:
        """Who is in a group."""
        group, request = id_in(frame, "group"), frame.get("request")
        match frame["t"]:
            case "create":
                members = dict.fromkeys([session.user, *users_in(frame)])
                await self.link.create_group(session, group, list(members), request=request)
            case "join":
                await self.link.add_members(session, group, [session.user], request=request)
            case "invite":
                await self.link.add_members(session, group, users_in(frame), request=request)
            case _:
                await self.link.remove_members(session, group, [session.user], request=request)

    async def _direct(self, session: Session, frame: dict[str, Any]) -> None:
        """A direct chat is a group of two, whose name follows from theirs: whoever begins it, it is the same."""
        pair = sorted([session.user, id_in(frame, "user")])
        group = f"dm.{len(pair[0])}.{pair[0]}.{pair[1]}"
        if len(group) > ID_CHARS:
            raise CommandError("These two names are too long for a direct chat: make a group instead.")
        await self.link.create_group(session, group, pair, kind="direct", request=frame.get("request"))

    def _serve_server(self, connection: Connection, frame: dict[str, Any]) -> None:
        """What is about servers and notices."""
        if frame["t"] == "command":
            self._begin_command(connection, frame)
        else:
            self._begin_asking(connection, frame)

    def _begin_command(self, connection: Connection, frame: dict[str, Any]) -> None:
        """A command of the contract, by this user: what it may is the pipeline's to say."""
        fields = frame.get("fields")
        if frame.get("what") not in COMMANDS or not isinstance(fields, dict) or OURS & fields.keys():
            raise CommandError("no such command")
        group, request = id_in(frame, "group"), id_in(frame, "request")
        if not connection.spawn(self._ask_for(connection, group, request, frame["what"], fields)):
            raise CommandError("one after the other, please")

    async def _ask_for(
        self, connection: Connection, group: str, request: str, what: str, fields: dict[str, Any]
    ) -> None:
        try:
            answer: Answer = await self.link.command(connection.session, group, what, request=request, **fields)
        except RefusedError as refusal:
            answer = refusal.answer
        except (GatewayError, TypeError) as error:
            connection.push(_json({"t": "error", "text": str(error)}))
            return
        connection.push(_json(answer))

    def _begin_asking(self, connection: Connection, frame: dict[str, Any]) -> None:
        """What a server is to this user, who sees a channel, or what the user was told."""
        user = connection.session.user
        match frame["t"]:
            case "inbox":
                told = {"t": "inbox"}
                asked = self._servers.notices(user, number_in(frame, "after"))
            case "server":
                told = {"t": "server", "group": id_in(frame, "group")}
                asked = self._servers.server(told["group"], user)
            case _:
                told = {"t": "channel", "group": id_in(frame, "group"), "channel": channel_in(frame)}
                asked = self._servers.channel(told["group"], told["channel"], user)
        if told["t"] != "inbox" and told["group"] not in connection.groups:
            asked.close()
            connection.push(_json({**told, "error": "not_live"}))
        elif not connection.spawn(self._tell(connection, told, asked)):
            asked.close()
            connection.push(_json({**told, "error": "busy"}))

    async def _tell(self, connection: Connection, told: dict[str, str], asked: Coroutine[Any, Any, Any]) -> None:
        try:
            connection.push(_json({**told, **msgspec.to_builtins(await asked)}))
        except PullError as error:
            connection.push(_json({**told, "error": error.code}))

    def _begin_pull(self, connection: Connection, pull: dict[str, Any]) -> None:
        """Answer a pull, beside whatever else the page asks: a view that is slow holds up nothing.

        Only of groups that the session hears, and of channels that its user sees: nobody reads what they may not.
        """
        if pull["group"] not in connection.groups:
            connection.push(_json({**pull, "error": "not_live"}))
        elif not connection.spawn(self._pull(connection, pull)):
            connection.push(_json({**pull, "error": "busy"}))

    async def _pull(self, connection: Connection, pull: dict[str, Any]) -> None:
        group, channel = pull["group"], pull["channel"]
        try:
            if channel != MAIN:
                await self._servers.admit(group, channel, connection.session.user)
            found = await self._views.page(self._app, group, channel, pull["after"], pull["before"], pull["limit"])
        except PullError as error:
            connection.push(_json({**pull, "error": error.code}))
        else:
            connection.push(
                _json({**pull, "messages": [page(message) for message in found.messages], "more": found.more})
            )


def page(message: Message) -> dict[str, Any]:
    """A message as pages get it, pushed or pulled."""
    return {
        "t": "message",
        "group": message.group,
        "channel": message.channel,
        "seq": message.seq,
        "prev": message.prev,
        "at": message.at,
        "sender": message.sender,
        "device": message.device,
        "client_id": message.client_id,
        "kind": message.kind,
        "body": message.body,
    }


def _nothing() -> None:
    """There is no line left to cut."""


async def _index(_: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE / "index.html")


@web.middleware
async def _policy(request: web.Request, handler: Any) -> web.StreamResponse:
    """Pages load nothing from elsewhere, and are not cached: they are small and may change with the gateway."""
    answer: web.StreamResponse = await handler(request)
    if not answer.prepared:
        answer.headers.update(
            {
                "Content-Security-Policy": _POLICY,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cache-Control": "no-cache",
            }
        )
    return answer
