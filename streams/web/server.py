"""A worker's view server, composed: routes, who may ask them, what they read."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

from streams.settings import Settings
from streams.sinks.stores import Stores
from streams.web import messages, recent
from streams.web.follower import Follower
from streams.web.guard import Policy, guard
from streams.web.health import HealthView, WorkerState
from streams.web.messages import MessagesView
from streams.web.owners import Directory
from streams.web.reader import MessageReader
from streams.web.recent import OwnerClient, ReadGroups, RecentView
from streams.web.tail import HistoryTail
from streams.web.tokens import Role, Tokens
from topics import limits

_PORTS_TRIED: Final = 100
_KEEPALIVE_S: Final = 30.0
_SHUTDOWN_S: Final = 3.0
_CALLERS: Final[tuple[Role, ...]] = ("user", "gateway", "admin")
_WORKERS: Final[tuple[Role, ...]] = ("worker",)


def application(tokens: Tokens, health: HealthView, pages: MessagesView, memory: RecentView) -> web.Application:
    """Every route, with the roles that may ask it."""
    policy = Policy()
    app = web.Application(middlewares=guard(policy, tokens), client_max_size=limits.VIEW_REQUEST_BYTES)
    policy.add(app, "/health", health.health, None)
    policy.add(app, "/ready", health.ready, None)
    policy.add(app, messages.PATH, pages.serve, _CALLERS)
    policy.add(app, recent.PATH, memory.serve, _WORKERS)
    return app


class ViewServer:
    """Serves views for as long as it is entered. Enter it before the lanes open: their owner's record needs `url`.

    Args:
        settings: where to listen, and what signs tokens.
        kafka: how to connect, as aiokafka's keyword arguments.
        stores: the worker's stores.
        state: what the worker does now.
        read_groups: reads this worker's groups lanes; None in another role.
    """

    def __init__(
        self,
        settings: Settings,
        kafka: Mapping[str, Any],
        stores: Stores,
        state: Callable[[], WorkerState],
        read_groups: ReadGroups | None = None,
    ) -> None:
        self.url = ""  #: where other workers find it, once entered
        self.directory = Directory()
        self._settings = settings
        self._kafka = kafka
        self._stores = stores
        self._state = state
        self._read_groups = read_groups
        self._exit = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Listens on the first free port from `view_port` on."""
        async with contextlib.AsyncExitStack() as stack:
            partitions = self._settings.partitions
            http = await stack.enter_async_context(aiohttp.ClientSession())
            tail = HistoryTail(self._kafka)
            stack.push_async_callback(tail.close)
            await stack.enter_async_context(Follower(self._kafka, partitions, self.directory))
            tokens = Tokens(self._settings.signing_secret())
            memory = RecentView(partitions, self._read_groups)
            owners = OwnerClient(self.directory, memory, lambda: self.url, tokens, http)
            table, cache = self._stores.table, self._stores.cache
            reader = MessageReader(partitions, owners, cache, table, tail, self.directory)
            app = application(tokens, HealthView(self._state, self.directory), MessagesView(reader), memory)
            runner = web.AppRunner(
                app, access_log=None, keepalive_timeout=_KEEPALIVE_S, shutdown_timeout=_SHUTDOWN_S, handle_signals=False
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            port = await _listen(runner, self._settings.host, self._settings.view_port)
            self.url = f"http://{self._settings.host}:{port}"
            self._exit = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finishes what is being answered, for a moment, and ends."""
        await self._exit.aclose()


async def _listen(runner: web.AppRunner, host: str, first: int) -> int:
    """Listen on the first free port from `first` on."""
    for port in range(first, first + _PORTS_TRIED):
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return port
    raise OSError(errno.EADDRINUSE, f"no port free from {first} to {first + _PORTS_TRIED - 1}")
