"""What happened to a training, from its events alone: where it is, why, and what to do. Pure functions.

Events are given in stream order; an event that came twice (same id) counts once. Those of generations with the trained
model are not the training's own, and are left out.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fluxline.contracts.debugging import (
    LogLine,
    Spent,
    StoredEvent,
    Summary,
    TrainingProgress,
)
from fluxline_collector.diagnosis import Case, diagnose
from fluxline_collector.faults import errors_in, last_error
from fluxline_collector.folding import fold_progress
from fluxline_collector.spans import stage_times
from fluxline_collector.stage_summaries import stage_summaries
from fluxline_collector.standing import Standing, standing_of
from fluxline_collector.waiting import waiting_for

LOG_LINES = 50
_TRACE_ID = re.compile("[0-9a-f]{32}")
SHOWN_CHARS = 200
"""Longer texts, lists and objects are not in the log's data."""


def summarise(
    training_id: UUID,
    events: Iterable[StoredEvent],
    *,
    now: datetime,
    total: int | None = None,
    folded: Mapping[int, int] | None = None,
    trace_url: str | None = None,
) -> Summary:
    """The summary of a training's events.

    `total` is how many there are where some are left out, `folded` how many progress events were left out before each.
    """
    known = once(events)
    standing = standing_of(known)
    stages = stage_summaries(stage_times(known, standing, origin_of(known)), standing)
    errors = errors_in(known)
    error, progress = last_error(known, errors, standing), _progress(known, standing)
    waiting = waiting_for(known, standing, stages, progress, now)
    return Summary(
        training_id=training_id,
        status=standing.status,
        current_stage=standing.stage,
        run=standing.run,
        events=len(known) if total is None else total,
        unreadable_events=sum(event.problem is not None for event in known),
        error_counts=dict(Counter(event.category or "unknown" for event in errors)),
        retryable_errors=sum(bool(event.retryable) for event in errors),
        last_error=error,
        waiting=waiting,
        stages=stages,
        progress=progress,
        provider_ids={name: value for event in known for name, value in provider_ids_of(event).items()},
        cost=_cost(known),
        diagnosis=diagnose(Case(known, standing, stages, error, waiting, progress, now, len(errors))),
        log=_log(known, folded or {}),
        **_identity(known, standing, trace_url),
    )


def _identity(events: Sequence[StoredEvent], standing: Standing, trace_url: str | None) -> dict[str, Any]:
    """What the training is called, where its trace is, and from when to when it ran."""
    trace_id = next((event.trace_id for event in events if event.trace_id), None)
    has_page = trace_url and trace_id and _TRACE_ID.fullmatch(trace_id)
    ended_at = standing.ended_at
    took = max(timedelta(0), ended_at - origin_of(events)) if ended_at else None
    return {
        "name": next((str(event.facts["name"]) for event in events if event.facts.get("name")), None),
        "trace_id": trace_id,
        "trace_url": trace_url.replace("{trace_id}", trace_id) if trace_url and trace_id and has_page else None,
        "requested_at": next((event.at for event in events if event.type == "training.requested"), None),
        "ended_at": ended_at,
        "duration_ms": took // timedelta(milliseconds=1) if took is not None else None,
    }


def once(events: Iterable[StoredEvent]) -> list[StoredEvent]:
    """The training's own events, each once."""
    seen: set[UUID] = set()
    known = []
    for event in events:
        if event.event_id in seen or event.type.startswith("generation.") or event.stage == "image_generation":
            continue
        if event.event_id is not None:
            seen.add(event.event_id)
        known.append(event)
    return known


def origin_of(events: Sequence[StoredEvent]) -> datetime:
    """When the training was requested; without that event, the first moment that is known of it."""
    requested = [event.at for event in events if event.type == "training.requested" and event.problem is None]
    return min(requested or [event.at for event in events])


def provider_ids_of(event: StoredEvent) -> dict[str, str]:
    """What the training is called at each provider, as far as the event says it."""
    facts = event.facts
    ids = {str(name): str(value) for name, value in (facts.get("provider_ids") or {}).items() if value}
    if event.type in ("training.started", "training.succeeded") and facts:
        ids[str(facts["provider"])] = str(facts["external_id"])
    if event.type == "model.published" and facts.get("huggingface"):
        ids["huggingface"] = f"{facts['huggingface']['repo']}@{facts['huggingface']['commit']}"
    return ids


def shown(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that fit on a line."""
    return {
        name: value
        for name, value in facts.items()
        if value is not None and (isinstance(value, int | float) or (isinstance(value, str) and _is_short(value)))
    }


def _is_short(text: str) -> bool:
    return 0 < len(text) <= SHOWN_CHARS


def _progress(events: Sequence[StoredEvent], standing: Standing) -> TrainingProgress | None:
    for event in reversed(events):
        if event.type == "training.progressed" and event.facts and event.id > standing.run_sequence:
            return TrainingProgress(at=event.at, **{k: v for k, v in event.facts.items() if k in _PROGRESS})
    return None


_PROGRESS = frozenset(TrainingProgress.model_fields) - {"at"}


def _cost(events: Sequence[StoredEvent]) -> Spent | None:
    told = [event.facts for event in events if event.type == "training.succeeded" and event.facts.get("cost")]
    costs = {facts["external_id"]: facts["cost"] for facts in told}  # a run may be told of again after a retry
    if not costs:
        return None
    total = sum(cost["amount_usd"] for cost in costs.values())
    return Spent(amount_usd=round(total, 6), basis=str(told[-1]["cost"]["basis"]))


def _log(events: Sequence[StoredEvent], left_out: Mapping[int, int]) -> list[LogLine]:
    return [
        LogLine(
            occurred_at=event.at,
            level=event.level,
            stage=event.stage,
            message=event.message,
            data=shown(event.data or {}),
            folded=folded + left_out.get(event.id, 0),
        )
        for event, folded in fold_progress(events)[-LOG_LINES:]
    ]
