"""What Prometheus is told: counts and times, and nothing of what was uploaded."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TILES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """One application's figures; each has its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "pixelkin_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "pixelkin_request_seconds",
            "From request to answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.pictures = Counter(
            "pixelkin_pictures", "Files by what became of them.", ["verdict"], registry=self.registry
        )
        self.batches = Histogram(
            "pixelkin_batch_tiles", "Tiles a call of the runtime.", buckets=TILES, registry=self.registry
        )

    def watch(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A gauge that reads ``value`` whenever it is asked."""
        Gauge(name, about, registry=self.registry).set_function(value)

    def page(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)


class Measured:
    """Middleware that counts and times requests, by route and never by path."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
