"""`/metrics`: everything in the registry, in the format that the asker prefers.

Figures are gathered between two steps of the loop, so that they belong together; writing them down takes longer than
that, and is done beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector


class Scrape:
    """Answers with a registry's metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics: text for Prometheus."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        gathered = _Gathered(list(self._registry.collect()))
        body = await asyncio.to_thread(encode, gathered)
        return web.Response(body=body, headers={"Content-Type": content_type})


class _Gathered(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Them."""
        return self._metrics
