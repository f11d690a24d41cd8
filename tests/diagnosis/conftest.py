"""The stack of a module, and the table that a whole run writes (`make test-diagnosis`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.stack import FaultStack
from photos import write_photos


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-diagnosis", action="store_true", help="write docs/diagnosis.md after a complete run")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five different small photos: the fewest that can be trained on."""
    return write_photos(tmp_path_factory.mktemp("photos"), count=5, size=(640, 600), seed=7)


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultStack]:
    """The module's stack, with the variables of its `SETTINGS`."""
    settings = getattr(request.module, "SETTINGS", {})
    with FaultStack(tmp_path_factory.mktemp("stack") / "home", settings) as running:
        yield running
    assert running.exit_status == 0, running.output()
