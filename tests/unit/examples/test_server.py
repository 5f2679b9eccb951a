"""The sockets of the example gateway, on a pipeline of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from socket import SHUT_RDWR
from typing import Any, cast

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer

from examples.gateway import connection as connections
from examples.gateway.connection import BAD_HELLO, NOT_REGISTERED, TAKEN, TOO_SLOW, VOID, Connection
from examples.gateway.server import Gateway
from linkcast_gateway import Changed, Group, Notice
from tests.browser.hub import Hub, HubLink, gateway

Client = TestClient[web.Request, web.Application]
HELLO = {"t": "hello", "name": "ann", "device": "d"}


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def ours(hub: Hub) -> Gateway:
    return gateway(hub, "L1")


@pytest.fixture
async def client(ours: Gateway) -> AsyncIterator[Client]:
    async with TestClient(TestServer(ours.application())) as started:
        yield started


async def connected(client: Client, hello: dict[str, Any] = HELLO) -> ClientWebSocketResponse:
    socket = await client.ws_connect("/socket")
    await socket.send_json(hello)
    return socket


async def told(socket: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next frame of this kind; others are passed over, but for those that came together with it."""
    waiting: list[dict[str, Any]] = getattr(socket, "waiting", [])
    while True:
        while waiting:
            if (frame := waiting.pop(0))["t"] == kind:
                socket.waiting = waiting  # type: ignore[attr-defined]
                return frame
        received = await socket.receive_json(timeout=5)
        waiting = received if isinstance(received, list) else [received]


async def closed(socket: ClientWebSocketResponse) -> int | None:
    while (await socket.receive(timeout=5)).type is not WSMsgType.CLOSE:
        pass
    return socket.close_code


async def test_hello_is_answered_with_link_epoch_and_slot(client: Client) -> None:
    frame = await told(await connected(client), "hello")
    assert (frame["link"], frame["epoch"], frame["slot"], frame["name"]) == ("L1", 41, 0, "ann")


@pytest.mark.parametrize(
    "hello", [{"t": "join"}, HELLO | {"name": "a b"}, HELLO | {"name": ""}, HELLO | {"device": None}, [], "x" * 30_000]
)
async def test_who_does_not_say_hello_rightly_is_not_let_in(client: Client, hello: Any) -> None:
    socket = await client.ws_connect("/socket")
    await socket.send_json(hello)
    assert await closed(socket) in {BAD_HELLO, 1009}


async def test_a_page_of_another_site_is_not_let_in(client: Client) -> None:
    with pytest.raises(WSServerHandshakeError, match="403"):
        await client.ws_connect("/socket", headers={"Origin": "http://elsewhere.example"})


async def test_without_a_registration_pages_are_told_to_come_again(ours: Gateway, client: Client) -> None:
    ours.link.registration = None
    assert await closed(await connected(client)) == NOT_REGISTERED
    assert (await client.get("/health")).status == 503


async def test_a_frame_that_is_no_command_is_answered_and_the_socket_stays(client: Client) -> None:
    socket = await connected(client)
    for frame in ("{", "[]", '{"t":"fly","group":"g"}', '{"t":"join","group":"a:b"}'):
        await socket.send_str(frame)
        assert (await told(socket, "error"))["text"]
    await socket.send_json({"t": "create", "group": "g", "request": "r"})
    assert (await told(socket, "applied"))["request"] == "r"


async def test_a_pull_of_a_group_that_is_not_live_here_is_refused(hub: Hub, client: Client) -> None:
    mallory, ann = await connected(client, HELLO | {"name": "mallory"}), await connected(client)
    await ann.send_json({"t": "create", "group": "g", "request": "r"})
    await told(ann, "live")
    await ann.send_json({"t": "send", "group": "g", "client_id": "c", "tried_at": 1, "body": "secret"})
    await told(ann, "accepted")
    pull = {"t": "pull", "group": "g", "after": 0, "limit": 10}
    await mallory.send_json(pull)
    assert (await told(mallory, "pulled"))["error"] == "not_live"
    await ann.send_json(pull)
    assert [message["body"] for message in (await told(ann, "pulled"))["messages"]] == ["secret"]
    await ann.send_json({"t": "leave", "group": "g", "request": "r"})
    await told(ann, "gone")
    await ann.send_json(pull)
    assert (await told(ann, "pulled"))["error"] == "not_live"
    assert hub.teams["g"].members == {}


