"""W3C trace context on messages, fast where it is as usual: one `traceparent` of version 00, and nothing else."""

import re
from collections.abc import Mapping
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, TraceFlags

TRACEPARENT: Final = "traceparent"
_USUAL: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0([01])")
_FLAGS: Final = (TraceFlags(0), TraceFlags(1))


def extracted(headers: Mapping[str, str]) -> SpanContext:
    """Whose child the message is; invalid where its headers name nobody."""
    header = headers.get(TRACEPARENT)
    if header is None:
        return INVALID_SPAN_CONTEXT
    found = _USUAL.fullmatch(header)
    if found is None or "tracestate" in headers:
        return trace.get_current_span(propagate.extract(headers)).get_span_context()
    return SpanContext(int(found[1], 16), int(found[2], 16), True, _FLAGS[found[3] == "1"])


class UnkeptSpan(NonRecordingSpan):
    """The span of a trace that is not kept, as its message's header names it; its ids are read when asked for."""

    def __init__(self, header: str) -> None:
        self.header = header

    def get_span_context(self) -> SpanContext:
        """The ids of the header."""
        return SpanContext(int(self.header[3:35], 16), int(self.header[36:52], 16), True, _FLAGS[0])


def unkept(headers: Mapping[str, str]) -> UnkeptSpan | None:
    """The span that the headers name, if its trace is certainly not kept."""
    header = headers.get(TRACEPARENT, "")
    usual = header.endswith("-00") and "tracestate" not in headers and _USUAL.fullmatch(header) is not None
    return UnkeptSpan(header) if usual else None


def inject(headers: dict[str, str]) -> None:
    """Name the current span in the headers; nothing outside of one."""
    span = trace.get_current_span()
    if type(span) is UnkeptSpan:
        headers[TRACEPARENT] = span.header
        return
    current = span.get_span_context()
    if not current.is_valid:
        return
    if current.trace_state:
        propagate.inject(headers)
        return
    headers[TRACEPARENT] = f"00-{current.trace_id:032x}-{current.span_id:016x}-{current.trace_flags & 1:02x}"
