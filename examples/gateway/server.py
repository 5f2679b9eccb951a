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
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from yarl import URL

from examples.gateway.connection import BAD_HELLO, NOT_REGISTERED, TAKEN, Connection
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
    place_in,
    pull_in,
    subscriptions_in,
    text_in,
    users_in,
)
from examples.gateway.pages import Pages, json_of, page
from examples.gateway.people import People, Watch
from examples.gateway.servers import Servers
from linkcast_gateway import (
    BODY_BYTES,
    Answer,
    GatewayError,
    Link,
    NotRegisteredError,
    PullError,
    RefusedError,
    Resumed,
    Session,
    Views,
)

log = logging.getLogger(__name__)

PAGE: Final = Path(__file__).parent / "page"

_HELLO_S: Final = 10
_PING_S: Final = 20
_PULSE_S: Final = 1.0
_PLATFORM: Final = "web"
#: Close codes of a page that does not come back; a line that breaks has another one, or none at all.
_GOOD_BYE: Final = frozenset({WSCloseCode.OK, WSCloseCode.GOING_AWAY})
_CLOSED: Final = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})
_FRAME_BYTES: Final = 2 * BODY_BYTES + 4_096
_POLICY: Final = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; frame-ancestors 'none'"


class Gateway(Pages):
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
        super().__init__()
        self.link = Link(link, kafka, self, address=address)
        self._app = app
        self._views = views
        self._gateways = sorted([address, *peers])
        self._servers = Servers(app, views)
        self._watch = Watch(app, views, self._watched, self._tell_people)
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
        return json_of(pulse)

    def _watched(self) -> set[str]:
        """The groups that somebody here looks at, and may."""
        return {one.watching for one in self._connections.values() if one.watching in one.groups and one.watching}

    def _tell_people(self, group: str, people: People | str) -> None:
        frame = json_of({"t": "people", "group": group, "error": people} if isinstance(people, str) else people)
        for connection in self._connections.values():
            if connection.watching == group and group in connection.groups:
                connection.push(frame)

    def _watching(self, connection: Connection, group: str) -> None:
        """Tell who is there, as far as it is known; the rest follows."""
        if (known := self._watch.begin(group)) is not None:
            connection.push(json_of(known))

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
            hello = await self._hello(socket)
            session = self._session(hello)
        except (CommandError, TimeoutError) as error:
            await socket.close(code=BAD_HELLO, message=str(error).encode() or b"no hello")
            return socket
        except NotRegisteredError as error:
            await socket.close(code=NOT_REGISTERED, message=str(error).encode())
            return socket
        transport = request.transport
        connection = Connection(socket, session, transport.abort if transport else _nothing)
        if (before := self._connections.get(session.slot)) is not None:
            before.close(TAKEN, b"it goes on in a new connection")
        self._connections[session.slot] = connection
        connection.groups = {group.name for group in self.link.groups_of(session)}
        try:
            await self._serve(socket, connection, hello)
        finally:
            if self._connections.get(session.slot) is connection:
                del self._connections[session.slot]
                await self._ended(connection)
            await connection.ended()
        return socket

    async def _ended(self, connection: Connection) -> None:
        """A page that said good-bye is gone; another one may come back, and go on as what it was."""
        with contextlib.suppress(NotRegisteredError):
            if connection.said_goodbye:
                await self.link.down(connection.session)
            else:
                await self.link.lost(connection.session)

    async def _hello(self, socket: web.WebSocketResponse) -> dict[str, Any]:
        """Who is there."""
        frame = frame_of(await socket.receive(timeout=_HELLO_S))
        if frame.get("t") != "hello":
            raise CommandError("say hello first")
        return frame

    def _session(self, hello: dict[str, Any]) -> Session:
        """Its slot: the one that it had, if it comes back in time."""
        who = self._app, id_in(hello, "name"), id_in(hello, "device")
        was = place_in(hello)
        return self.link.new_session(*who) if was is None else self.link.old_session(*who, was)

    async def _serve(self, socket: web.WebSocketResponse, connection: Connection, hello: dict[str, Any]) -> None:
        """Announce the session, then take its frames in order."""
        with contextlib.suppress(NotRegisteredError):  # the socket is being closed as void
            connection.push(self._welcome(connection.session, hello))
            connection.push(self._pulse())
            await self._begin(connection.session, hello)
            while (message := await socket.receive()).type not in _CLOSED:
                try:
                    await self._command(connection, frame_of(message))
                except NotRegisteredError:
                    raise
                except (CommandError, GatewayError) as error:
                    connection.push(json_of({"t": "error", "text": str(error)}))
            connection.said_goodbye = message.type is WSMsgType.CLOSE and message.data in _GOOD_BYE

    def _welcome(self, session: Session, hello: dict[str, Any]) -> bytes:
        """Who the page is here, and whether it is so still."""
        place = self.link.place_of(session)
        welcome = {
            "t": "hello",
            "link": place.link,
            "epoch": place.epoch,
            "slot": place.slot,
            "name": session.user,
            "goes_on": place_in(hello) == place,
            "gateways": self._gateways,
            "now": time.time_ns() // 1_000_000,
            "body_bytes": BODY_BYTES,
        }
        return json_of(welcome)

    async def _begin(self, session: Session, hello: dict[str, Any]) -> None:
        ground = hello.get("background") is True
        if (was := place_in(hello)) is None:
            await self.link.up(session, _PLATFORM, background=ground)
        else:
            await self.link.resume(session, was, _PLATFORM, background=ground)

    def on_resumed(self, resumed: Resumed) -> None:
        """A page goes on. With its slot it kept what it hears: nobody else tells it how far that is by now."""
        if (connection := self._connections.get(resumed.slot)) is None:
            return
        connection.push(json_of({"t": "resumed", "known": resumed.known}))
        if resumed.known:
            connection.spawn(self._live_again(connection))

    async def _live_again(self, connection: Connection) -> None:
        for group, joined in self.link.groups_of(connection.session).items():
            connection.driven[group.name] = ""  # so that it is told, whatever it was before
            self.on_drive(group, joined, (connection.session.slot,))
            try:
                heads = await self._servers.heads(group.name)
            except PullError as error:
                log.info("how far %s is: %s", group.name, error)
                heads = []
            self.on_live(group, (connection.session.slot,), heads)

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
                    self._watching(connection, connection.watching)
            case "typing" | "ground" | "subscribe" | "unsubscribe" | "follow" | "unfollow" | "status" | "kick":
                await self._hear(connection, frame)
            case "server" | "channel" | "inbox" | "command":
                self._serve_server(connection, frame)
            case "direct":
                await self._direct(connection.session, frame)
            case "create" | "join" | "invite" | "leave":
                await self._relate(connection.session, frame)
            case _:
                raise CommandError("no such command")

    async def _hear(self, connection: Connection, frame: dict[str, Any]) -> None:
        """What a page wants to hear, and what it says of itself."""
        session = connection.session
        match frame["t"]:
            case "typing":
                where = (id_in(frame, "group"), b"{}", channel_in(frame))
                await self.link.signal(session, *where, kind="typing")
            case "ground":
                await self.link.ground(session, background=frame.get("background") is True)
            case "subscribe":
                await self.link.subscribe(session, subscriptions_in(frame))
            case "unsubscribe":
                await self.link.unsubscribe(session, subscriptions_in(frame))
            case "follow":
                await self.link.watch(session, users_in(frame))
            case "unfollow":
                await self.link.unwatch(session, users_in(frame))
            case "status":
                self._wait_for(connection, frame, self.link.set_status(session, text_in(frame, "status")))
            case _:
                self._wait_for(connection, frame, self.link.kick(session))

    def _wait_for(self, connection: Connection, frame: dict[str, Any], asked: Coroutine[Any, Any, Answer]) -> None:
        """Tell the page what is answered; it need not wait for it."""
        if not connection.spawn(self._tell_answer(connection, asked)):
            asked.close()
            raise CommandError(f"{frame['t']}: one after the other, please")

    async def _tell_answer(self, connection: Connection, asked: Coroutine[Any, Any, Answer]) -> None:
        try:
            answer: Answer = await asked
        except RefusedError as refusal:
            answer = refusal.answer
        except (GatewayError, TypeError) as error:
            connection.push(json_of({"t": "error", "text": str(error)}))
            return
        connection.push(json_of(answer))

    async def _send(self, session: Session, frame: dict[str, Any]) -> None:
        body = json.dumps(frame.get("body"), ensure_ascii=False, separators=(",", ":")).encode()
        what = (id_in(frame, "group"), id_in(frame, "client_id"), number_in(frame, "tried_at"), body)
        await self.link.send(session, *what, channel=channel_in(frame), mentions=users_in(frame, "mentions"))

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
        session = connection.session
        self._wait_for(connection, frame, self.link.command(session, group, frame["what"], request=request, **fields))

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
            connection.push(json_of({**told, "error": "not_live"}))
        elif not connection.spawn(self._tell(connection, told, asked)):
            asked.close()
            connection.push(json_of({**told, "error": "busy"}))

    async def _tell(self, connection: Connection, told: dict[str, str], asked: Coroutine[Any, Any, Any]) -> None:
        try:
            connection.push(json_of({**told, **msgspec.to_builtins(await asked)}))
        except PullError as error:
            connection.push(json_of({**told, "error": error.code}))

    def _begin_pull(self, connection: Connection, pull: dict[str, Any]) -> None:
        """Answer a pull, beside whatever else the page asks: a view that is slow holds up nothing.

        Only of groups that the session hears, and of channels that its user sees: nobody reads what they may not.
        """
        if pull["group"] not in connection.groups:
            connection.push(json_of({**pull, "error": "not_live"}))
        elif not connection.spawn(self._pull(connection, pull)):
            connection.push(json_of({**pull, "error": "busy"}))

    async def _pull(self, connection: Connection, pull: dict[str, Any]) -> None:
        group, channel = pull["group"], pull["channel"]
        try:
            if channel != MAIN:
                await self._servers.admit(group, channel, connection.session.user)
            found = await self._views.page(self._app, group, channel, pull["after"], pull["before"], pull["limit"])
        except PullError as error:
            connection.push(json_of({**pull, "error": error.code}))
        else:
            connection.push(
                json_of(
                    {
                        **pull,
                        "messages": [page(message) for message in found.messages],
                        "more": found.more,
                        "head": found.head,
                    }
                )
            )


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
