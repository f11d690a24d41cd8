"""Fixtures of every member's tests: real servers, one of each per process, started on first use."""

import asyncio
import os
import pickle
from collections.abc import AsyncIterator, Callable, Iterator

import nats as nats_py
import pytest
from filelock import FileLock
from hypothesis import settings
from nats.js import JetStreamContext

from fluxline.postgres.migrate import migrate
from fluxline.runtime.provision import provision
from next_version import expand
from photos import Case, write_hostile_set
from servers import (
    NatsServer,
    PostgresServer,
    SeaweedServer,
    nats_server,
    postgres_server,
    seaweedfs_server,
)

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=5000, deadline=None)
settings.load_profile("same")  # a change passes or fails by itself; `make test-fuzz` is who looks for new examples


@pytest.fixture(scope="session")
def hostile_set(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """What cameras, editors, pranksters and broken transfers produce: made once, also for several test processes."""
    temporary = tmp_path_factory.getbasetemp()
    folder = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "hostile"
    index = folder.with_suffix(".pickle")
    with FileLock(folder.with_suffix(".lock")):
        if not index.exists():
            index.write_bytes(pickle.dumps(write_hostile_set(folder)))
    return list(pickle.loads(index.read_bytes()))


@pytest.fixture(scope="session")
def nats() -> Iterator[NatsServer]:
    """A NATS server with JetStream, shared by the tests of this process; name streams uniquely."""
    with nats_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, shared by the tests of this process."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> Iterator[str]:
    """The superuser's URL of a fresh, empty database that is gone after the test."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """The database of a test; a service's tests have it with the service's schema."""
    return empty_database_url


@pytest.fixture(scope="session")
def migrated(postgres: PostgresServer) -> Iterator[Callable[[str], Iterator[str]]]:
    """Makes the fixture of a database with a package's schema: `yield from migrated("fluxline_gateway")`.

    With FLUXLINE_NEXT_VERSION set, the schema is one that a next version could leave (`make test-upgrade`).
    """
    templates: dict[str, str] = {}

    def database_of(package: str) -> Iterator[str]:
        if package not in templates:
            template = postgres.create_database()
            asyncio.run(migrate(template, package))
            if "FLUXLINE_NEXT_VERSION" in os.environ:
                asyncio.run(expand(template, package))
            templates[package] = template
        url = postgres.create_database(templates[package])
        yield url
        postgres.drop_database(url)

    yield database_of
    for template in templates.values():
        postgres.drop_database(template)


@pytest.fixture(scope="session")
def seaweed() -> Iterator[SeaweedServer]:
    """An S3 server with one empty bucket, shared by the tests of this process; use keys of your own."""
    with seaweedfs_server() as server:
        yield server


@pytest.fixture
async def jetstream(nats: NatsServer) -> AsyncIterator[JetStreamContext]:
    """The session's NATS server with the catalog's streams and consumers, made anew."""
    client = await nats_py.connect(nats.url)
    context = client.jetstream()
    for stream in await context.streams_info():
        await context.delete_stream(stream.config.name or "")
    await provision(nats.url)
    yield context
    await client.close()
