"""In a real Jaeger, a job is one trace of all services, found by its training id."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.running import RunningStack, job, submit, until_status, upload
from photos import write_photos
from polling import poll_until

from .jaeger import MISSING, Jaeger, is_at_hand

_LATER = "clock skew adjustment disabled"
"""What Jaeger says to a span that goes on after its parent, as whatever is asked for by a message does."""
SERVICES = {"gateway", "zipper", "trainer", "publisher", "collector"}
pytestmark = pytest.mark.skipif(not is_at_hand() and "FLUXLINE_REQUIRE_JAEGER" not in os.environ, reason=MISSING)


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    with Jaeger(tmp_path_factory.mktemp("jaeger")) as running:
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, jaeger: Jaeger) -> Iterator[RunningStack]:
    page = f"{jaeger.url}/trace/{{trace_id}}"
    home = tmp_path_factory.mktemp("stack") / "home"
    with RunningStack(home, OTEL_EXPORTER_OTLP_ENDPOINT=jaeger.otlp_url, FLUXLINE_TRACE_URL=page) as running:
        yield running


async def test_one_job_is_one_trace_of_all_services_found_by_training_id(
    stack: RunningStack, jaeger: Jaeger, tmp_path: Path
) -> None:
    async with stack.client(stack.state["api_key"]) as api:
        training = await submit(api, job(await upload(api, write_photos(tmp_path, count=6, size=(800, 600), seed=7))))
        training = await until_status(api, training["id"])
        assert training["status"] == "completed", training["error"]
        trace = await poll_until(lambda: _whole_trace(jaeger, training["id"]), timeout_s=20, interval_s=0.5)
        assert trace
        summary = (await api.get(f"/v1/trainings/{training['id']}/debug")).json()
    assert trace["traceID"] == training["trace_id"] == summary["trace_id"]
    assert summary["trace_url"] == f"{jaeger.url}/trace/{training['trace_id']}"
    warnings = {warning for span in trace["spans"] for warning in span["warnings"] or ()}
    assert not {warning for warning in warnings if not warning.startswith(_LATER)}


async def _whole_trace(jaeger: Jaeger, training_id: str) -> dict[str, Any] | None:
    """The job's trace, once every service has sent its part; the only one of them, or the test fails."""
    found = jaeger.traces("zipper", **{"fluxline.training_id": training_id})
    assert len(found) <= 1
    if not found:
        return None
    services = {process["serviceName"] for process in found[0]["processes"].values()}
    spans = found[0]["spans"]
    parents = {ref["spanID"] for span in spans for ref in span["references"] if ref["refType"] == "CHILD_OF"}
    is_whole = parents <= {span["spanID"] for span in spans}
    has_ended = {"process model.published", "replicate_training"} <= {span["operationName"] for span in spans}
    return found[0] if services >= SERVICES and has_ended and is_whole else None
