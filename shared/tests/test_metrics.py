"""What a process tells Prometheus: both formats, strictly, exemplars where traces are kept, and bounded labels."""

import asyncio
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from fluxline.contracts.catalog import COLLECTOR_LOGS, GATEWAY, ZIPPER
from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.runtime.asgi import AsgiApp, Receive, Scope, Send
from fluxline.runtime.envelope import Received
from fluxline.runtime.health import MetricsRoute, respond
from fluxline.runtime.loop_lag import measure_loop_lag
from fluxline.runtime.metrics import Metrics
from fluxline.runtime.provider_calls import ProviderCalls, operations_of, provider_call
from fluxline.runtime.spans import use
from polling import poll_until

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


class Throttled(FluxlineError):
    """Too many."""

    category: ClassVar[ErrorCategory] = ErrorCategory.RATE_LIMIT


class Api:
    """An adapter of two operations."""

    name = "replicate"

    def __init__(self, calls: ProviderCalls, error: BaseException | None = None) -> None:
        self.calls, self.error = calls, error

    @provider_call("trainings.create")
    async def create(self) -> str:
        return await self._answer()

    @provider_call("trainings.get", polls=True)
    async def get(self) -> str:
        return await self._answer()

    async def _answer(self) -> str:
        if self.error:
            raise self.error
        return "done"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("zipper")


