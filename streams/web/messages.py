"""A page of a channel, for who may see it."""

from __future__ import annotations

from aiohttp import web

from streams.web.call import Call, channel_of, window_of
from streams.web.reader import MessageReader
from streams.web.views import VIEWS


class MessagesView:
    """Serves pages."""

    def __init__(self, reader: MessageReader) -> None:
        self._reader = reader

    async def serve(self, request: web.Request) -> web.Response:
        """The view `messages`: each message as it travelled, byte for byte."""
        view = VIEWS["messages"]
        call = Call(request, view.missing, view.params)
        pulled = await self._reader.page(channel_of(call), window_of(call), call.asker)
        rest = f'],"head":{pulled.head},"first":{pulled.first},"more":{str(pulled.more).lower()}}}'
        body = b'{"messages":[' + b",".join(pulled.messages) + rest.encode()
        return web.Response(body=body, content_type="application/json")
