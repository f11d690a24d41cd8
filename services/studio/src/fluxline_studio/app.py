"""The studio, put together: settings → gateway client, sessions, templates → HTTP application."""

import asyncio
import signal
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from opentelemetry.sdk.trace import TracerProvider
from starlette.routing import Route

from fluxline.runtime.draining import DrainingServer
from fluxline.runtime.health import Health
from fluxline.runtime.logs import setup_logs
from fluxline.runtime.loop_lag import measure_loop_lag
from fluxline.runtime.metrics import Metrics
from fluxline.runtime.sampling import sampler_of
from fluxline.runtime.settings import load
from fluxline.runtime.telemetry import http_telemetry, make_tracer_provider
from fluxline_studio.assets import Assets
from fluxline_studio.deps import Studio, make_templates
from fluxline_studio.draining import LiveStreams
from fluxline_studio.error_pages import add_error_pages
from fluxline_studio.gateway import GatewayClient
from fluxline_studio.guards import Guards
from fluxline_studio.oidc import Oidc
from fluxline_studio.pages import ROUTERS
from fluxline_studio.sessions import Sessions
from fluxline_studio.settings import StudioSettings

NAME = "studio"


def make_app(
    settings: StudioSettings,
    transport: httpx.AsyncBaseTransport | None = None,
    issuer: httpx.AsyncBaseTransport | None = None,
) -> FastAPI:
    """The application; `transport` and `issuer` stand for the gateway and the issuer of tokens in tests."""
    assets, metrics = Assets(), Metrics(NAME)
    secret = settings.secret.get_secret_value()
    sessions = Sessions(secret, hours=settings.session_hours, secure=settings.cookie_secure)
    gateway = GatewayClient(settings.gateway, transport)
    oidc = Oidc(settings, issuer) if settings.oidc_issuer else None

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        lag = asyncio.create_task(measure_loop_lag(metrics.loop_lag))
        yield
        lag.cancel()
        await asyncio.to_thread(provider.shutdown)
        await gateway.close()
        if oidc:
            await oidc.close()

    provider = tracer_provider_of(settings, metrics)
    telemetry = http_telemetry(provider, _is_untraced)
    app = FastAPI(title="fluxline Studio", openapi_url=None, lifespan=lifespan, telemetry=telemetry)
    templates = make_templates(assets)
    app.state.studio = Studio(settings, gateway, sessions, assets, templates, LiveStreams(), oidc)
    app.state.registry = metrics.registry
    _add_probes(app, gateway, metrics)

    @app.get("/static/{version}/{name}")
    async def static_file(request: Request, version: str, name: str) -> Response:
        return assets.answer(request, version, name)

    for router in ROUTERS:
        app.include_router(router)
    add_error_pages(app)
    app.add_middleware(Guards)
    app.add_middleware(metrics.http.around)
    return app


def tracer_provider_of(settings: StudioSettings, metrics: Metrics) -> TracerProvider:
    """What makes the studio's spans."""
    sampler = sampler_of(settings.trace_sampler, settings.trace_ratio)
    return make_tracer_provider(NAME, settings.otlp_endpoint, sampler=sampler, on_dropped=metrics.drop_spans)


def _is_untraced(scope: MutableMapping[str, Any]) -> bool:
    """Probes and files, which say nothing, and the ways of signing in, whose queries hold secrets."""
    path: str = scope["path"]
    return path.startswith(("/healthz", "/readyz", "/metrics", "/static/", "/sign-in"))


def _add_probes(app: FastAPI, gateway: GatewayClient, metrics: Metrics) -> None:
    health = Health(metrics.registry)
    health.checks["gateway"] = gateway.check
    for path, route in health.routes().items():
        app.router.routes.append(Route(path, route))


def main() -> int:
    """Serve until SIGTERM; returns the exit status."""
    settings = load(StudioSettings)
    setup_logs(NAME, settings.log_level)
    app = make_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.graceful_timeout_s),
    )
    for stop in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again once it has stopped well
        signal.signal(stop, lambda *_: None)
    DrainingServer(config, app.state.studio.streams.end).run()
    return 0
