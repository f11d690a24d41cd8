"""The HTTP application around the routes: errors, body limits, traces, security headers, the OpenAPI document."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from opentelemetry.trace import TracerProvider
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from fluxline.runtime.envelope import current_trace
from fluxline_gateway import error_handlers, errors
from fluxline_gateway.deps import Gateway

MAX_BODY_BYTES = 1024 * 1024
"""Of every request but an upload of images, which limits itself while it streams."""
BODY_TIMEOUT_S = 30.0
"""For all of such a body: nobody needs longer for a megabyte, and whoever does holds a connection."""
UPLOAD_PATH = "/v1/images"
_UNTRACED = ("/healthz", "/readyz", "/metrics", "/storage/")
"""Probes, which say nothing, and signed links, whose query must not be stored anywhere."""


def make_app(
    gateway: Gateway,
    routers: Sequence[APIRouter],
    *,
    probes: Mapping[str, ASGIApp],
    tracer_provider: TracerProvider,
    lifespan: Lifespan[Any] | None = None,
) -> FastAPI:
    """The ASGI application that serves `routers`, and `probes` by their paths."""
    app = FastAPI(
        title="fluxline",
        version="1",
        summary="Photos in, a trained and published FLUX LoRA out",
        description="Errors are RFC 9457 problem documents with `category`, `hint` and `errors`.",
        lifespan=lifespan,
        redoc_url=None,
        telemetry={
            "tracer_provider": tracer_provider,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "exclude": lambda scope: scope["path"].startswith(_UNTRACED),
        },
    )
    app.state.gateway = gateway
    for router in routers:
        app.include_router(router)
    app.router.routes += [Route(path, _Probe(probe), methods=["GET"]) for path, probe in probes.items()]
    error_handlers.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(AnswerHeaders)
    if gateway.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=gateway.settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["ETag", "Link", "Location", "Retry-After", "traceparent"],
        )
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


class _Probe:
    """Makes a plain ASGI application a route's endpoint: only instances of classes are taken for that."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        await self.app(scope, receive, send)


class AnswerHeaders:
    """Puts on every answer the trace it belongs to, and that its content type is meant."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, adding headers at the start of the answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(current_trace())
                headers.setdefault("X-Content-Type-Options", "nosniff")
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class BodyLimit:
    """Refuses a body that is too large or too slow, while it is read, whatever the request says of its length."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, counting the bytes of the body."""
        if scope["type"] != "http" or scope["path"] == UPLOAD_PATH:
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


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with every error answer as the problem document that it is."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version=app.openapi_version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        problem = errors.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs", {}) | {"Problem": problem}
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            _describe_problems(operation["responses"])
        app.openapi_schema = document
    return app.openapi_schema


def _describe_problems(responses: dict[str, Any]) -> None:
    content = {errors.PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses.setdefault("default", {"description": "Any other error"})
    for status, response in responses.items():
        if status == "default" or status[0] in "45":
            response["content"] = content
