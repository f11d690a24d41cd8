"""The collector's schema in a database of the test's own, and the whole collector on it."""

from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from nats.js import JetStreamContext

from fluxline.postgres.pool import Database
from fluxline.runtime.telemetry import Metrics
from fluxline_collector.app import build
from fluxline_collector.metrics import CollectorMetrics
from fluxline_collector.settings import CollectorSettings
from fluxline_collector.store import EventStore
from servers import NatsServer

TOKEN = "collector-token-of-the-tests"


@pytest.fixture
def database_url(migrated: Callable[[str], Iterator[str]]) -> Iterator[str]:
    """The URL of a database with the collector's schema."""
    yield from migrated("fluxline_collector")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same, open."""
    database = Database(database_url, "collector")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def store(database: Database) -> EventStore:
    """What writes its tables."""
    return EventStore(database, CollectorMetrics(Metrics().registry))


@pytest.fixture
async def app(nats: NatsServer, jetstream: JetStreamContext, database: Database) -> AsyncIterator[FastAPI]:
    """The collector, at work."""
    settings = CollectorSettings(nats_url=nats.url, database_url=database.url, token=TOKEN)  # type: ignore[arg-type]
    _, app = build(settings)
    async with LifespanManager(app, shutdown_timeout=20):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Whoever has its token."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://collector", headers=headers) as client:
        yield client
