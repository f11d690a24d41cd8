"""What happened to a training, from its events alone: where it is, why, and what to do. Pure functions.

Events are given in stream order; an event that came twice (same id) counts once.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from fluxline_collector.journal import STAGE_NAMES, Level

STAGES = ("zip_creation", "replicate_training", "huggingface_upload")
LOG_LINES = 50
StageStatus = Literal["running", "retrying", "succeeded", "failed", "canceled"]
JobStatus = Literal["running", "succeeded", "failed", "canceled"]


class StoredEvent(BaseModel):
    """One event as the API shows it; `id` is the stream sequence."""

    id: int
    event_id: UUID | None
    type: str
    occurred_at: datetime | None
    stored_at: datetime
    received_at: datetime
    stage: str | None
    service: str | None
    category: str | None
    retryable: bool | None
    attempt: int | None
    duration_ms: int | None
    trace_id: str | None
    level: Level
    message: str
    data: dict[str, Any] | None
    problem: str | None = None

    @property
    def at(self) -> datetime:
        """When it happened, by the sender's clock where it is known."""
        return self.occurred_at or self.stored_at


class StageSummary(BaseModel):
    """One stage: `duration_ms` from first start to end, `work_ms` within attempts, `wait_ms` between them."""

    stage: str
    status: StageStatus
    attempts: int
    started_at: datetime
    ended_at: datetime | None = None
    duration_ms: int | None = None
    work_ms: int = 0
    wait_ms: int | None = None


class LastError(BaseModel):
    """The newest error, with its context."""

    stage: str | None
    category: str | None
    retryable: bool | None
    message: str
    hint: str
    occurred_at: datetime
    context: dict[str, Any] = {}


class LogLine(BaseModel):
    """One line of the job's log."""

    occurred_at: datetime
    level: Level
    stage: str | None
    message: str
    data: dict[str, Any]


class Summary(BaseModel):
    """Everything one look should tell."""

    training_id: UUID
    trace_id: str | None
    status: JobStatus
    current_stage: str | None
    events: int
    error_counts: dict[str, int]
    retryable_errors: int
    last_error: LastError | None
    stages: list[StageSummary]
    provider_ids: dict[str, str]
    diagnosis: str
    log: list[LogLine]


def summarise(training_id: UUID, events: Iterable[StoredEvent]) -> Summary:
    """The summary of a training's events, which must be in stream order."""
    known = _once(events)
    errors = [event for event in known if event.type in ("stage.retried", "stage.failed")]
    stages = _stages(known)
    status = _status(known)
    last_error = _last_error(known)
    return Summary(
        training_id=training_id,
        trace_id=next((event.trace_id for event in known if event.trace_id), None),
        status=status,
        current_stage=_current_stage(status, stages),
        events=len(known),
        error_counts=_counts(event.category for event in errors),
        retryable_errors=sum(bool(event.retryable) for event in errors),
        last_error=last_error,
        stages=stages,
        provider_ids=_provider_ids(known),
        diagnosis=_diagnosis(status, stages, last_error, known),
        log=[_log_line(event) for event in known[-LOG_LINES:]],
    )


def _once(events: Iterable[StoredEvent]) -> list[StoredEvent]:
    seen: set[UUID] = set()
    known = []
    for event in events:
        if event.event_id is not None and event.event_id in seen:
            continue
        if event.event_id is not None:
            seen.add(event.event_id)
        known.append(event)
    return known


def _stages(events: Sequence[StoredEvent]) -> list[StageSummary]:
    by_stage: dict[str, list[StoredEvent]] = {}
    for event in events:
        if event.type.startswith("stage.") and event.stage and event.problem is None:
            by_stage.setdefault(event.stage, []).append(event)
    order = [stage for stage in STAGES if stage in by_stage] + [stage for stage in by_stage if stage not in STAGES]
    canceled_at = next((event.at for event in events if event.type == "training.canceled"), None)
    return [_stage(stage, by_stage[stage], canceled_at) for stage in order]


def _runs(events: Sequence[StoredEvent]) -> list[list[StoredEvent]]:
    """A stage's events, divided where it gave up and was begun again: attempts count from 1 in each run."""
    runs: list[list[StoredEvent]] = [[]]
    for event in events:
        if runs[-1] and runs[-1][-1].type == "stage.failed":
            runs.append([])
        runs[-1].append(event)
    return runs


