"""Spans of messages on their way, by OpenTelemetry's conventions for messaging: published, and processed.

FastStream's own middleware costs more than the hop it watches. Events that only tell how something goes on (progress,
and the runtime's stage events) carry the trace and make no spans: a job would be lost among them.
"""

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Token
from functools import lru_cache
from typing import Any, Final, cast

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, ParentBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.util.types import AttributeValue

from fluxline.contracts.catalog import Consumer
from fluxline.runtime.envelope import MSG_ID, Received
from fluxline.runtime.lean_span import LeanSpan
from fluxline.runtime.trace_context import TRACEPARENT, UnkeptSpan, extracted, inject, unkept

LINK: Final = "fluxline-link"
"""On a replayed dead letter: the `traceparent` of the span that gave the message up."""
BURIED_BY: Final = "dlq-traceparent"
MAX_TRACES: Final = 64
"""So many spans a batch makes at most, one for each trace in it."""
_JOB: Final = "ce-subject"
_SCOPE: Final = InstrumentationScope("fluxline.runtime")
_SAMPLED, _NOT_SAMPLED = TraceFlags(1), TraceFlags(0)
_NOTHING: Final = nullcontext()


@lru_cache(maxsize=256)
def is_quiet(subject: str) -> bool:
    """Whether messages of this subject make no spans of their own."""
    return subject.startswith(("stage.", "timers.", "logs.", "dlq.")) or subject.endswith(".progressed")


class MessageSpans:
    """The spans that one process makes of messages."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._new_id = provider.id_generator.generate_span_id
        self._follows_parent = isinstance(provider.sampler, ParentBased)

    def publishing(self, subject: str, headers: dict[str, str], size_bytes: int) -> AbstractContextManager[object]:
        """Around publishing a message with these headers, which name the span from now on."""
        span = trace.get_current_span()
        if type(span) is UnkeptSpan and self._follows_parent:
            headers[TRACEPARENT] = span.header
            return _NOTHING
        current = span.get_span_context()
        parent = current if current.is_valid else None
        if is_quiet(subject) or not self._is_kept(parent or self._root()):
            inject(headers)
            return _NOTHING
        attributes: dict[str, AttributeValue] = {
            "messaging.system": "nats",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": subject,
            "messaging.message.id": headers.get(MSG_ID, ""),
            "messaging.message.body.size": size_bytes,
            "fluxline.training_id": headers.get(_JOB, ""),
        }
        of = parent or self._root()
        span = self._span(f"publish {subject}", of, self._new_id(), SpanKind.PRODUCER, attributes, parent=parent)
        headers[TRACEPARENT] = f"00-{of.trace_id:032x}-{span.context.span_id:016x}-01"
        return span

    def processing(self, consumer: Consumer, message: Received) -> AbstractContextManager[trace.Span]:
        """Around the handling of one delivery: its span, linked to the delivery before and to what it replays."""
        if self._follows_parent and (span := unkept(message.headers)):
            return _Unkept(span)
        parent = extracted(message.headers)
        of = parent if parent.is_valid else self._root()
        if not self._is_kept(of):
            return _Unkept(NonRecordingSpan(of))
        return self._span(
            f"process {message.subject}",
            of,
            span_id_of(consumer.durable, message.sequence, message.attempt),
            SpanKind.CONSUMER,
            _attributes(consumer, message),
            _links(consumer.durable, message, of),
            parent=parent if parent.is_valid else None,
        )

    def batch(self, consumer: Consumer, messages: Sequence[Received], began_ns: int, error: str | None) -> None:
        """A batch was handled from then until now: a span for each kept trace in it, the child of its first message."""
        traces: dict[int, list[tuple[SpanContext, Received]]] = {}
        for message in messages:
            if not is_quiet(message.subject) and (of := extracted(message.headers)).is_valid and self._is_kept(of):
                traces.setdefault(of.trace_id, []).append((of, message))
        for (parent, first), *others in list(traces.values())[:MAX_TRACES]:
            attributes = _attributes(consumer, first) | {"messaging.batch.message_count": len(messages)}
            links = [Link(of, {"messaging.destination.name": message.subject}) for of, message in others]
            span_id = span_id_of(consumer.durable, first.sequence, first.attempt)
            name = f"process {first.subject}"
            span = self._span(name, parent, span_id, SpanKind.CONSUMER, attributes, links, parent=parent)
            span.start_time = began_ns
            if error:
                span.attributes["error.type"] = error
                span.set_status(trace.StatusCode.ERROR, error)
            span.end()

    def _span(
        self,
        name: str,
        of: SpanContext,
        span_id: int,
        kind: SpanKind,
        attributes: dict[str, AttributeValue],
        links: Sequence[Link] = (),
        *,
        parent: SpanContext | None,
    ) -> LeanSpan:
        span_context = SpanContext(of.trace_id, span_id, False, _SAMPLED, of.trace_state)
        resource = self._provider.resource
        return LeanSpan(name, span_context, parent, kind, attributes, links, resource, _SCOPE, self._end)

    def _end(self, span: LeanSpan) -> None:
        self._provider._active_span_processor.on_end(cast(ReadableSpan, span))  # it reads no more than there is

    def _is_kept(self, of: SpanContext) -> bool:
        if self._follows_parent:
            return bool(of.trace_flags & 1)
        context_of = trace.set_span_in_context(NonRecordingSpan(of))
        return self._provider.sampler.should_sample(context_of, of.trace_id, "").decision is Decision.RECORD_AND_SAMPLE

    def _root(self) -> SpanContext:
        """A new trace, kept or not."""
        trace_id = self._provider.id_generator.generate_trace_id()
        kept = self._provider.sampler.should_sample(None, trace_id, "").decision is Decision.RECORD_AND_SAMPLE
        return SpanContext(trace_id, self._new_id(), False, _SAMPLED if kept else _NOT_SAMPLED)


class _Unkept:
    """Runs its block within a trace that is not kept: the ids travel on, and are on each line of the log."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> trace.Span:
        self._token: Token[Context] = context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, *_: object) -> None:
        context.detach(self._token)


def span_id_of(durable: str, sequence: int, attempt: int) -> int:
    """The id of a delivery's span: whoever handles the next delivery can name it, in whatever process."""
    name = f"{durable}/{sequence}/{attempt}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") or 1


def link_of(headers: dict[str, str]) -> dict[str, str]:
    """The header that leads from a replay to the span which buried the letter of these headers."""
    return {LINK: headers[BURIED_BY]} if BURIED_BY in headers else {}


def _attributes(consumer: Consumer, message: Received) -> dict[str, Any]:
    return {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": message.subject,
        "messaging.consumer.group.name": consumer.durable,
        "messaging.message.id": message.headers.get(MSG_ID, ""),
        "fluxline.training_id": message.headers.get(_JOB, ""),
        "fluxline.attempt": message.attempt,
    }


def _links(durable: str, message: Received, of: SpanContext) -> Sequence[Link]:
    if message.attempt == 1 and LINK not in message.headers:
        return ()
    links = []
    if message.attempt > 1:
        before = span_id_of(durable, message.sequence, message.attempt - 1)
        links.append(Link(SpanContext(of.trace_id, before, True, _SAMPLED), {"fluxline.link": "retry"}))
    given_up = extracted({TRACEPARENT: message.headers.get(LINK, "")})
    if given_up.is_valid:
        links.append(Link(given_up, {"fluxline.link": "replay"}))
    return links
