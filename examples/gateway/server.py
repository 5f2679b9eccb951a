"""The WebSocket side: a page's connection is a session of the link; deliveries for its slot go to its socket.

It keeps nothing but connections. A socket too slow for its queue is closed, and pulls when it is back: memory is
bounded whatever the clients do. Who a client says it is, is taken on trust here: a real gateway has a login before
`hello`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from yarl import URL

from linkcast_gateway import (
    BODY_BYTES,
    Answer,
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

#: Close codes: the page connects again after each of them.
VOID: Final = 4001
TOO_SLOW: Final = 4002
NOT_REGISTERED: Final = 4003
#: The page made a mistake and must not simply try again.
BAD_HELLO: Final = 4400

_ID: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}\Z")
_QUEUE_FRAMES: Final = 1_000
_QUEUE_BYTES: Final = 1 << 20
_HELLO_S: Final = 10
_CLOSE_S: Final = 5.0
_PING_S: Final = 20
_json: Final = msgspec.json.Encoder().encode
_FRAME_BYTES: Final = BODY_BYTES + 4_096
_POLICY: Final = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; frame-ancestors 'none'"


class Connection:
    """One socket: frames wait in a bounded queue and are written by one task.

    Args:
        socket: where they go.
        session: whose it is.
        abort: cuts the line to a client that does not even read that it is closed.
    """

    def __init__(self, socket: web.WebSocketResponse, session: Session, abort: Callable[[], None]) -> None:
        self.session = session
        self.groups: set[str] = set()  # those the session is live in
        self._socket = socket
        self._abort = abort
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closing: tuple[int, bytes] | None = None
        self._writer = asyncio.create_task(self._write())

    def push(self, frame: bytes) -> None:
        """Send a frame, or close the socket if too much waits already."""
        if self._closing is not None:
            return
        if len(self._frames) >= _QUEUE_FRAMES or self._bytes + len(frame) > _QUEUE_BYTES:
            self.close(TOO_SLOW, b"too slow")
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        self._wake.set()

    def close(self, code: int, why: bytes) -> None:
        """Close the socket; what waits is dropped."""
        if self._closing is None:
            self._closing = (code, why)
            self._frames.clear()
            self._writer.cancel()  # it may be waiting for the client to read

    async def ended(self) -> None:
        """The client is gone, or is being closed: wait until the writer is done."""
        if self._closing is None:
            self._writer.cancel()
        await asyncio.wait([self._writer])

    async def _write(self) -> None:
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await self._write_frames()
        if self._closing is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._socket.close(code=self._closing[0], message=self._closing[1])
        except (TimeoutError, ConnectionError):
            self._abort()

    async def _write_frames(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames:
                frame = self._frames.popleft()
                self._bytes -= len(frame)
                await self._socket.send_frame(frame, WSMsgType.TEXT)


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

    async def _stop(self, _: web.Application) -> None:
        self._close_all(WSCloseCode.GOING_AWAY, b"the gateway stops")
        await self.link.stop()
        await self._views.close()

    # What the link tells.

    def on_registered(self, registration: Registration) -> None:
        """The next `hello` is served."""
        log.info("open: epoch %s", registration.epoch)

    def on_void(self) -> None:
        """Every session died with the registration: the pages come back by themselves."""
        self._close_all(VOID, b"the link's registration ended")

    def on_live(self, group: Group, slots: Sequence[int], heads: Sequence[tuple[str, int]]) -> None:
        """Tell the pages that they hear the group now, and how far it is."""
        frame = _json({"t": "live", "group": group.name, "heads": dict(heads)})
        for connection in self._of(slots):
            connection.groups.add(group.name)
            connection.push(frame)

    def on_gone(self, group: Group, slots: Sequence[int]) -> None:
        """Tell the pages that they left the group."""
        frame = _json({"t": "gone", "group": group.name})
        for connection in self._of(slots):
            connection.groups.discard(group.name)
            connection.push(frame)

    def on_forgotten(self, source: int, bindings: Mapping[Group, Sequence[int]]) -> None:
        """Tell the pages that they may be missing something until `live` comes again."""
        del source
        for group, slots in bindings.items():
            frame = _json({"t": "waiting", "group": group.name})
            for connection in self._of(slots):
                connection.groups.discard(group.name)
                connection.push(frame)

    def on_message(self, group: Group, message: Message, slots: Sequence[int]) -> None:
        """One frame, made once, to each page."""
        del group
        self._push(_json(page(message)), slots)

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

    def _push(self, frame: bytes, slots: Sequence[int]) -> None:
        for connection in self._of(slots):
            connection.push(frame)

    def _close_all(self, code: int, why: bytes) -> None:
        for connection in self._connections.values():
            connection.close(code, why)
        self._connections = {}

    # What pages ask.

    async def _health(self, _: web.Request) -> web.Response:
        registration = self.link.registration
        told = {
            "link": self.link.id,
            "registered": registration is not None,
            "sessions": len(self._connections),
            "epoch": registration.epoch if registration else None,
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
        with contextlib.suppress(NotRegisteredError):  # the socket is being closed as void
            await self.link.up(connection.session)
            async for message in socket:
                try:
                    await self._command(connection, _frame(message))
                except CommandError as error:
                    connection.push(_json({"t": "error", "text": str(error)}))

    async def _command(self, connection: Connection, frame: dict[str, Any]) -> None:
        session, group, request = connection.session, _id(frame, "group"), frame.get("request")
        if request is not None:
            _id(frame, "request")
        match frame.get("t"):
            case "create":
                await self.link.create_group(session, group, [session.user], request=request)
            case "join":
                await self.link.add_members(session, group, [session.user], request=request)
            case "leave":
                await self.link.remove_members(session, group, [session.user], request=request)
            case "send":
                body = json.dumps(frame.get("body"), ensure_ascii=False, separators=(",", ":")).encode()
                await self.link.send(session, group, _id(frame, "client_id"), _number(frame, "tried_at"), body)
            case "pull":
                await self._pull(connection, group, frame)
            case _:
                raise CommandError("no such command")

    async def _pull(self, connection: Connection, group: str, frame: dict[str, Any]) -> None:
        """Answer a pull; only of groups that the session hears, so that nobody reads what they may not see."""
        pull: dict[str, Any] = {"t": "pulled", "group": group, "after": None, "before": None}
        for bound in ("after", "before"):
            if frame.get(bound) is not None:
                pull[bound] = _number(frame, bound)
        if group not in connection.groups:
            connection.push(_json({**pull, "error": "not_live"}))
            return
        limit = _number(frame, "limit")
        try:
            found = await self._views.messages(self._app, group, "main", pull["after"], pull["before"], limit)
        except PullError as error:
            connection.push(_json({**pull, "error": str(error)}))
        else:
            self._push_pulled(connection, pull, found)

    def _push_pulled(self, connection: Connection, pull: dict[str, Any], found: Sequence[Message]) -> None:
        connection.push(_json({**pull, "messages": [page(message) for message in found]}))


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
    value = frame.get(name)
    if not isinstance(value, str) or not _ID.match(value):
        raise CommandError(f"{name}: 1 to 64 of letters, digits, and _ . @ -")
    return value


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