def _stage(stage: str, events: Sequence[StoredEvent], canceled_at: datetime | None) -> StageSummary:
    runs = _runs(events)
    last = max(runs[-1], key=lambda event: (event.attempt or 0, event.type != "stage.started"))
    started_at = min(event.at for event in events)
    status: StageStatus = {
        "stage.started": "running",
        "stage.retried": "retrying",
        "stage.succeeded": "succeeded",
        "stage.failed": "failed",
    }[last.type]  # type: ignore[assignment]  # the dict's values are the literals
    ended_at = last.at if status in ("succeeded", "failed") else None
    if ended_at is None and canceled_at is not None:  # what ran then has no other end
        status, ended_at = "canceled", max(canceled_at, last.at)
    work_ms = sum(event.duration_ms or 0 for event in events)
    duration_ms = max(int((ended_at - started_at).total_seconds() * 1000), work_ms) if ended_at else None
    return StageSummary(
        stage=stage,
        status=status,
        attempts=sum(max(event.attempt or 1 for event in run) for run in runs),
        started_at=started_at,
        ended_at=ended_at,
        duration_ms=duration_ms,
        work_ms=work_ms,
        wait_ms=duration_ms - work_ms if duration_ms is not None else None,
    )


def _status(events: Sequence[StoredEvent]) -> JobStatus:
    status: JobStatus = "running"
    for event in events:
        if event.type == "training.retry_requested":
            status = "running"
        elif event.type == "training.failed":
            status = "failed"
        elif event.type == "training.canceled":
            status = "canceled"
        elif event.type == "model.published":
            status = "succeeded"
    return status


def _current_stage(status: JobStatus, stages: Sequence[StageSummary]) -> str | None:
    if status == "succeeded":
        return "completion"
    unfinished = [stage.stage for stage in stages if stage.status != "succeeded"]
    if unfinished:
        return unfinished[-1]
    done = {stage.stage for stage in stages}
    return next((stage for stage in STAGES if stage not in done), None)


def _last_error(events: Sequence[StoredEvent]) -> LastError | None:
    for event in reversed(events):
        if event.type in ("stage.failed", "stage.retried"):
            data = event.data or {}
            return LastError(
                stage=event.stage,
                category=event.category,
                retryable=event.retryable,
                message=str(data.get("message", "")),
                hint=str(data.get("hint", "")),
                occurred_at=event.at,
                context=data.get("context") or {},
            )
    return None


def _counts(categories: Iterable[str | None]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for category in categories:
        counts[category or "unknown"] = counts.get(category or "unknown", 0) + 1
    return counts


def _provider_ids(events: Sequence[StoredEvent]) -> dict[str, str]:
    ids: dict[str, str] = {}
    for event in events:
        data: Mapping[str, Any] = event.data or {}
        ids |= data.get("provider_ids") or {}
        if event.type in ("training.started", "training.succeeded"):
            ids[str(data.get("provider"))] = str(data.get("external_id"))
        if event.type == "model.published" and data.get("huggingface"):
            ids["huggingface"] = f"{data['huggingface']['repo']}@{data['huggingface']['commit']}"
    return ids


def _diagnosis(
    status: JobStatus, stages: Sequence[StageSummary], error: LastError | None, events: Sequence[StoredEvent]
) -> str:
    if status == "succeeded":
        return "Completed: " + events_message(events, "model.published")
    if status == "canceled":
        return "Canceled by its owner."
    where = STAGE_NAMES.get(error.stage or "", error.stage or "") if error else ""
    if status == "failed" and error:
        return f"{where} failed ({error.category}): {error.message} {error.hint}".strip()
    if stages and stages[-1].status == "retrying" and error:
        return f"{where} is being tried again ({error.category}): {error.message} {error.hint}".strip()
    if status == "failed":
        return events_message(events, "training.failed")
    current = _current_stage(status, stages)
    return f"Running: {STAGE_NAMES.get(current or '', 'waiting for its first stage')}."


def events_message(events: Sequence[StoredEvent], subject: str) -> str:
    """The sentence of the newest event of that subject; empty when there is none."""
    return next((event.message for event in reversed(events) if event.type == subject), "")


def _log_line(event: StoredEvent) -> LogLine:
    return LogLine(
        occurred_at=event.at, level=event.level, stage=event.stage, message=event.message, data=event.data or {}
    )
