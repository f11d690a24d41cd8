"""From a histogram to a trace: the exemplar of an observation, where its trace is kept."""

from opentelemetry import trace

from fluxline.runtime.trace_context import UnkeptSpan


def exemplar() -> dict[str, str] | None:
    """The ids of the current span; None outside of one, and where it is not sampled: nobody could look it up."""
    span = trace.get_current_span()
    if span is trace.INVALID_SPAN or type(span) is UnkeptSpan:  # nearly always, where few traces are kept
        return None
    span_context = span.get_span_context()
    if not (span_context.is_valid and span_context.trace_flags.sampled):
        return None
    return {
        "trace_id": trace.format_trace_id(span_context.trace_id),
        "span_id": trace.format_span_id(span_context.span_id),
    }
