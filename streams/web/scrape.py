"""`/metrics`: everything in the registry, in the format that the asker prefers."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


class Scrape:
    """Answers with a registry's metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics: text for Prometheus."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})
