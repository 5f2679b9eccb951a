"""The WebSocket side: a page's connection is a session of the link; deliveries for its slot go to its socket.

It keeps nothing but connections, and who is online where somebody looks. Who a client says it is, is taken on trust: a
real gateway has a login before `hello`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from yarl import URL

from examples.gateway.connection import BAD_HELLO, NOT_REGISTERED, VOID, Connection
from examples.gateway.people import People, Watch
from linkcast_gateway import (
    BODY_BYTES,
    Answer,
    GatewayError,
    Group,
    Handler,
    Head,
    Link,
    Message,
    NotRegisteredError,
    PullError,
    Registration,
    Session,
    Signal,
    Views,
)

log = logging.getLogger(__name__)

PAGE: Final = Path(__file__).parent / "page"

_ID_CHARS: Final = 64
_ID: Final = re.compile(rf"[A-Za-z0-9_.@-]{{1,{_ID_CHARS}}}\Z")
_INVITED: Final = 500  # names in one frame
_HELLO_S: Final = 10
_PING_S: Final = 20
_PULSE_S: Final = 1.0
_FRAME_BYTES: Final = 2 * BODY_BYTES + 4_096
_POLICY: Final = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; frame-ancestors 'none'"
_json: Final = msgspec.json.Encoder().encode


class CommandError(Exception):
    """A frame of a page that cannot be served; its text is shown."""


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
        told = {"t": "signal", "group": group.name, "sender": signal.sender, "kind": signal.kind, "body": signal.body}
        self._push(_json(told), slots)

    def on_head(self, group: Group, head: Head, slots: Sequence[int]) -> None:
        """Whoever lacks the newest message learns of it now."""
        self._push(_json({"t": "head", "group": group.name, "seq": head.seq}), slots)

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
        frame = _frame(await socket.receive(timeout=_HELLO_S))
        if frame.get("t") != "hello":
            raise CommandError("say hello first")
        return self.link.new_session(self._app, _id(frame, "name"), _id(frame, "device"))

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
                    await self._command(connection, _frame(message))
                except NotRegisteredError:
                    raise
                except (CommandError, GatewayError) as error:
                    connection.push(_json({"t": "error", "text": str(error)}))

    async def _command(self, connection: Connection, frame: dict[str, Any]) -> None:
        if frame.get("request") is not None:
            _id(frame, "request")
        match frame.get("t"):
            case "send":
                await self._send(connection.session, frame)
            case "pull":
                self._begin_pull(connection, _pull(frame))
            case "watch":
                connection.watching = _id(frame, "group")
                if connection.watching in connection.groups:
                    self._begin_watching(connection, connection.watching)
            case "typing":
                await self.link.signal(connection.session, _id(frame, "group"), b"{}", kind="typing")
            case "direct":
                await self._direct(connection.session, frame)
            case "create" | "join" | "invite" | "leave":
                await self._relate(connection.session, frame)
            case _:
                raise CommandError("no such command")

    async def _send(self, session: Session, frame: dict[str, Any]) -> None:
        body = json.dumps(frame.get("body"), ensure_ascii=False, separators=(",", ":")).encode()
        await self.link.send(session, _id(frame, "group"), _id(frame, "client_id"), _number(frame, "tried_at"), body)

    async def _relate(self, session: Session, frame: dict[str, Any]) -> None:
        """Who is in a group."""
        group, request = _id(frame, "group"), frame.get("request")
        match frame["t"]:
            case "create":
                members = dict.fromkeys([session.user, *_users(frame)])
                await self.link.create_group(session, group, list(members), request=request)
            case "join":
                await self.link.add_members(session, group, [session.user], request=request)
            case "invite":
                await self.link.add_members(session, group, _users(frame), request=request)
            case _:
                await self.link.remove_members(session, group, [session.user], request=request)

    async def _direct(self, session: Session, frame: dict[str, Any]) -> None:
        """A direct chat is a group of two, whose name follows from theirs: whoever begins it, it is the same."""
        pair = sorted([session.user, _id(frame, "user")])
        group = f"dm.{len(pair[0])}.{pair[0]}.{pair[1]}"
        if len(group) > _ID_CHARS:
            raise CommandError("These two names are too long for a direct chat: make a group instead.")
        await self.link.create_group(session, group, pair, kind="direct", request=frame.get("request"))

    def _begin_pull(self, connection: Connection, pull: dict[str, Any]) -> None:
        """Answer a pull, beside whatever else the page asks: a view that is slow holds up nothing.

        Only of groups that the session hears, so that nobody reads what they may not see.
        """
        if pull["group"] not in connection.groups:
            connection.push(_json({**pull, "error": "not_live"}))
        elif not connection.spawn(self._pull(connection, pull)):
            connection.push(_json({**pull, "error": "busy"}))

    async def _pull(self, connection: Connection, pull: dict[str, Any]) -> None:
        try:
            found = await self._views.page(
                self._app, pull["group"], "main", pull["after"], pull["before"], pull["limit"]
            )
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


def _frame(message: Any) -> dict[str, Any]:
    """A page's frame as an object."""
    if message.type is not WSMsgType.TEXT:
        raise CommandError("frames are text")
    try:
        frame = msgspec.json.decode(message.data)
    except (msgspec.DecodeError, RecursionError):
        raise CommandError("frames are JSON") from None
    if not isinstance(frame, dict):
        raise CommandError("frames are objects")
    return frame


def _id(frame: dict[str, Any], name: str) -> str:
    return _checked(frame.get(name), name)


def _users(frame: dict[str, Any]) -> list[str]:
    names = frame.get("users", [])
    if not isinstance(names, list) or len(names) > _INVITED:
        raise CommandError(f"users: a list of at most {_INVITED} names")
    return [_checked(name, "users") for name in names]


def _checked(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _ID.match(value):
        raise CommandError(f"{name}: 1 to {_ID_CHARS} of letters, digits, and _ . @ -")
    return value


def _pull(frame: dict[str, Any]) -> dict[str, Any]:
    """A pull as it is answered; `after` or `before` may be absent."""
    bounds = {name: None if frame.get(name) is None else _number(frame, name) for name in ("after", "before")}
    return {"t": "pulled", "group": _id(frame, "group"), **bounds, "limit": _number(frame, "limit")}


def _number(frame: dict[str, Any], name: str) -> int:
    value = frame.get(name)
    if not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise CommandError(f"{name}: a whole number is missing")
    return value


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
