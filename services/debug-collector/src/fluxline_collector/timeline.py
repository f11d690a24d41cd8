"""What happened to a training, as a person reads it: entries and waits in the order of time, and spans. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from fluxline.contracts.debugging import Span, StoredEvent, Timeline, TimelineEntry
from fluxline.contracts.narration import STAGE_NAMES, duration_text
from fluxline_collector.folding import fold_progress
from fluxline_collector.remedies import ended, remedy
from fluxline_collector.spans import stage_times
from fluxline_collector.standing import standing_of
from fluxline_collector.summary import once, origin_of, provider_ids_of, shown

TOLD_WAIT_MS = 1000
"""Shorter waits are in the spans, not among the entries."""
REASONS = {
    "queue": "waiting for its turn",
    "retry": "between two attempts",
    "rate_limit": "rate limit",
    "cut_off": "the process of the attempt had ended",
    "owner": "until it was wanted again",
    "earlier_stage": "for the stages before it",
}


def timeline_of(
    training_id: UUID,
    events: Iterable[StoredEvent],
    *,
    total: int | None = None,
    folded: Mapping[int, int] | None = None,
) -> Timeline:
    """The timeline of a training's events, which must be in stream order; `total` and `folded` as for `summarise`."""
    known = once(events)
    standing, origin = standing_of(known), origin_of(known)
    spans = [span for time in stage_times(known, standing, origin) for span in time.spans]
    left_out = folded or {}
    shown_events = fold_progress(known)
    entries = [_entry(event, origin, times + left_out.get(event.id, 0)) for event, times in shown_events]
    entries += _waits(spans, known)
    entries.sort(key=lambda entry: (entry.at, entry.id, entry.type == "wait"))
    told = sum(entry.folded + 1 for entry in entries if entry.type != "wait")
    return Timeline(
        training_id=training_id,
        started_at=origin,
        status=standing.status,
        entries=entries,
        spans=spans,
        left_out=max(0, total - told) if total is not None else 0,
    )


def _entry(event: StoredEvent, origin: datetime, folded: int) -> TimelineEntry:
    return TimelineEntry(
        id=event.id,
        at=event.at,
        offset_ms=_ms(event.at - origin),
        level=event.level,
        stage=event.stage,
        type=event.type,
        title=event.message,
        detail=_detail(event),
        duration_ms=event.duration_ms,
        category=event.category,
        attempt=event.attempt,
        provider_ids=provider_ids_of(event),
        folded=folded,
    )


def _detail(event: StoredEvent) -> str | None:
    """What to do about an error, with what helps to find its cause; how far progress is."""
    facts = event.facts
    if event.category:
        hint = remedy(str(facts.get("hint", "")), event.category)
        context = ", ".join(f"{name} {value}" for name, value in shown(facts.get("context") or {}).items())
        return f"{hint} ({context})" if context else hint
    if event.type == "zip.progressed":
        return str(facts.get("current") or "") or None
    if isinstance(facts.get("eta_s"), int | float) and facts["eta_s"]:
        return f"about {duration_text(facts['eta_s'] * 1000)} left"
    return None


def _waits(spans: Sequence[Span], events: Sequence[StoredEvent]) -> Iterable[TimelineEntry]:
    for span in spans:
        if span.kind == "wait" and (span.duration_ms is None or span.duration_ms >= TOLD_WAIT_MS):
            yield _wait(span, max((event.id for event in events if event.at <= span.started_at), default=0))


def _wait(span: Span, after: int) -> TimelineEntry:
    why = REASONS.get(span.reason or "", "waiting")
    stage = STAGE_NAMES.get(span.stage, span.stage)
    said = f"waited {duration_text(span.duration_ms)}" if span.duration_ms is not None else "waits"
    return TimelineEntry(
        id=after,
        at=span.started_at,
        offset_ms=span.offset_ms,
        level="info",
        stage=span.stage,
        type="wait",
        title=ended(f"{stage} {said}: {why}").removesuffix("."),
        duration_ms=span.duration_ms,
        attempt=span.attempt,
    )


def _ms(time: timedelta) -> int:
    return time // timedelta(milliseconds=1)
