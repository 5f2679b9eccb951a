"""`GET /v1/apps/{app}/groups/{group}/channels/{channel}/messages`: a page of a channel, for who may see it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from streams.web.guard import CLAIMS
from streams.web.query import channel_of, window_of
from streams.web.reader import MessageReader

PATH: Final = "/v1/apps/{app}/groups/{group}/channels/{channel}/messages"


class MessagesView:
    """Serves pages."""

    def __init__(self, reader: MessageReader) -> None:
        self._reader = reader

    async def serve(self, request: web.Request) -> web.Response:
        """GET PATH."""
        pulled = await self._reader.page(channel_of(request), window_of(request), request[CLAIMS])
        rest = f'],"head":{pulled.head},"first":{pulled.first},"more":{str(pulled.more).lower()}}}'
        body = b'{"messages":[' + b",".join(pulled.messages) + rest.encode()
        return web.Response(body=body, content_type="application/json")
