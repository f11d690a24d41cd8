"""The gateway, put together: settings → database, bus, storage, live hub → service and HTTP application."""

from fastapi import APIRouter, FastAPI

from fluxline.contracts.catalog import GATEWAY
from fluxline.postgres.outbox import Relay
from fluxline.postgres.pool import Database
from fluxline.runtime.service import Service
from fluxline.runtime.settings import load
from fluxline.storage import Storage, StorageSettings, make_storage
from fluxline.storage.local import LocalStorage
from fluxline_gateway import (
    debug,
    events,
    files,
    generations,
    image_uploads,
    images,
    limits,
    me,
    models,
    trainings,
    webhooks,
)
from fluxline_gateway.api import make_app
from fluxline_gateway.deps import Gateway
from fluxline_gateway.live import LiveHub
from fluxline_gateway.migrations import SCHEMA
from fluxline_gateway.projection import Projection
from fluxline_gateway.settings import GatewaySettings

NAME = "gateway"
ROUTERS = (
    image_uploads.router,
    images.router,
    trainings.router,
    events.router,
    debug.router,
    models.router,
    generations.router,
    webhooks.router,
    limits.router,
    me.router,
)


def build(settings: GatewaySettings, storage: Storage) -> tuple[Service, FastAPI]:
    """The service and the application that it serves."""
    service = Service(NAME, settings)
    database = Database(settings.database_url, SCHEMA)
    live = LiveHub(service.bus)
    gateway = Gateway(settings, database, service.bus, storage, live)
    service.before_start(database.open)
    service.ready("postgres", database.check)
    service.ready("storage", storage.check)
    service.background("relay", Relay(database, service.bus).run)
    service.background("live", live.run)
    service.consume_batches(GATEWAY, Projection(database).handle)
    for close in (database.close, storage.close, gateway.http.aclose):
        service.on_close(close)
    app = make_app(
        gateway,
        routers(storage),
        probes=service.health.routes(),
        tracer_provider=service.tracer_provider,
        lifespan=service.lifespan,
    )
    return service, app


def routers(storage: Storage) -> list[APIRouter]:
    """All routes; signed links are served here only where no object store serves its own."""
    return [*ROUTERS, files.router] if isinstance(storage, LocalStorage) else [*ROUTERS]


def main() -> int:
    """Run the gateway until SIGTERM; returns the exit status."""
    settings, storage = load(GatewaySettings), make_storage(load(StorageSettings))
    service, app = build(settings, storage)
    return service.run(app)
