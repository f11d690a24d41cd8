"""Health over HTTP: `/healthz` (the process lives), `/readyz` (it can do its work), `/metrics` (Prometheus)."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from fluxline.runtime.asgi import AsgiApp as AsgiApp
from fluxline.runtime.asgi import Receive, Scope, Send

Check = Callable[[], Awaitable[None]]
"""Returns when well, raises when not."""
Answer = tuple[int, bytes, str]
"""Status, body, content type."""

CHECK_TIMEOUT_S = 2.0


class Health:
    """The checks of one service, and the three routes that tell of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.checks: dict[str, Check] = {}

    async def readiness(self) -> dict[str, str]:
        """Each check's name with "ok" or what is wrong; checks run at once, each for two seconds at most."""
        results = await asyncio.gather(*(self._run(check) for check in self.checks.values()))
        return dict(zip(self.checks, results, strict=True))

    async def _run(self, check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await check()
        except Exception as error:
            return f"{type(error).__name__}: {error}".removesuffix(": ")[:200]
        return "ok"

    def routes(self) -> dict[str, AsgiApp]:
        """Path → ASGI application, for whatever serves HTTP (Starlette: `Route(path, application)`)."""
        return {
            "/healthz": HealthRoute(self._healthz),
            "/readyz": HealthRoute(self._readyz),
            "/metrics": MetricsRoute(self.registry),
        }

    async def _healthz(self) -> Answer:
        return 200, b'{"status":"ok"}', "application/json"

    async def _readyz(self) -> Answer:
        checks = await self.readiness()
        ready = all(result == "ok" for result in checks.values())
        body = json.dumps({"status": "ok" if ready else "unavailable", "checks": checks}).encode()
        return (200 if ready else 503), body, "application/json"


class HealthRoute:
    """One path as an ASGI application."""

    def __init__(self, answer: Callable[[], Awaitable[Answer]]) -> None:
        self.answer = answer

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer, whatever was asked."""
        await respond(send, *await self.answer())


class MetricsRoute:
    """The registry in the format that is asked for: OpenMetrics has exemplars, Prometheus's own has none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer by the request's Accept."""
        asked = b",".join(value for name, value in scope["headers"] if name == b"accept")
        encode, content_type = choose_encoder(asked.decode("latin-1"))
        await respond(send, 200, encode(self.registry), content_type)


async def respond(send: Send, status: int, body: bytes, content_type: str) -> None:
    """One complete HTTP answer."""
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
