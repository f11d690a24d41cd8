"""The studio, put together: settings → gateway client, sessions, templates → HTTP application."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.routing import Route

from fluxline.runtime.draining import DrainingServer
from fluxline.runtime.health import Health
from fluxline.runtime.logs import setup_logs
from fluxline.runtime.settings import load
from fluxline.runtime.telemetry import Metrics
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
    assets = Assets()
    secret = settings.secret.get_secret_value()
    sessions = Sessions(secret, hours=settings.session_hours, secure=settings.cookie_secure)
    gateway = GatewayClient(settings.gateway, transport)
    oidc = Oidc(settings, issuer) if settings.oidc_issuer else None

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.close()
        if oidc:
            await oidc.close()

    app = FastAPI(title="fluxline Studio", openapi_url=None, lifespan=lifespan)
    templates = make_templates(assets)
    app.state.studio = Studio(settings, gateway, sessions, assets, templates, LiveStreams(), oidc)
    _add_probes(app, gateway)

    @app.get("/static/{version}/{name}")
    async def static_file(request: Request, version: str, name: str) -> Response:
        return assets.answer(request, version, name)

    for router in ROUTERS:
        app.include_router(router)
    add_error_pages(app)
    app.add_middleware(Guards)
    return app


def _add_probes(app: FastAPI, gateway: GatewayClient) -> None:
    health = Health(Metrics().registry)
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
