"""The example gateway as `linkcast conformance` drives it: commands on stdin, events on stdout (docs/conformance.md).

It starts the gateway as it is, on a free port, and plays clients that do what the page does: connect again until they
are let in, show messages in order and once, pull what they lack, send again what nobody answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from socket import SHUT_RDWR
from typing import Any, Final

import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from examples.gateway.connection import ENDED, NOT_REGISTERED
from examples.gateway.server import Gateway
from linkcast_gateway import GatewayError, Message, Timeline, Views

log = logging.getLogger(__name__)

_RESEND_S: Final = 3.0
_AGAIN_S: Final = 0.2
_CLOSE_S: Final = 2.0
_PULL: Final = 200
_CLOSED: Final = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})


class Driver:
    """The gateway, and clients by their numbers."""

    def __init__(self) -> None:
        self._clients: dict[int, Client] = {}
        self._url = ""
        self._runner: web.AppRunner | None = None

    async def take(self, line: bytes) -> bool:
        """Do what a line says; False when it is time to end."""
        told = msgspec.json.decode(line)
        match told["do"]:
            case "start":
                await self._start(told)
            case "connect":
                before = self._clients.get(told.get("resumes", 0))
                client = self._clients[told["as"]] = Client(self._url, told, before)
                client.start()
            case "stop":
                return False
            case _:
                await self._clients[told["as"]].take(told)
        return True

    async def stop(self) -> None:
        """Shut down in order."""
        if self._runner is not None:
            await self._runner.cleanup()
        for client in self._clients.values():
            await client.ended()

    async def _start(self, told: dict[str, Any]) -> None:
        views = Views(told["views"], told["token"])
        gateway = _Gateway(told["app"], told["link"], told["kafka"], views, "http://127.0.0.1")
        self._runner = web.AppRunner(gateway.application(), access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._url = "http://{}:{}/socket".format(*self._runner.addresses[0][:2])


class _Gateway(Gateway):
    """The gateway; whoever runs it is here the kit."""

    def on_failed(self, error: GatewayError) -> None:
        super().on_failed(error)
        happened("failed", code=error.code)


class Client:
    """One client.

    Args:
        url: of the gateway's socket.
        told: who connects.
        before: the client that it was, if it goes on.
    """

    def __init__(self, url: str, told: dict[str, Any], before: Client | None = None) -> None:
        self._url = url
        self._number: int = told["as"]
        self._hello = {"t": "hello", "name": told["user"], "device": told["device"]}
        self._hello |= {"background": told.get("background", False), "was": before.place if before else None}
        self.place: dict[str, Any] | None = None  # what names its session
        self._groups: dict[str, Timeline] = before.shown if before else {}
        self._joined: dict[str, str] = {}
        self._pulling: set[str] = set()
        self._unanswered: dict[str, dict[str, Any]] = {}
        self._socket: ClientWebSocketResponse | None = None
        self._life: asyncio.Task[None] | None = None
        self._timers: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Connect; again and again until let in."""
        self._life = asyncio.create_task(self._live())
        self._life.add_done_callback(_tell_failure)

    @property
    def shown(self) -> dict[str, Timeline]:
        """How far it is in each group; whoever goes on begins there."""
        return {group: Timeline(timeline.last) for group, timeline in self._groups.items()}

    async def take(self, told: dict[str, Any]) -> None:
        """Do what a line says."""
        match told["do"]:
            case "send":
                self.send(told)
            case "disconnect":
                await self.leave()
            case "lose":
                await self.lose()
            case "ground":
                await self._say({"t": "ground", "background": told["background"]})
            case "watch":
                await self._say({"t": "follow", "users": told["users"]})
            case "subscribe" | "unsubscribe" as what:
                await self._say({"t": what, "subscriptions": told["subscriptions"]})

    async def lose(self) -> None:
        """The connection breaks without a word."""
        if self._socket is not None and (line := self._socket.get_extra_info("socket")) is not None:
            line.shutdown(SHUT_RDWR)
        await self.leave()

    async def leave(self) -> None:
        """End the connection."""
        for task in (self._life, *self._timers):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    async def ended(self) -> None:
        """The gateway has closed the connection, or does so at once."""
        if self._life is not None:
            await asyncio.wait([self._life], timeout=_CLOSE_S)
        await self.leave()

    def send(self, told: dict[str, Any]) -> None:
        """Send a message until it is answered."""
        frame = {name: told[name] for name in ("group", "client_id", "body")}
        frame |= {"t": "send", "tried_at": time.time_ns() // 1_000_000, "mentions": told.get("mentions", [])}
        self._unanswered[told["client_id"]] = frame
        self._spawn(self._send(frame))

    async def _send(self, frame: dict[str, Any]) -> None:
        while frame["client_id"] in self._unanswered:
            await self._say(frame)
            await asyncio.sleep(_RESEND_S)

    async def _live(self) -> None:
        async with ClientSession() as http:
            while (closed := await self._connection(http))[0] == NOT_REGISTERED:  # noqa: ASYNC110 - nobody tells when
                await asyncio.sleep(_AGAIN_S)
        code, why = closed
        self._tell("closed", **({"why": why} if code == ENDED else {}))

    async def _connection(self, http: ClientSession) -> tuple[int | None, str]:
        """One connection, until it is closed: the code and why."""
        async with http.ws_connect(self._url) as socket:
            self._socket = socket
            await self._say(self._hello)
            while (message := await socket.receive()).type not in _CLOSED:
                if message.type is WSMsgType.TEXT:
                    told = msgspec.json.decode(message.data)
                    for frame in told if isinstance(told, list) else [told]:
                        await self._take(frame)
            return socket.close_code, str(message.extra or "")

    async def _take(self, frame: dict[str, Any]) -> None:
        group = frame.get("group", "")
        match frame["t"]:
            case "hello":
                self.place = {name: frame[name] for name in ("link", "epoch", "slot")}
            case "live":
                self._groups.setdefault(group, Timeline()).heard(frame["heads"].get("main", 0))
                self._tell("live", group=group, joined=self._joined.get(group, "messages"))
                await self._pull(group)
            case "resumed" | "ground" | "subscribed":
                await self._go_on(frame)
            case "message":
                self._show(group, self._groups[group].push(_message(frame)))
                await self._pull(group)
            case "head":
                self._groups[group].heard(frame["seq"])
                await self._pull(group)
            case "pulled":
                self._pulling.discard(group)
                self._groups[group].heard(frame.get("head", 0))
                found = [_message(message) for message in frame.get("messages", [])]
                self._show(group, self._groups[group].pulled(found))
                if self._groups[group].behind:
                    self._spawn(self._pull_soon(group))
            case "signal":
                self._tell("signal", group=group, body=frame["body"])
            case _:
                self._hear(frame)

    async def _go_on(self, frame: dict[str, Any]) -> None:
        """It hears something again, or newly: what was before is pulled."""
        match frame["t"]:
            case "resumed":
                self._tell("resumed", known=frame["known"])
                groups = list(self._groups) if frame["known"] else []
            case "ground":
                groups = [] if frame["background"] else list(self._groups)
            case _:
                refused = [one["code"] for one in frame["refused"]]
                self._tell("subscribed", group=frame["group"], wanted=frame["wanted"], refused=refused)
                self._groups.setdefault(frame["group"], Timeline()).heard(frame["heads"].get("main", 0))
                groups = [frame["group"]] if "main" in frame["heads"] else []
        for group in groups:
            await self._pull(group, probe=True)

    def _hear(self, frame: dict[str, Any]) -> None:
        """An answer, or news."""
        match frame["t"]:
            case "gone":
                self._tell("gone", group=frame["group"])
            case "drive":
                self._joined[frame["group"]] = frame["joined"]
                self._tell("drive", group=frame["group"], joined=frame["joined"])
            case "unread" | "mention" | "presence":
                self._hear_of(frame)
            case "changed":
                self._tell("changed", group=frame["group"], version=frame["version"], what=frame["what"])
            case "notice":
                notice = frame["notice"]
                self._tell("noticed", group=notice["group"], number=notice["number"], kind=notice["kind"])
            case "accepted" if self._unanswered.pop(frame["client_id"], None):
                self._tell("accepted", client_id=frame["client_id"], seq=frame["seq"])
            case "refused" if self._unanswered.pop(frame.get("client_id", ""), None):
                self._tell("refused", client_id=frame["client_id"], code=frame["code"])

    def _hear_of(self, frame: dict[str, Any]) -> None:
        """New messages that are not shown; or who is online."""
        match frame["t"]:
            case "unread":
                self._tell("unread", **{name: frame[name] for name in ("group", "seq", "count", "level")})
            case "mention":
                self._tell("mentioned", group=frame["message"]["group"], seq=frame["message"]["seq"])
            case _:
                for one in frame["users"]:
                    self._tell("presence", user=one["user"], state=one["state"], status=one["status"])

    def _show(self, group: str, messages: list[Message]) -> None:
        for message in messages:
            self._tell("message", group=group, seq=message.seq, body=message.body)

    async def _pull(self, group: str, *, probe: bool = False) -> None:
        """Ask for what is missing, if anything is or might be, and nobody asks yet."""
        timeline = self._groups[group]
        if (probe or timeline.behind) and group not in self._pulling:
            self._pulling.add(group)
            await self._say({"t": "pull", "group": group, "after": timeline.last, "limit": _PULL})

    async def _pull_soon(self, group: str) -> None:
        await asyncio.sleep(_AGAIN_S)
        await self._pull(group)

    async def _say(self, frame: dict[str, Any]) -> None:
        if self._socket is not None:
            with contextlib.suppress(ConnectionError):
                await self._socket.send_str(msgspec.json.encode(frame).decode())

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._timers.add(task)
        task.add_done_callback(self._timers.discard)
        task.add_done_callback(_tell_failure)

    def _tell(self, event: str, **what: Any) -> None:
        happened(event, **{"as": self._number}, **what)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a client failed", exc_info=error)


def happened(event: str, **what: Any) -> None:
    """Say that something happened."""
    sys.stdout.buffer.write(msgspec.json.encode({"event": event, **what}) + b"\n")
    sys.stdout.buffer.flush()


def _message(frame: dict[str, Any]) -> Message:
    """A message of a frame; what clients do not look at is left out."""
    body = msgspec.Raw(msgspec.json.encode(frame["body"]))
    said = (frame["sender"], frame["device"], frame["client_id"], frame["at"])
    return Message("", frame["group"], "main", frame["seq"], frame["prev"], *said, body)


async def main() -> None:
    """Take lines until told to stop, or until there are no more."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    reader = asyncio.StreamReader(limit=1 << 22)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    driver = Driver()
    try:
        while (line := await reader.readline()) and await driver.take(line):
            pass
    finally:
        await driver.stop()


if __name__ == "__main__":
    asyncio.run(main())