async def test_a_pull_of_a_channel_that_the_user_does_not_see_is_refused(hub: Hub, client: Client) -> None:
    ann = await connected(client)
    await ann.send_json({"t": "create", "group": "g", "request": "r"})
    await told(ann, "live")
    hub.write("g", "bob", b'"for the crew"')
    pull = {"t": "pull", "group": "g", "channel": "ops", "after": 0, "limit": 10}
    await ann.send_json(pull)
    assert (await told(ann, "pulled"))["error"] == "not_visible"
    await ann.send_json({"t": "channel", "group": "g", "channel": "ops"})
    assert (await told(ann, "channel"))["error"] == "not_visible"
    hub.seen["ann"] = {"ops"}
    await ann.send_json(pull)
    assert [message["body"] for message in (await told(ann, "pulled"))["messages"]] == ["for the crew"]


async def test_a_command_is_by_the_user_of_the_socket_and_its_refusal_is_told(hub: Hub, client: Client) -> None:
    ann = await connected(client)
    command = {"t": "command", "group": "g", "what": "create_role", "request": "r", "fields": {"role": "crew"}}
    await ann.send_json(command)
    assert (await told(ann, "applied"))["request"] == "r"
    assert hub.asked == [("ann", "create_role", {"group": "g", "role": "crew"})]
    hub.refusing = "not_permitted"
    await ann.send_json(command)
    assert (await told(ann, "refused"))["code"] == "not_permitted"


@pytest.mark.parametrize(
    "wrong",
    [{"what": "ban_members"}, {"what": None}, {"fields": []}, {"fields": {"by": "bob"}}, {"fields": {"session": 1}}],
)
async def test_what_a_page_may_not_ask_for_is_no_command(hub: Hub, client: Client, wrong: dict[str, Any]) -> None:
    ann = await connected(client)
    command = {"t": "command", "group": "g", "what": "create_role", "request": "r", "fields": {"role": "crew"}}
    await ann.send_json(command | wrong)
    assert (await told(ann, "error"))["text"]
    assert hub.asked == []


async def test_hints_and_notices_reach_the_pages_that_they_are_for(ours: Gateway, client: Client) -> None:
    ann, bob = await connected(client), await connected(client, HELLO | {"name": "bob"})
    for socket in (ann, bob):
        await told(socket, "hello")
    ours.on_changed(Group("demo", "g"), Changed("demo", "g", 9, 7, ["roles"]), [0, 1])
    ours.on_notice("demo", "bob", Notice(4, "g", 9, 5, "roles_given", by="ann", subject="crew"), [1])
    for socket in (ann, bob):
        changed = await told(socket, "changed")
        assert (changed["group"], changed["since"], changed["version"], changed["what"]) == ("g", 7, 9, ["roles"])
    assert (await told(bob, "notice"))["notice"]["kind"] == "roles_given"


async def test_a_closed_socket_ends_its_session_and_its_slot_is_not_used_again(ours: Gateway, client: Client) -> None:
    socket = await connected(client)
    assert (await told(socket, "hello"))["slot"] == 0
    await socket.close()
    async with asyncio.timeout(5):
        while ours.link.sessions:  # noqa: ASYNC110 - the server notices in its own time
            await asyncio.sleep(0.01)
    assert (await told(await connected(client), "hello"))["slot"] == 1


