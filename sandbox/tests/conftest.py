"""A sandbox on a free port for every test, and a site that serves its input files and takes its webhooks."""

from collections.abc import Iterator

import pytest

from fluxline_sandbox.server import running
from fluxline_sandbox.settings import Settings

from .stand import Site, Stand


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    settings = Settings(port=0, home=tmp_path_factory.mktemp("sandbox"), training_seconds=0.3)
    with running(settings) as url:
        stand = Stand(url, settings)
        yield stand
        stand.http.close()


@pytest.fixture
def stand(server: Stand) -> Stand:
    """The sandbox as new; one process of tests shares one server."""
    server.http.delete("/_sandbox/state").raise_for_status()
    return server


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()
