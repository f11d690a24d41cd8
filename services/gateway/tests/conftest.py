"""The gateway on a real PostgreSQL and a local folder, called in-process; NATS only where a test asks for it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline.storage.local import LocalStorage
from fluxline_gateway.api import make_app
from fluxline_gateway.app import routers
from fluxline_gateway.deps import Gateway
from fluxline_gateway.identity import keys
from fluxline_gateway.live.hub import LiveHub
from fluxline_gateway.migrations import SCHEMA
from fluxline_gateway.settings import GatewaySettings

URL = "http://gateway.test"
ClientOf = Callable[[str], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def database_url(migrated: Callable[[str], Iterator[str]]) -> Iterator[str]:
    """The URL of a database with the gateway's schema."""
    yield from migrated("fluxline_gateway")


@pytest.fixture
def settings(database_url: str) -> GatewaySettings:
    return GatewaySettings(
        nats_url="nats://127.0.0.1:1",
        database_url=database_url,
        collector_token="the collector's token",
        _env_file=None,
    )


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The gateway's migrated schema."""
    database = Database(database_url, SCHEMA)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[LocalStorage]:
    storage = LocalStorage(tmp_path / "storage", URL, b"s" * 32)
    yield storage
    await storage.close()


@pytest.fixture
async def gateway(settings: GatewaySettings, database: Database, storage: LocalStorage) -> AsyncIterator[Gateway]:
    """The parts of a gateway whose NATS is down."""
    bus = Bus("gateway", settings.nats_url, make_tracer_provider("gateway", None))
    gateway = Gateway(settings, database, bus, storage, LiveHub(bus))
    yield gateway
    await gateway.http.aclose()


@pytest.fixture
def app(gateway: Gateway) -> FastAPI:
    """The whole HTTP application, without its background work."""
    provider = make_tracer_provider("gateway", None)
    return make_app(gateway, routers(gateway.storage), probes={}, tracer_provider=provider)


@pytest.fixture
async def anonymous(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without an API key; a crash in the application is an answer, as on a real server."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client


@pytest.fixture
def client_of(app: FastAPI, database: Database) -> ClientOf:
    """Makes a client with a fresh API key of an owner: `async with client_of("bob") as bob`."""

    @asynccontextmanager
    async def client_of(owner: str) -> AsyncIterator[httpx.AsyncClient]:
        key, _ = await keys.create(database.pool, owner)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as client:
            yield client

    return client_of


@pytest.fixture
async def client(client_of: ClientOf) -> AsyncIterator[httpx.AsyncClient]:
    """Ada's client."""
    async with client_of("ada") as client:
        yield client