async def test_a_line_that_breaks_is_lost_and_the_same_session_goes_on(hub: Hub, client: Client) -> None:
    socket = await connected(client)
    hello = await told(socket, "hello")
    assert hello["goes_on"] is False
    await socket.send_json({"t": "create", "group": "g", "request": "r"})
    await told(socket, "live")
    socket.get_extra_info("socket").shutdown(SHUT_RDWR)
    async with asyncio.timeout(5):
        while not hub.links[0].held:  # noqa: ASYNC110 - the server notices in its own time
            await asyncio.sleep(0.01)
    was = {name: hello[name] for name in ("link", "epoch", "slot")}
    again = await connected(client, HELLO | {"was": was})
    hello = await told(again, "hello")
    assert (hello["slot"], hello["goes_on"]) == (0, True)
    assert (await told(again, "resumed"))["known"] is True
    assert (await told(again, "live"))["heads"] == {"main": 0}
    assert not hub.links[0].held


async def test_a_connection_that_another_one_goes_on_for_is_closed_and_ends_nothing(hub: Hub, client: Client) -> None:
    first = await connected(client)
    hello = await told(first, "hello")
    second = await connected(client, HELLO | {"was": {name: hello[name] for name in ("link", "epoch", "slot")}})
    assert (await told(second, "hello"))["slot"] == 0
    assert await closed(first) == TAKEN
    await second.send_json({"t": "create", "group": "g", "request": "r"})
    await told(second, "live")
    assert list(hub.links[0].sessions) == [0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"t": "subscribe"},
        {"t": "subscribe", "subscriptions": [{"group": "g", "level": "all"}]},
        {"t": "subscribe", "subscriptions": [{"group": "a:b", "level": "server"}]},
        {"t": "status", "status": "x" * 129},
        {"t": "follow", "users": ["a b"]},
    ],
)
async def test_what_cannot_be_asked_to_be_heard_is_said_so(client: Client, wrong: dict[str, Any]) -> None:
    socket = await connected(client)
    await socket.send_json(wrong)
    assert (await told(socket, "error"))["text"]


async def test_a_page_is_told_what_it_hears_unasked_and_what_because_it_asked(hub: Hub, client: Client) -> None:
    ann = await connected(client)
    await ann.send_json({"t": "create", "group": "g", "request": "r"})
    await told(ann, "live")
    hub.drive("g", "none")
    assert (await told(ann, "drive"))["joined"] == "none"
    hub.push("g", hub.write("g", "bob", b'"not shown"'))
    assert (await told(ann, "unread"))["seq"] == 1
    await ann.send_json({"t": "subscribe", "subscriptions": [{"group": "g", "level": "messages", "channel": "main"}]})
    assert (await told(ann, "subscribed"))["heads"] == {"main": 1}
    hub.push("g", hub.write("g", "bob", b'"shown"'))
    assert (await told(ann, "message"))["seq"] == 2


async def test_a_void_closes_every_socket(hub: Hub, client: Client) -> None:
    sockets = [await connected(client) for _ in range(3)]
    for socket in sockets:
        await told(socket, "hello")
    hub.links[0].void()
    assert [await closed(socket) for socket in sockets] == [VOID] * 3


async def test_when_the_gateway_stops_sockets_are_told_to_go_elsewhere(ours: Gateway) -> None:
    started = TestServer(ours.application())
    await started.start_server()
    async with ClientSession() as http, http.ws_connect(started.make_url("/socket")) as socket:
        await socket.send_json(HELLO)
        await told(socket, "hello")
        stopping = asyncio.create_task(started.close())
        assert await closed(socket) == 1001
        await stopping


async def test_a_slow_pull_holds_up_nothing_and_too_many_are_refused(hub: Hub, client: Client) -> None:
    socket = await connected(client)
    await socket.send_json({"t": "create", "group": "g", "request": "r"})
    await told(socket, "live")
    hub.pulls.clear()
    for _ in range(9):
        await socket.send_json({"t": "pull", "group": "g", "after": 0, "limit": 10})
    assert (await told(socket, "pulled"))["error"] == "busy"
    await socket.send_json({"t": "send", "group": "g", "client_id": "c", "tried_at": 1, "body": "at once"})
    assert (await told(socket, "accepted"))["seq"] == 1
    hub.pulls.set()
    assert [message["body"] for message in (await told(socket, "pulled"))["messages"]] == ["at once"]


