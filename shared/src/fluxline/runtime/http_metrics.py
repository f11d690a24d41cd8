"""Requests that a process answers, by route: OpenTelemetry's `http.server.request.duration` as Prometheus names it."""

from collections.abc import MutableMapping
from time import perf_counter
from typing import Any, Final

from prometheus_client import CollectorRegistry, Histogram

from fluxline.runtime.asgi import AsgiApp, Receive, Scope, Send
from fluxline.runtime.exemplars import exemplar

REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The buckets of the semantic conventions."""
_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_PROBES: Final = ("/healthz", "/readyz", "/metrics")


class HttpMetrics:
    """One histogram; `around` measures an application."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "http_server_request_duration_seconds",
            "From a request until its answer has ended; of a live stream, until it has begun",
            ("http_route", "http_request_method", "http_response_status_code"),
            buckets=REQUEST_SECONDS,
            registry=registry,
        )

    def around(self, app: AsgiApp) -> AsgiApp:
        """The application, measured; its probes are not."""
        return _Measured(app, self._seconds)


class _Measured:
    def __init__(self, app: AsgiApp, seconds: Histogram) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and observe when the answer is complete or has failed."""
        if scope["type"] != "http" or scope["path"] in _PROBES:
            return await self.app(scope, receive, send)
        begun, status, link = perf_counter(), 500, None

        async def send_noted(message: MutableMapping[str, Any]) -> None:
            nonlocal status, link
            if message["type"] == "http.response.start":
                status, link = message["status"], exemplar()
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
            series = self.seconds.labels(route_of(scope), method, str(status))
            series.observe(perf_counter() - begun, link)


def route_of(scope: Scope) -> str:
    """The pattern that the request's path matched; empty where it matched none, so that labels stay few."""
    path = getattr(scope.get("route"), "path", "")
    return path if isinstance(path, str) else ""
