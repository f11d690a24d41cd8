"""Traces and metrics of one process: OpenTelemetry by OTLP, Prometheus by scrape."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context, propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, Histogram, PlatformCollector, ProcessCollector

from fluxline.runtime.span_redaction import RedactingExporter

STAGE_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 1800, 3600)


def make_tracer_provider(service: str, otlp_endpoint: str | None) -> TracerProvider:
    """The process's tracer provider; without an endpoint ids are made and travel, spans are dropped."""
    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.namespace": "fluxline"}))
    if otlp_endpoint:
        exporter = OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces", timeout=5)
        provider.add_span_processor(BatchSpanProcessor(RedactingExporter(exporter)))
    return provider


@contextmanager
def continued_trace(headers: dict[str, str]) -> Iterator[None]:
    """Run the block within the trace of `headers` (W3C `traceparent`)."""
    token = context.attach(propagate.extract(headers))
    try:
        yield
    finally:
        context.detach(token)


def current_trace_id() -> str | None:
    """The 32-hex id of the current trace."""
    span_context = trace.get_current_span().get_span_context()
    return format(span_context.trace_id, "032x") if span_context.is_valid else None


class Metrics:
    """The registry of one process, and the series that the runtime itself keeps."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.stage_seconds = Histogram(
            "fluxline_stage_duration_seconds",
            "Duration of one attempt of a stage, by outcome and error category",
            ("stage", "outcome", "category"),
            buckets=STAGE_SECONDS,
            registry=self.registry,
        )