async def test_who_is_online_is_told_to_whoever_looks_and_is_a_member(client: Client) -> None:
    ann, mallory = await connected(client), await connected(client, HELLO | {"name": "mallory"})
    await ann.send_json({"t": "create", "group": "g", "users": ["bob"], "request": "r"})
    await told(ann, "live")
    for socket in (mallory, ann):
        await socket.send_json({"t": "watch", "group": "g"})
    people = await told(ann, "people")
    assert people["links"] == [{"link": "L1", "sessions": 1}]
    assert people["shown"] == [{"user": "ann", "links": [["L1", 1]]}, {"user": "bob", "links": []}]
    assert (people["members"], people["online"]) == (2, 1)
    bob = await connected(client, HELLO | {"name": "bob"})
    await told(bob, "live")
    assert (await told(ann, "people"))["online"] == 2
    await mallory.send_json({"t": "fly"})
    heard = [await mallory.receive_json(timeout=5) for _ in range(2)]
    assert not [frame for frame in heard if isinstance(frame, dict) and frame["t"] == "people"]


async def test_names_too_long_for_a_direct_chat_are_told_so(client: Client) -> None:
    socket = await connected(client)
    await socket.send_json({"t": "direct", "user": "x" * 64, "request": "r"})
    assert "too long" in (await told(socket, "error"))["text"]
    await socket.send_json({"t": "direct", "user": "bob", "request": "r"})
    assert (await told(socket, "applied"))["group"] == "dm.3.ann.bob"


async def test_frames_that_wait_are_sent_together_and_in_order(hub: Hub) -> None:
    slow = Stuck(reads_close=True)
    session = HubLink(hub, "L1", gateway(hub, "L1")).new_session("demo", "ann", "d")
    connection = Connection(cast("Any", slow), session, lambda: None)
    connection.push(b"0")
    while not slow.written:  # noqa: ASYNC110 - the writer takes its turn
        await asyncio.sleep(0)
    for number in range(1, 50):
        connection.push(str(number).encode())
    slow.goes_on.set()
    while len(slow.written) < 2:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    await connection.ended()
    assert slow.written == [b"0", b"[" + b",".join(str(number).encode() for number in range(1, 50)) + b"]"]


class Stuck:
    """A socket whose other end reads nothing, or nothing any more that is not its closing."""

    def __init__(self, *, reads_close: bool) -> None:
        self.written: list[bytes] = []
        self.code: int | None = None
        self.goes_on = asyncio.Event()
        self._reads_close = reads_close

    async def send_frame(self, frame: bytes, _: WSMsgType) -> None:
        self.written.append(frame)
        await self.goes_on.wait()

    async def close(self, code: int, message: bytes) -> None:
        assert message
        if not self._reads_close:
            await asyncio.Event().wait()
        self.code = code


@pytest.mark.parametrize("size", [10, 10_000])
@pytest.mark.parametrize("reads_close", [True, False])
async def test_a_socket_too_slow_for_its_queue_is_closed_and_its_frames_let_go(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, size: int, *, reads_close: bool
) -> None:
    monkeypatch.setattr(connections, "_CLOSE_S", 0.01)
    stuck = Stuck(reads_close=reads_close)
    cut: list[bool] = []
    session = HubLink(hub, "L1", gateway(hub, "L1")).new_session("demo", "ann", "d")
    connection = Connection(cast("Any", stuck), session, lambda: cut.append(True))
    for _ in range(5_000):
        connection.push(b"x" * size)
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await connection.ended()
    assert not connection._frames
    assert len(stuck.written) == 1
    assert (stuck.code, cut) == ((TOO_SLOW, []) if reads_close else (None, [True]))
