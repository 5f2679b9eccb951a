"""Two groups workers and a users worker: each view tells the same wherever it is asked; without an owner it says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from msgspec import Raw

from streams.app import Role, Worker
from streams.settings import Settings
from streams.web.tokens import Claims, Tokens
from streams.web.views import VIEWS, View
from topics import catalog, limits
from topics.catalog import Topic
from topics.codec import encode
from topics.keys import key_of
from topics.links import Beat, Leave, Register
from topics.messages import Send
from topics.relations import CreateGroup, RemoveMembers
from topics.sessions import Down, Up

APP: Final = "acme"
GROUPS: Final = [f"g{n}" for n in range(8)]
MEMBERS: Final = ["ann", "bob", *(f"u{n}" for n in range(300))]
#: Those that any group, user or cluster has an answer to.
EVERYWHERE: Final = (
    "group",
    "members",
    "link_map",
    "link_sessions",
    "messages",
    "sessions",
    "groups",
    "notices",
    "links",
)
ASKED: Final = [view for view in VIEWS.values() if view.roles is not None and view.public]


class Cluster:
    """Workers in this process, a link that is a producer, and a client of their views."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, http: aiohttp.ClientSession) -> None:
        self.settings = settings
        self.producer = producer
        self.http = http
        self.workers: dict[str, AsyncExitStack] = {}
        self.urls: dict[str, str] = {}
        self.epoch = 0
        self.beating: asyncio.Task[None] | None = None

    async def start(self, role: Role, name: str) -> None:
        self.workers[name] = AsyncExitStack()
        worker = await self.workers[name].enter_async_context(Worker(role, self.settings, name).running())
        self.urls[name] = worker.views.url

    async def stop(self, *names: str) -> None:
        for name in names:
            del self.urls[name]
        await asyncio.gather(*(self.workers.pop(name).aclose() for name in names))

    async def shared_out(self) -> bool:
        """Whether every worker is ready, and each of the groups workers has some of the partitions."""
        lanes = []
        for name, url in self.urls.items():
            async with self.http.get(f"{url}/ready") as ready, self.http.get(f"{url}/health") as health:
                told = await health.json()
                if ready.status != 200 or not told["lanes"]:
                    return False
                if name.startswith("groups"):
                    lanes += [lane["partition"] for lane in told["lanes"]]
        return sorted(lanes) == list(range(self.settings.partitions))

    async def write(self, topic: Topic, record: Any, key: bytes | None = None) -> int:
        sent = await self.producer.send_and_wait(topic.name, encode(record), key=key)
        return int(sent.offset)

    async def populate(self) -> None:
        """A link with sessions of ann and bob, groups of many members, a message in each."""
        self.epoch = await self.write(catalog.LINKS, Register("L1", "asker", "ws://l1", "north"), b"L1")
        self.beating = asyncio.create_task(self.beat())
        for group in GROUPS:
            await self.write(catalog.RELATIONS, CreateGroup(APP, group, members=MEMBERS), key_of(APP, group))
            send = Send(APP, group, "ann", "phone", "c1", time.time_ns() // 1_000_000, Raw(b'{"n": 1}'))
            await self.write(catalog.MESSAGES, send, key_of(APP, group))
        for slot, user in enumerate(("ann", "bob", "ann")):
            up = Up(APP, user, f"device-{slot}", "L1", self.epoch, 0, slot)
            await self.write(catalog.SESSIONS, up, key_of(APP, user))

    async def beat(self) -> None:
        """The link lives."""
        while True:
            await self.write(catalog.LINKS, Beat("L1", self.epoch, 3), b"L1")
            await asyncio.sleep(limits.LINK_BEAT_MS / 1_000)

    async def ask(self, name: str, path: str, role: Any = "user", sub: str = "ann") -> tuple[int, Any]:
        token = Tokens.of(self.settings).mint(Claims(APP, role, sub), 60)
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.get(f"{self.urls[name]}{path}", headers=headers) as response:
            told = await response.json(content_type=None)
            if response.status == 503:
                assert int(response.headers["Retry-After"]) > 0
            return response.status, told

    async def answered(self, name: str, path: str, role: Any = "user", sub: str = "ann") -> tuple[int, Any]:
        """As `ask`, again where it is told to ask again: an owner that stood still is not sure that it is one."""
        async with asyncio.timeout(60):
            while (found := await self.ask(name, path, role, sub))[0] == HTTPStatus.SERVICE_UNAVAILABLE:  # noqa: ASYNC110 - a view has no events
                await asyncio.sleep(0.1)
        return found

    async def told(self, name: str) -> dict[str, Any]:
        """What a worker answers: each view, for each group, whole and by pages."""
        found: dict[str, Any] = {}
        for view in ASKED:
            for group in GROUPS if "{group}" in view.path else GROUPS[:1]:
                path = path_of(view, group)
                for role, sub in (("admin", "root"), ("user", "ann"), ("user", "eve")):
                    found[f"{role} {sub} {path}"] = await self.answered(name, path, role, sub)
                if view.paged and found[f"admin root {path}"][0] == HTTPStatus.OK:
                    found[f"pages {path}"] = await self.pages(name, path)
        for links in [one for path, one in found.items() if "/v1/links" in path and "eve" not in path]:
            for link in links[1].get("links", []) if isinstance(links, tuple) else ():
                link["silent_ms"] = 0
        return found

    async def pages(self, name: str, path: str) -> list[Any]:
        """A list, by pages of 7."""
        found, query = [], "?limit=7"
        while True:
            status, page = await self.answered(name, path + query, "admin")
            assert status == 200
            (entries,) = (value for value in page.values() if isinstance(value, list))
            found += [{**entry, "silent_ms": 0} for entry in entries]
            if "next" not in page:
                return found
            query = f"?limit=7&cursor={page['next']}"


def path_of(view: View, group: str) -> str:
    names = {"channel": "main", "user": "ann", "member": "ann", "link": "L1", "role": "everyone"}
    return view.path.format(app=APP, group=group, category="none", change_set="none", epoch=0, slot=1, **names)


async def until(check: Callable[[], Awaitable[Any]], within_s: float = 90.0) -> Any:
    """What `check` gives once it gives something."""
    async with asyncio.timeout(within_s):
        while not (found := await check()):  # noqa: ASYNC110 - other services have no events
            await asyncio.sleep(0.1)
    return found


@pytest.fixture
async def cluster(fresh_topics: Settings) -> AsyncIterator[Cluster]:
    producer = AIOKafkaProducer(bootstrap_servers=fresh_topics.kafka_bootstrap)
    async with producer, aiohttp.ClientSession() as http:
        cluster = Cluster(fresh_topics, producer, http)
        try:
            yield cluster
        finally:
            if cluster.beating is not None:
                cluster.beating.cancel()
            await cluster.stop(*cluster.workers)


async def test_every_view_tells_the_same_wherever_it_is_asked(cluster: Cluster) -> None:
    await cluster.start("users", "users")
    await cluster.start("groups", "groups-1")
    await cluster.start("groups", "groups-2")
    await until(cluster.shared_out)
    await cluster.populate()

    async def listening() -> bool:
        for group in GROUPS:
            status, told = await cluster.ask("users", path_of(VIEWS["link_map"], group), "admin")
            if status != 200 or [link["sessions"] for link in told["links"]] != [3]:
                return False
        return True

    await until(listening)
    answers = {name: await cluster.told(name) for name in cluster.urls}
    first = answers.pop("users")
    for name, told in answers.items():
        assert told == first, name
    answered = {path_of(VIEWS[name], group) for name in EVERYWHERE for group in GROUPS}
    for path, told in first.items():
        if path.split()[-1] not in answered:
            continue  # of channels and roles, which these groups have none of: alike from everywhere is what counts
        wanted = 200
        if "eve" in path and "/groups/" in path:
            wanted = 404
        if "eve" in path and "/users/ann" in path:
            wanted = 404
        if path.startswith("user") and "/v1/links" in path:
            wanted = 403
        assert isinstance(told, list) or told[0] == wanted, path
    group = first["user ann " + path_of(VIEWS["group"], "g0")][1]
    assert (group["members"], group["links"], group["channels"][0]["head"]) == (302, 1, 1)
    assert [one["user"] for one in first["pages " + path_of(VIEWS["members"], "g0")]] == MEMBERS
    listeners = first["pages " + path_of(VIEWS["link_sessions"], "g0")]
    assert [(one["user"], sorted(one["slots"])) for one in listeners] == [("ann", [0, 2]), ("bob", [1])]
    assert [one["group"] for one in first["pages " + path_of(VIEWS["groups"], "g0")]] == GROUPS
    sessions = first["user ann " + path_of(VIEWS["sessions"], "g0")][1]["sessions"]
    assert [(one["device"], one["slot"]) for one in sessions] == [("device-0", 0), ("device-2", 2)]
    links = first["admin root /v1/links"][1]
    assert [(one["link"], one["epoch"], one["region"]) for one in links["links"]] == [("L1", cluster.epoch, "north")]

    await follows_changes(cluster)
    await says_that_an_owner_is_away(cluster)


async def follows_changes(cluster: Cluster) -> None:
    """A reader that knows a version is told what changed, by any worker."""
    path = path_of(VIEWS["link_map"], "g0")
    _, before = await cluster.ask("groups-1", path)
    await cluster.write(catalog.SESSIONS, Down(APP, "ann", "L1", cluster.epoch, 2), key_of(APP, "ann"))
    await cluster.write(catalog.RELATIONS, RemoveMembers(APP, "g0", ["bob"]), key_of(APP, "g0"))

    async def changed() -> Any:
        status, now = await cluster.ask("users", f"{path}?since={before['version']}")
        return now if status == 200 and [link["sessions"] for link in now["links"]] == [1] else None

    now = await until(changed)
    (change,) = now["changes"]
    assert (change["link"], change["epoch"], sorted(change["unbound"])) == ("L1", cluster.epoch, [[0, 2], [1, 1]])
    for name in cluster.urls:
        assert await cluster.ask(name, f"{path}?since={before['version']}") == (200, now)
        assert (await cluster.ask(name, f"{path}?since={now['version']}"))[1]["changes"] == []
        assert (await cluster.ask(name, path, sub="bob"))[0] == 404


async def says_that_an_owner_is_away(cluster: Cluster) -> None:
    """One groups worker takes over from the other; without any, views of groups are refused, the others answer."""
    path = path_of(VIEWS["link_map"], "g0")
    _, before = await cluster.ask("users", path)
    await cluster.stop("groups-1")
    await until(cluster.shared_out)

    async def same() -> bool:
        status, now = await cluster.ask("users", path)
        return status == 200 and now | {"at_ms": before["at_ms"]} == before

    await until(same)  # the version goes on where it was
    status, told = await cluster.ask("users", f"{path}?since={before['version']}")
    assert (status, told.get("changes")) == (200, [])
    await cluster.stop("groups-2")
    asked = await asyncio.gather(*(cluster.ask("users", path_of(view, "g0"), "admin") for view in ASKED))
    for view, (status, told) in zip(ASKED, asked, strict=True):
        if "{group}" in view.path:
            assert (status, told["code"]) == (503, "owner_unknown")
        else:  # no such session is there to be shown
            assert (status, told.get("code")) == ((404, "unknown_session") if view.name == "session" else (200, None))
    await cluster.write(catalog.LINKS, Leave("L1", cluster.epoch), b"L1")
    await cluster.start("groups", "groups-2")

    async def ended() -> bool:
        status, told = await cluster.ask("users", f"{path}?since={before['version']}")
        return status == 200 and told["version"] > before["version"] and told["links"] == []

    await until(ended)
