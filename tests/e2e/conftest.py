"""One real stack for all tests of this folder, in a home of its own, and photos to train on."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from otlp import OtlpReceiver
from photos import write_photos

pytest.register_assert_rewrite("e2e.telemetry")

from .running import RunningStack  # noqa: E402


@pytest.fixture(scope="session")
def otlp() -> Iterator[OtlpReceiver]:
    """Where the stack sends its spans."""
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, otlp: OtlpReceiver) -> Iterator[RunningStack]:
    """The running stack; leaving it checks that nothing of it is left."""
    home = tmp_path_factory.mktemp("stack") / "home"
    with RunningStack(home, OTEL_EXPORTER_OTLP_ENDPOINT=otlp.url) as running:
        yield running
    assert running.exit_status == 0, running.output()
    assert not running.remaining_processes()
    assert not running.violations()
    assert not running.state_file.exists()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six different photos."""
    return write_photos(tmp_path_factory.mktemp("photos"), count=6, size=(800, 600), seed=7)


@pytest.fixture
async def api(stack: RunningStack) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway, for the owner of the stack."""
    async with stack.client(stack.state["api_key"]) as client:
        yield client


@pytest.fixture
async def sandbox(stack: RunningStack) -> AsyncIterator[httpx.AsyncClient]:
    """The sandbox's own routes; faults and settings are as they were after the test."""
    async with httpx.AsyncClient(base_url=stack.state["sandbox_url"], timeout=20) as client:
        before = (await client.get("/_sandbox/settings")).json()
        yield client
        await client.delete("/_sandbox/faults")
        await client.post("/_sandbox/settings", json=before)