@pytest.fixture
def kept() -> InMemorySpanExporter:
    """The spans of the process."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    use(provider)
    return exporter


def message(subject: str, age_s: float = 0.0) -> Received:
    return Received(subject, b"", {}, 1, 1, datetime.now(UTC) - timedelta(seconds=age_s))


def sampled(is_kept: bool = True) -> Any:
    return trace.use_span(NonRecordingSpan(SpanContext(0xABC, 0xDEF, False, TraceFlags(is_kept))))


async def scraped(metrics: Metrics, accept: str = "*/*") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(MetricsRoute(metrics.registry))) as http:
        return await http.get("http://x/metrics", headers={"Accept": accept})


async def test_both_formats_are_strict_and_only_the_one_that_can_has_exemplars(metrics: Metrics) -> None:
    with sampled():
        metrics.messages.begin(ZIPPER, message("training.requested", 0.2))
    with sampled(False):
        metrics.messages.begin(ZIPPER, message("training.requested", 40))
    plain, rich = await scraped(metrics), await scraped(metrics, OPEN_METRICS)
    assert plain.headers["content-type"].startswith("text/plain")
    assert rich.headers["content-type"].startswith("application/openmetrics-text")
    assert {family.name for family in prometheus(plain.text)} >= {"fluxline_build_info", "process_cpu_seconds"}
    [wait] = [family for family in open_metrics(rich.text) if family.name == "fluxline_message_wait_seconds"]
    exemplars = [sample.exemplar for sample in wait.samples if sample.exemplar]
    assert [exemplar.labels["trace_id"] for exemplar in exemplars] == [f"{0xABC:032x}"]
    assert "_created" not in plain.text + rich.text


def test_a_message_is_in_flight_until_it_ends_and_counts_once(metrics: Metrics) -> None:
    value, durable = metrics.registry.get_sample_value, {"durable": "zipper"}
    metrics.messages.announce(ZIPPER)
    ends = durable | {"subject": "training.requested", "outcome": "succeeded"}
    assert value("fluxline_messages_total", ends) == 0
    metrics.messages.begin(ZIPPER, message("training.requested"))
    assert value("fluxline_messages_in_flight", durable) == 1
    metrics.messages.end(ZIPPER, message("training.requested"), "succeeded")
    assert value("fluxline_messages_in_flight", durable) == 0
    assert value("fluxline_messages_total", ends) == 1


def test_subjects_that_nobody_knows_make_no_series_of_their_own(metrics: Metrics) -> None:
    for subject in ("training.secret-1", "training.secret-2"):
        metrics.messages.end_all(GATEWAY, [message(subject)], "succeeded")
    metrics.messages.end_all(COLLECTOR_LOGS, [message("logs.zipper")], "succeeded")
    subjects = {sample.labels["subject"] for sample in metrics.messages.ended.collect()[0].samples}
    assert subjects == {"unknown", "logs.>"}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(None, "ok"), (Throttled(), "rate_limit"), (ValueError("x"), "internal"), (asyncio.CancelledError(), "canceled")],
)
async def test_calls_to_providers_are_counted_by_how_they_end(
    metrics: Metrics, error: BaseException | None, outcome: str
) -> None:
    api = Api(metrics.providers, error)
    metrics.providers.announce(api.name, operations_of(Api), limit=4)
    labels = {"provider": "replicate", "operation": "trainings.create"}
    with suppress(BaseException):
        await api.create()
    value = metrics.registry.get_sample_value
    assert value("fluxline_provider_calls_total", labels | {"outcome": outcome}) == 1
    assert value("fluxline_provider_calls_total", labels | {"outcome": "billing"}) == 0
    assert value("fluxline_provider_call_seconds_count", labels) == 1
    assert value("fluxline_provider_calls_in_flight", {"provider": "replicate"}) == 0
    assert value("fluxline_provider_calls_limit", {"provider": "replicate"}) == 4


async def test_a_call_is_a_span_of_its_job_and_a_poll_is_none(metrics: Metrics, kept: InMemorySpanExporter) -> None:
    api = Api(metrics.providers, Throttled())
    for call in (api.create, api.get):
        with sampled(), pytest.raises(Throttled):
            await call()
    with pytest.raises(Throttled):
        await api.create()
    [span] = kept.get_finished_spans()
    assert span.name == "replicate trainings.create"
    assert span.attributes
    assert span.attributes["error.type"] == "rate_limit"


async def test_requests_are_measured_by_route_and_never_by_path(metrics: Metrics) -> None:
    app = metrics.http.around(_routed)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http:
        for path in ("/v1/trainings/1", "/v1/trainings/2", "/nothing/1", "/nothing/2", "/healthz"):
            await http.request("BREW" if path.endswith("2") else "GET", path)
    counts = {
        (sample.labels["http_route"], sample.labels["http_request_method"], sample.labels["http_response_status_code"])
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "http_server_request_duration_seconds_count"
    }
    route = "/v1/trainings/{id}"
    assert counts == {(route, "GET", "200"), (route, "_OTHER", "200"), ("", "GET", "404"), ("", "_OTHER", "404")}


class _Route:
    path = "/v1/trainings/{id}"


async def _routed(scope: Scope, _receive: Receive, send: Send) -> None:
    if scope["path"].startswith("/v1/trainings/"):
        scope["route"] = _Route()
    await respond(send, 200 if "route" in scope else 404, b"", "text/plain")


@pytest.fixture
async def lag(metrics: Metrics) -> AsyncIterator[None]:
    task = asyncio.create_task(measure_loop_lag(metrics.loop_lag, 0.01))
    yield
    task.cancel()


async def test_who_blocks_the_event_loop_is_seen(metrics: Metrics, lag: None) -> None:
    def slow() -> float:
        buckets = {
            sample.labels["le"]: sample.value
            for sample in metrics.loop_lag.collect()[0].samples
            if sample.name.endswith("_bucket")
        }
        return buckets["+Inf"] - buckets["0.05"]

    await poll_until(lambda: metrics.registry.get_sample_value("fluxline_event_loop_lag_seconds_count"))
    before = slow()
    time.sleep(0.1)  # that is who
    await poll_until(lambda: slow() > before)


def test_an_application_is_passed_what_it_was_asked(metrics: Metrics) -> None:
    seen: list[MutableMapping[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    measured: AsgiApp = metrics.http.around(app)
    asyncio.run(measured({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]
