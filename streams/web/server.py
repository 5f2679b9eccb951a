"""A worker's view server, composed: routes, who may ask them, what they read."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Self

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry

from streams.settings import Settings
from streams.sinks.stores import Stores
from streams.web import openapi
from streams.web.asks import Ask
from streams.web.call import Call
from streams.web.changes import ChangesView
from streams.web.follower import Follower
from streams.web.guard import Handler, Policy, Rule, guard
from streams.web.health import HealthView, WorkerState
from streams.web.messages import MessagesView
from streams.web.owner import Here, OwnerClient, ReadLane
from streams.web.owners import Directory
from streams.web.reader import MessageReader
from streams.web.requests import Requests
from streams.web.scrape import Scrape
from streams.web.tail import HistoryTail
from streams.web.tokens import Claims, Tokens
from streams.web.views import VIEWS, View
from topics import limits

_PORTS_TRIED: Final = 100
_KEEPALIVE_S: Final = 30.0
_SHUTDOWN_S: Final = 3.0


def application(tokens: Tokens, handlers: Mapping[str, Handler], watch: Sequence[Middleware] = ()) -> web.Application:
    """Every view, served by the handler of its name, to those who may ask it."""
    policy = Policy()
    app = web.Application(middlewares=[*watch, *guard(policy, tokens)], client_max_size=limits.VIEW_REQUEST_BYTES)
    for view in VIEWS.values():
        policy.add(app, view.method, view.path, handlers[view.name], Rule(view.roles, view.missing))
    return app


def of_owners(ask: Callable[[Ask, Claims], Awaitable[bytes]]) -> dict[str, Handler]:
    """The handlers of the views that one owner's memory answers."""

    def handler(view: View, question: Callable[[Call], Ask]) -> Handler:
        async def serve(request: web.Request) -> web.StreamResponse:
            call = Call(request, view.missing, view.params)
            return web.Response(body=await ask(question(call), call.asker), content_type="application/json")

        return serve

    return {view.name: handler(view, view.ask) for view in VIEWS.values() if view.ask is not None}


class ViewServer:
    """Serves views for as long as it is entered. Enter it before the lanes open: their owner's record needs `url`.

    Args:
        settings: where to listen, and what signs tokens.
        kafka: how to connect, as aiokafka's keyword arguments.
        stores: the worker's stores.
        state: what the worker does now.
        metrics: what it tells Prometheus.
        requests: counts what is asked here.
        read: reads this worker's lanes.
    """

    def __init__(
        self,
        settings: Settings,
        kafka: Mapping[str, Any],
        stores: Stores,
        state: Callable[[], WorkerState],
        metrics: CollectorRegistry,
        requests: Requests,
        read: ReadLane,
    ) -> None:
        self.url = ""  #: where other workers find it, once entered
        self.directory = Directory()
        self._settings = settings
        self._kafka = kafka
        self._stores = stores
        self._state = state
        self._metrics = metrics
        self._requests = requests
        self._read = read
        self._exit = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Listens on the first free port from `view_port` on."""
        async with contextlib.AsyncExitStack() as stack:
            partitions = self._settings.partitions
            http = await stack.enter_async_context(aiohttp.ClientSession())
            tail = HistoryTail(self._kafka)
            stack.push_async_callback(tail.close)
            await stack.enter_async_context(Follower(self._kafka, partitions, self.directory))
            tokens = Tokens.of(self._settings)
            here = Here(partitions, self._read)
            owners = OwnerClient(partitions, self.directory, here, lambda: self.url, tokens, http)
            table, cache = self._stores.table, self._stores.cache
            reader = MessageReader(partitions, owners, cache, table, tail, self.directory)
            health = HealthView(self._state, self.directory)
            handlers: dict[str, Handler] = {
                **of_owners(owners.ask),
                "messages": MessagesView(reader).serve,
                "changes": ChangesView(owners, self._stores.state).serve,
                "ask": here.serve,
                "openapi": openapi.serve,
                "health": health.health,
                "ready": health.ready,
                "metrics": Scrape(self._metrics).metrics,
            }
            self._requests.pages = reader.asked
            app = application(tokens, handlers, [self._requests.watch])
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
