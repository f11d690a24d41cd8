"""The collector as a process: settings → store → consumer and HTTP API."""

import json
from http import HTTPStatus

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from fluxline.contracts.catalog import COLLECTOR
from fluxline.contracts.errors import FluxlineError
from fluxline.postgres.pool import Database, database_error
from fluxline.runtime.service import Service
from fluxline.runtime.settings import load
from fluxline_collector.api import router
from fluxline_collector.metrics import CollectorMetrics
from fluxline_collector.settings import CollectorSettings
from fluxline_collector.store import EventStore


def build(settings: CollectorSettings) -> tuple[Service, FastAPI]:
    """The service and its HTTP application."""
    service = Service("collector", settings)
    database = Database(settings.database_url.get_secret_value(), "collector")
    store = EventStore(database, CollectorMetrics(service.metrics.registry))
    service.before_start(database.open)
    service.on_close(database.close)
    service.ready("postgres", database.check)
    service.consume_batches(COLLECTOR, store.store)
    app = FastAPI(title="fluxline debug-collector", version="1", lifespan=service.lifespan)
    app.include_router(router(store, settings.token))
    app.router.routes.extend(Route(path, route) for path, route in service.health.routes().items())
    for error_class in _KNOWN_ERRORS:
        app.add_exception_handler(error_class, _on_error)
    return service, app


def main() -> int:
    """Run until SIGTERM."""
    service, app = build(load(CollectorSettings))
    return service.run(app)


def problem(status: int, detail: str) -> Response:
    """An RFC 9457 answer."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    headers = {"retry-after": "2"} if status == 503 else None
    return Response(json.dumps(body), status, headers, "application/problem+json")


async def _on_error(_request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return problem(error.status_code, str(error.detail))
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return problem(422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")
    known = error if isinstance(error, FluxlineError) else database_error(error)
    return problem(503, f"{known.message}. {known.hint}") if known else problem(500, "Something went wrong inside.")


_KNOWN_ERRORS = (
    HTTPException,
    RequestValidationError,
    FluxlineError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    Exception,
)
