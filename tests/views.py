"""The views of a worker that owns everything, over cores in memory: real routes, real access, real answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Self, TypeVar, cast

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streams.batches.errors import UnavailableError
from streams.web import openapi
from streams.web.changes import ChangesView
from streams.web.guard import Handler
from streams.web.health import HealthView, WorkerState
from streams.web.messages import MessagesView
from streams.web.owner import Here, OwnerClient
from streams.web.owners import Directory
from streams.web.reader import MessageReader
from streams.web.server import application, of_owners
from streams.web.tokens import Claims, Tokens
from streams.web.views import View
from tests.cores import Partition, bind, create, groups, links, send, users
from topics import catalog, relations
from topics.links import Beat, Register
from topics.memberships import Joined, MembershipLot
from topics.owners import Owner
from topics.sessions import Up

T = TypeVar("T")
Client = TestClient[web.Request, web.Application]

APP: Final = "app"
SECRET: Final = "s" * 40
TOKENS: Final = Tokens({"new": SECRET, "old": "o" * 40}, "linkcast")
#: What stands in the paths: a group of ann's and bob's, in which ann listens on the link `l`.
NAMES: Final = {"app": APP, "group": "g", "channel": "main", "user": "ann", "link": "l", "epoch": "1", "slot": "7"}
#: Views of a server: of ann, its owner, and bob.
OF_SERVERS: Final = frozenset(
    {
        *("member", "roles", "role_members", "channels", "categories", "channel_members", "access", "channel_list"),
        *("category_list", "channel_overrides", "category_overrides", "bans", "invites", "applications", "codes"),
        *("change_set", "changes"),
    }
)
_SERVER_NAMES: Final = {"group": "s", "category": "k", "role": "mods", "change_set": "lots", "member": "bob"}


def path_of(view: View, **names: str) -> str:
    """The path of a view, to things that are there unless named otherwise."""
    return view.path.format(**(NAMES | (_SERVER_NAMES if view.name in OF_SERVERS else {}) | names))


def group_of(view: View) -> str:
    """The group in that path."""
    return _SERVER_NAMES["group"] if view.name in OF_SERVERS else NAMES["group"]


class Nothing:
    """A store that holds nothing, and a history that goes no further."""

    async def read(self, *where: object) -> dict[int, bytes]:
        del where
        return {}

    async def events(self, *where: object) -> dict[int, bytes]:
        del where
        return {}

    async def version(self, *where: object) -> int:
        del where
        return 0

    def offset(self, partition: int) -> int | None:
        del partition
        return None


class Cores:
    """The lanes of a worker that owns everything of a cluster of one partition."""

    def __init__(self) -> None:
        self.groups, self.users, self.links = groups(), users(), links(partitions=1)
        self.closed = False
        self.asked: list[str] = []  #: which lanes
        self.groups.apply(create("ann", "bob"), create("bob", group="bobs"))
        self.groups.apply(
            create("ann", "bob", group="s", kind="server", owner="ann"),
            (catalog.RELATIONS, relations.CreateCategory(APP, "s", "k")),
            (catalog.RELATIONS, relations.CreateChannel(APP, "s", "main", category="k")),
            (catalog.RELATIONS, relations.CreateRole(APP, "s", "mods", priority=5)),
            (catalog.RELATIONS, relations.AddRoleMembers(APP, "s", "mods", ["bob"], change_set="lots")),
            bind("ann", 0, 9, group="s"),
        )
        self.groups.apply(bind("ann", 0, 7), bind("ann", 0, 8), send("ann", "c1", self.groups.now_ms))
        lot = MembershipLot([Joined(APP, "g", 1, ["ann", "bob"], [0, 1]), Joined(APP, "bobs", 1, ["bob"], [0])])
        self.users.apply((catalog.MEMBERSHIPS, lot), (catalog.SESSIONS, Up(APP, "ann", "phone", "l", 1, 3, 7)))
        self.links.apply((catalog.LINKS, Register("l", "r", "ws://l", "north")))
        self.links.apply((catalog.LINKS, Beat("l", 1, 2)))

    async def read(self, kind: str, partition: int, fn: Callable[[Any], T]) -> T:
        assert partition == 0
        self.asked.append(kind)
        if self.closed:
            raise UnavailableError("closed")
        return fn({"groups": self.groups, "users": self.users, "links": self.links}[kind].core)

    def of(self, kind: str) -> Partition:
        return cast("Partition", getattr(self, kind))


async def fine(request: web.Request) -> web.Response:
    """Stands for the process's metrics."""
    del request
    return web.Response(text="")


class Views:
    """A worker's view server, without a broker or stores."""

    def __init__(self, tokens: Tokens, cores: Cores | None = None) -> None:
        self.tokens = tokens
        self.cores = cores
        self.directory = Directory()
        self.url = ""
        self.client: Client

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        here = Here(1, self._read)
        owners = OwnerClient(1, self.directory, here, lambda: self.url, self.tokens, self._http)
        nothing = Nothing()
        reader = MessageReader(1, owners, nothing, nothing, nothing, nothing)
        health = HealthView(lambda: WorkerState("groups", joined=True, lanes=[], counts={"records": 3}), self.directory)
        handlers: dict[str, Handler] = {
            "metrics": fine,
            "health": health.health,
            "ready": health.ready,
            **of_owners(owners.ask),
            "messages": MessagesView(reader).serve,
            "changes": ChangesView(owners, nothing).serve,
            "ask": here.serve,
            "openapi": openapi.serve,
        }
        self.client = TestClient(TestServer(application(self.tokens, handlers)))
        await self.client.start_server()
        self.url = str(self.client.make_url("/")).rstrip("/")
        if self.cores is not None:
            self.owns(self.directory)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        await self._http.close()

    def owns(self, directory: Directory) -> None:
        """Tell a directory that this worker owns everything."""
        for kind in ("groups", "users", "links"):
            directory.owner(Owner(kind, 0, self.url))

    def bearer(self, role: Any = "user", sub: str = "ann", app: str = APP) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.mint(Claims(app, role, sub), 60)}"}

    async def get(self, path: str, query: str = "", **who: Any) -> tuple[int, Any]:
        async with self.client.get(f"{path}?{query}", headers=self.bearer(**who)) as response:
            return response.status, await response.json(content_type=None)

    async def _read(self, kind: str, partition: int, fn: Callable[[Any], T]) -> T:
        if self.cores is None:
            raise UnavailableError("owns nothing")
        return await self.cores.read(kind, partition, fn)
