"""The collector's schema in a database of the test's own."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from fluxline.postgres.pool import Database
from fluxline.runtime.telemetry import Metrics
from fluxline_collector.metrics import CollectorMetrics
from fluxline_collector.store import EventStore


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
