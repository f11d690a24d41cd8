"""The HTTP application around the routes: what every request passes on its way in, and every answer on its way out.

From the outside in: headers, CORS, answers to crashes, then the middleware in the reverse of the order in `make_app`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from opentelemetry.sdk.trace import TracerProvider
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from fluxline.runtime.telemetry import http_telemetry
from fluxline_gateway import error_handlers
from fluxline_gateway.answer_headers import DOCS_PATH, AnswerHeaders, docs_policy
from fluxline_gateway.deps import Gateway
from fluxline_gateway.etags import ETags
from fluxline_gateway.identity.audit import AuditTrail
from fluxline_gateway.live.stream_answer import call_then_stream
from fluxline_gateway.live.stream_tickets import carries_ticket
from fluxline_gateway.log_context import LogContext
from fluxline_gateway.openapi import document as openapi

MAX_BODY_BYTES = 1024 * 1024
"""Of every request but an upload of images or of a file by its link, which limit themselves while they stream."""
BODY_TIMEOUT_S = 30.0
"""For all of such a body: nobody needs longer for a megabyte, and whoever does holds a connection."""
UPLOAD_PATH = "/v1/images"
FILES_PATH = "/storage/"
EXPOSED_HEADERS = (
    *("ETag", "Idempotent-Replayed", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"),
    *("WWW-Authenticate", "traceparent"),
)
"""What a web frontend of another origin may read of an answer, apart from what every browser shows."""
PREFLIGHT_S = 3600
_UNTRACED = ("/healthz", "/readyz", "/metrics", "/storage/")
"""Probes, which say nothing, and signed links, whose query must not be stored anywhere; nor must a ticket's."""


def make_app(
    gateway: Gateway,
    routers: Sequence[APIRouter],
    *,
    probes: Mapping[str, ASGIApp],
    tracer_provider: TracerProvider,
    measured: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    lifespan: Lifespan[Any] | None = None,
) -> FastAPI:
    """The ASGI application that serves `routers`, and `probes` by their paths; `measured` goes around all of it."""
    app = _Application(
        title=openapi.TITLE,
        version=openapi.VERSION,
        lifespan=lifespan,
        docs_url=DOCS_PATH,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        telemetry=http_telemetry(
            tracer_provider, lambda scope: scope["path"].startswith(_UNTRACED) or carries_ticket(scope)
        ),
    )
    app.state.gateway, app.state.measured = gateway, measured
    for router in routers:
        app.include_router(router)
    app.router.routes += [Route(path, _Probe(probe), methods=["GET"]) for path, probe in probes.items()]
    error_handlers.install(app)
    app.add_middleware(ETags)
    app.add_middleware(BodyLimit)
    app.add_middleware(AuditTrail, audit=gateway.audit)
    openapi.install(app)
    return app


class _Application(FastAPI):
    """FastAPI, with headers on every answer: those to crashes are given outside of all middleware.

    Live streams go on outside of everything, FastAPI's telemetry included: see `stream_answer`.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and go on where the answer is a stream."""
        if scope["type"] != "http":
            return await super().__call__(scope, receive, send)
        return await call_then_stream(super().__call__, scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Wrap all that FastAPI makes."""
        settings = self.state.gateway.settings
        stack: ASGIApp = LogContext(super().build_middleware_stack())
        if settings.cors_origins:
            stack = CORSMiddleware(
                stack,
                allow_origins=settings.cors_origins,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=EXPOSED_HEADERS,
                max_age=PREFLIGHT_S,
            )
        policy = docs_policy(str(self.openapi_url), f"{self.title} - Swagger UI")
        stack = AnswerHeaders(stack, tls=settings.public_url.scheme == "https", docs_policy=policy)
        measured: ASGIApp = self.state.measured(stack)
        return measured


class _Probe:
    """Makes a plain ASGI application a route's endpoint: only instances of classes are taken for that."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        await self.app(scope, receive, send)


def _limits_itself(scope: Scope) -> bool:
    path: str = scope["path"]
    return path == UPLOAD_PATH or (path.startswith(FILES_PATH) and scope["method"] == "PUT")


class BodyLimit:
    """Refuses a body that is too large or too slow, while it is read, whatever the request says of its length."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, counting the bytes of the body."""
        if scope["type"] != "http" or _limits_itself(scope):
            return await self.app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "0")
        deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT_S
        received, complete = 0, False

        async def counted() -> Message:
            nonlocal received, complete
            if complete:  # what follows is the client's leaving
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408) from None
            complete = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES or (declared.isdecimal() and int(declared) > MAX_BODY_BYTES):
                raise HTTPException(413)
            return message

        return await self.app(scope, counted, send)
