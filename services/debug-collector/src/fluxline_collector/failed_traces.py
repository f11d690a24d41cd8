"""The trace of a failed training that was not sampled, written from its history: of what fails, everything is kept.

Sampling decides at a job's beginning, when nobody knows its end. The services then make no spans, but each event keeps
the ids and the times; this makes of them the spans of the failed run, under the trace id that logs and events name.
Their ids follow from what they tell, so writing them again adds nothing.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from fluxline.contracts.debugging import StoredEvent
from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.contracts.events import TrainingFailed
from fluxline.runtime.envelope import Received, read_event
from fluxline.runtime.errors import Unreadable
from fluxline.runtime.logs import get_logger
from fluxline.runtime.telemetry import resource_of
from fluxline.runtime.trace_context import extracted
from fluxline_collector.attempts import Attempt
from fluxline_collector.history import History
from fluxline_collector.spans import stage_times
from fluxline_collector.standing import standing_of
from fluxline_collector.summary import once

RETRY_S: Final = 5.0
NOT_STORED_S: Final = 0.5
_SAMPLED: Final = TraceFlags(1)
_SERVICE: Final = "gateway"
"""Whose span the whole training is: it owns the training's state."""

log = get_logger(__name__)


class TraceNotWritten(FluxlineError):
    """The spans of a failed training could not be written yet."""

    category: ClassVar[ErrorCategory] = ErrorCategory.NETWORK
    hint = "It is tried again by itself; check that OTEL_EXPORTER_OTLP_ENDPOINT answers."


class FailedTraces:
    """Writes traces to `exporter`; without one, none."""

    def __init__(self, history: History, exporter: SpanExporter | None, *, retry_s: float = RETRY_S) -> None:
        self._history = history
        self._exporter = exporter
        self._retry_s = retry_s

    async def handle(self, batch: list[Received]) -> None:
        """Each message tells of a failed training; raises TraceNotWritten, after a while, for those to come again."""
        for message in batch:
            context = extracted(message.headers)
            if self._exporter and context.is_valid and not context.trace_flags.sampled:
                await self._write(self._exporter, context.trace_id, message)

    async def _write(self, exporter: SpanExporter, trace_id: int, message: Received) -> None:
        try:
            failed = read_event(message.subject, message.body)
        except Unreadable:
            return
        if not isinstance(failed, TrainingFailed):
            return
        story = await self._history.story(failed.training_id)
        if story is None or story.events[-1].id < message.sequence:
            await asyncio.sleep(NOT_STORED_S)
            raise TraceNotWritten("The training's history is not stored yet")
        spans = spans_of_failure(failed, story.events, trace_id)
        if await asyncio.to_thread(exporter.export, spans) is not SpanExportResult.SUCCESS:
            await asyncio.sleep(self._retry_s)
            raise TraceNotWritten("The OTLP endpoint did not take the spans of a failed training")
        log.info("trace.written", training_id=str(failed.training_id), spans=len(spans))


def spans_of_failure(failed: TrainingFailed, events: Sequence[StoredEvent], trace_id: int) -> list[ReadableSpan]:
    """The failed run as one span, and each attempt at a stage as a part of it."""
    known = once(events)
    standing = standing_of(known)
    of_run = [
        attempt
        for time in stage_times(known, standing, known[0].at)
        for attempt in time.attempts
        if attempt.run == failed.run
    ]
    began = min([attempt.started_at for attempt in of_run] + ([known[0].at] if failed.run == 0 else []))
    whole = _context(trace_id, f"{failed.training_id}/{failed.event_id}")
    told = [event for event in known if began <= event.at <= failed.occurred_at]
    facts: dict[str, AttributeValue] = {"fluxline.stage": failed.stage.value, "error.type": failed.category.value}
    ended = max([failed.occurred_at, *(attempt.ended_at for attempt in of_run if attempt.ended_at)])
    root = _span("training", whole, None, _SERVICE, failed.training_id, began, ended, facts, failed.message, told)
    return [root, *(_attempt_span(attempt, whole, failed, ended) for attempt in of_run)]


def _attempt_span(attempt: Attempt, whole: SpanContext, failed: TrainingFailed, ended: datetime) -> ReadableSpan:
    teller = attempt.end or attempt.start
    facts: dict[str, AttributeValue] = {
        "fluxline.stage": attempt.stage,
        "fluxline.attempt": attempt.number,
        "fluxline.outcome": attempt.outcome or "lost",
    }
    said = ""
    if attempt.outcome in ("failed", "retried"):
        facts["error.type"] = (attempt.end.category if attempt.end else None) or "internal"
        said = str((attempt.end.data or {}).get("message") or "") if attempt.end else ""
    return _span(
        attempt.stage,
        _context(whole.trace_id, f"{failed.training_id}/{attempt.stage}/{attempt.run}/{attempt.number}"),
        whole,
        (teller.service if teller else None) or _SERVICE,
        failed.training_id,
        attempt.worked_from or attempt.started_at,
        attempt.ended_at or ended,
        facts,
        said,
    )


def _span(
    name: str,
    context: SpanContext,
    parent: SpanContext | None,
    service: str,
    training_id: UUID,
    began: datetime,
    ended: datetime,
    facts: dict[str, AttributeValue],
    said: str,
    told: Sequence[StoredEvent] = (),
) -> ReadableSpan:
    return ReadableSpan(
        name=name,
        context=context,
        parent=parent,
        resource=resource_of(service),
        attributes={"fluxline.training_id": str(training_id), "fluxline.rebuilt": True, **facts},
        events=list(_events(told)),
        kind=SpanKind.CONSUMER if parent else SpanKind.SERVER,
        status=Status(StatusCode.ERROR, said) if "error.type" in facts else Status(StatusCode.UNSET),
        start_time=_ns(began),
        end_time=_ns(max(began, ended)),
    )


def _events(told: Sequence[StoredEvent]) -> Iterator[SpanEvent]:
    for event in told:
        yield SpanEvent(event.type, {"fluxline.service": event.service or ""}, _ns(event.at))


def _context(trace_id: int, name: str) -> SpanContext:
    span_id = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") or 1
    return SpanContext(trace_id, span_id, False, _SAMPLED)


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
