"""The collector as a process: settings → store → consumer and HTTP API."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from fluxline.contracts.catalog import COLLECTOR, COLLECTOR_LOGS, COLLECTOR_TRACES
from fluxline.contracts.errors import FluxlineError
from fluxline.postgres.pool import Database, database_error
from fluxline.runtime.service import Service
from fluxline.runtime.settings import load
from fluxline.runtime.telemetry import http_telemetry, make_exporter
from fluxline_collector import insight_routes, log_routes
from fluxline_collector.alerts import routes as alert_routes
from fluxline_collector.alerts.channels import channels_of
from fluxline_collector.alerts.evaluator import Evaluator, Policy
from fluxline_collector.alerts.outbox import Outbox
from fluxline_collector.alerts.retention import AlertRetention
from fluxline_collector.alerts.sight import StreamSight
from fluxline_collector.api import router
from fluxline_collector.failed_traces import FailedTraces
from fluxline_collector.history import History
from fluxline_collector.housekeeping import EVERY_S, RETRY_S, Housekeeping
from fluxline_collector.insights import Answers
from fluxline_collector.lag import COUNT_S, LOOK_S, Lag
from fluxline_collector.log_retention import LogRetention
from fluxline_collector.log_store import LogStore
from fluxline_collector.metrics import AlertMetrics, CollectorMetrics, LagMetrics, LogMetrics
from fluxline_collector.periodic import periodically
from fluxline_collector.settings import CollectorSettings
from fluxline_collector.store import EventStore
from fluxline_collector.stream_sizes import EVERY_S as STREAMS_S
from fluxline_collector.stream_sizes import StreamSizes
from fluxline_collector.teller import Teller

_UNTRACED = ("/healthz", "/readyz", "/metrics")
Work = Callable[[], Awaitable[object]]


def build(settings: CollectorSettings) -> tuple[Service, FastAPI]:
    """The service and its HTTP application."""
    service = Service("collector", settings)
    database = Database(settings.database_url.get_secret_value(), "collector")
    database.observe(service.metrics.registry)
    service.before_start(database.open)
    service.on_close(database.close)
    service.ready("postgres", database.check)
    store = _store_events(service, database, settings)
    logs = LogStore(database, LogMetrics(service.metrics.registry))
    service.consume_batches(COLLECTOR_LOGS, logs.store)
    exporter = make_exporter(settings.otlp_endpoint) if settings.otlp_endpoint else None
    service.consume_batches(COLLECTOR_TRACES, FailedTraces(History(database), exporter).handle)
    _sweep(service, "log-retention", LogRetention(database, timedelta(days=settings.keep_log_days)).sweep)
    app = FastAPI(
        title="fluxline debug-collector", version="1", lifespan=service.lifespan, telemetry=_telemetry(service)
    )
    app.add_middleware(service.metrics.http.around)
    teller = Teller(History(database), settings.page_of_trace)
    app.include_router(router(store, teller, settings.token))
    app.include_router(log_routes.router(logs, settings.token))
    app.include_router(insight_routes.router(Answers(database), settings.token))
    app.include_router(alert_routes.router(database, _alert(service, database, settings), settings.token))
    app.router.routes.extend(Route(path, route) for path, route in service.health.routes().items())
    for error_class in _KNOWN_ERRORS:
        app.add_exception_handler(error_class, _on_error)
    return service, app


def _telemetry(service: Service) -> Any:
    return http_telemetry(service.tracer_provider, lambda scope: scope["path"] in _UNTRACED)


def _store_events(service: Service, database: Database, settings: CollectorSettings) -> EventStore:
    """The stream into the tables, the tables at their size, and how far the one is behind the other."""
    store = EventStore(database, CollectorMetrics(service.metrics.registry))
    service.consume_batches(COLLECTOR, store.store)
    keep, keep_jobs = timedelta(days=settings.keep_days), timedelta(days=settings.keep_jobs_days)
    _sweep(service, "housekeeping", Housekeeping(database, keep, keep_jobs).sweep)
    lag = Lag(service.bus, database, LagMetrics(service.metrics.registry))
    _repeat(service, "lag", lag.observe, LOOK_S, LOOK_S)
    sizes = StreamSizes(service.bus, service.metrics.registry)
    _repeat(service, "stream-sizes", sizes.look, STREAMS_S, STREAMS_S)
    _repeat(service, "loss", lag.count_lost, COUNT_S, LOOK_S)
    return store


def _alert(service: Service, database: Database, settings: CollectorSettings) -> Policy:
    """Rules evaluated, notices of what they find sent."""
    metrics, secret = AlertMetrics(service.metrics.registry), settings.token.get_secret_value()
    policy = Policy(
        settings.alert_rules,
        channels_of(settings.alert_urls, secret),
        settings.alert_quiet,
        str(settings.studio_url) if settings.studio_url else None,
        settings.alert_every_s,
    )
    evaluate = Evaluator(database, StreamSight(service.bus), policy, metrics).work
    _repeat(service, "alerts", evaluate, settings.alert_every_s, settings.alert_every_s)
    service.background("alert-notices", Outbox(database, policy.channels, metrics).run)
    _sweep(service, "alert-retention", AlertRetention(database).sweep)
    return policy


def _sweep(service: Service, name: str, sweep: Work) -> None:
    """Keep a table at its size, for the life of the process."""
    service.background(name, partial(periodically, name, sweep, EVERY_S, RETRY_S))


def _repeat(service: Service, name: str, work: Work, every_s: float, retry_s: float) -> None:
    """Repeat `work`, which needs NATS, as soon as the service has joined it."""

    async def begin() -> None:
        await service.started.wait()
        await periodically(name, work, every_s, retry_s)

    service.background(name, begin)


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
