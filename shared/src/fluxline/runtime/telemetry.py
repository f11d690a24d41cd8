"""Traces of one process: OpenTelemetry by OTLP. Its metrics are in `metrics`."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Sampler

from fluxline.runtime.envelope import VERSION
from fluxline.runtime.metrics import Metrics as Metrics
from fluxline.runtime.otlp import encode
from fluxline.runtime.sampling import sampler_of
from fluxline.runtime.span_export import OnDropped, SpanQueue

EXPORT_TIMEOUT_S = 5.0


def http_telemetry(provider: TracerProvider, exclude: Callable[[MutableMapping[str, Any]], bool]) -> Any:
    """FastAPI's setting `telemetry`: spans of requests but for those that `exclude` names, and nothing else."""
    return {
        "tracer_provider": provider,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "exclude": exclude,
    }


class Exporter(OTLPSpanExporter):
    """OpenTelemetry's own, with bytes of ours: see `otlp`."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, redacted; blocks for some seconds at most."""
        return SpanExportResult.SUCCESS if self._client.export(encode(spans)).success else SpanExportResult.FAILURE


def make_tracer_provider(
    service: str,
    otlp_endpoint: str | None,
    *,
    sampler: Sampler | None = None,
    on_dropped: OnDropped = lambda _reason, _count: None,
) -> TracerProvider:
    """The process's tracer provider; without an endpoint ids are made and travel, spans are dropped."""
    provider = TracerProvider(
        resource=resource_of(service),
        sampler=sampler or sampler_of("parentbased_always_on", 1.0),
        shutdown_on_exit=False,
    )
    if otlp_endpoint:
        provider.add_span_processor(SpanQueue(make_exporter(otlp_endpoint), on_dropped))
    return provider


def make_exporter(otlp_endpoint: str) -> SpanExporter:
    """Spans to an OTLP/HTTP endpoint, without secrets."""
    address = f"{otlp_endpoint.rstrip('/')}/v1/traces"
    return Exporter(endpoint=address, timeout=EXPORT_TIMEOUT_S)


def resource_of(service: str) -> Resource:
    """Who made a span."""
    return Resource.create(
        {
            "service.name": service,
            "service.namespace": "fluxline",
            "service.version": VERSION,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            "host.name": socket.gethostname(),
        }
    )


@contextmanager
def continued_trace(headers: Mapping[str, str]) -> Iterator[None]:
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


def current_span_id() -> str | None:
    """The 16-hex id of the current span."""
    span_context = trace.get_current_span().get_span_context()
    return format(span_context.span_id, "016x") if span_context.is_valid else None
