"""Spans of the process that are part of a job or a request, and never its beginning: nothing else makes a span.

So a sweep, a probe or a poll is nobody's span, whoever it calls.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, Sampler
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from fluxline.contracts.errors import FluxlineError


class _Process:
    """Where the spans of this process go; OpenTelemetry's own global cannot be set twice, which tests have to."""

    tracer: trace.Tracer = trace.NoOpTracer()
    sampler: Sampler = ALWAYS_ON


def use(provider: TracerProvider) -> None:
    """Have the spans of this process made by this provider from now on."""
    _Process.tracer = provider.get_tracer("fluxline")
    _Process.sampler = provider.sampler


def traceparent_of(trace_id: str) -> str:
    """The header of a message that goes on with a trace of which only the id (32 hex) is known.

    Whether the trace is kept follows from its id; who its parent is, nobody knows any more.
    """
    kept = _Process.sampler.should_sample(None, int(trace_id, 16), "").decision is Decision.RECORD_AND_SAMPLE
    return f"00-{trace_id}-{secrets.token_hex(8)}-0{int(kept)}"


@contextmanager
def part(name: str, kind: SpanKind = SpanKind.INTERNAL, /, **attributes: AttributeValue) -> Iterator[Span]:
    """A span around the block, as a part of the current one; none where that is not kept, or there is none."""
    if not trace.get_current_span().get_span_context().trace_flags.sampled:
        yield INVALID_SPAN
        return
    with _Process.tracer.start_as_current_span(
        name, kind=kind, attributes=dotted(attributes), record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except Exception as error:
            fail(span, error, error.category.value if isinstance(error, FluxlineError) else type(error).__name__)
            raise


def completed(
    name: str,
    began_ns: int,
    attributes: dict[str, Any],
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    links: Sequence[SpanContext] = (),
    error: str | None = None,
    said: str = "",
) -> None:
    """A span of what has ended just now, as a part of the current one; `error` is its category."""
    if not trace.get_current_span().get_span_context().trace_flags.sampled:
        return
    known = {key: value for key, value in attributes.items() if value is not None}
    valid = [Link(link) for link in links if link.is_valid]
    span = _Process.tracer.start_span(name, kind=kind, attributes=known, links=valid, start_time=began_ns)
    if error:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR, said[:500]))
    span.end(max(began_ns, time.time_ns()))


def fail(span: Span, error: BaseException, category: str) -> None:
    """Mark the span as failed: `error.type` is our category, its description what our error says."""
    if not span.is_recording():
        return
    said = error.message if isinstance(error, FluxlineError) else type(error).__name__
    span.set_attribute("error.type", category)
    span.set_status(Status(StatusCode.ERROR, said[:500]))


def dotted(attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Keywords as names of attributes: `db__operation__name` is `db.operation.name`."""
    return {name.replace("__", "."): value for name, value in attributes.items()}
