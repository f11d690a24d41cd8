"""What the debug-collector tells of one training: summary, timeline, events. It and who passes it on share these.

Times are aware, durations are whole milliseconds. Texts hold no secret, but may hold anything else: escape them.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from fluxline.contracts.narration import Level

JobStatus = Literal["running", "succeeded", "failed", "canceled"]
StageStatus = Literal["pending", "running", "retrying", "succeeded", "failed", "canceled"]
Outcome = Literal["succeeded", "retried", "failed", "canceled", "lost"]
"""How an attempt ended. `lost`: its process ended with it, and nobody said so."""
WaitReason = Literal["queue", "retry", "rate_limit", "cut_off", "owner", "earlier_stage"]
"""Why nobody worked: not begun yet; between attempts; the process was gone; until the owner or operator wanted the
stage again; until a stage before it was done again."""


class StoredEvent(BaseModel):
    """One message of the stream; `id` is its sequence there, `data` its facts, null where they cannot be read."""

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

    @property
    def facts(self) -> dict[str, Any]:
        """Its facts as far as they may be trusted: none of a message that does not fit its event."""
        return self.data or {} if self.problem is None else {}


class StageSummary(BaseModel):
    """One stage over all runs: `duration_ms` from its first start to its end is `work_ms` and `wait_ms` together.

    `queued_ms` is how long it waited before that, `errors` how many of its attempts failed.
    """

    stage: str
    status: StageStatus
    attempts: int
    errors: int = 0
    started_at: datetime
    ended_at: datetime | None = None
    duration_ms: int | None = None
    work_ms: int = 0
    wait_ms: int = 0
    queued_ms: int | None = None


class LastError(BaseModel):
    """The newest error, or the one that ended the training; `hint` is the remedy, `context` what helps to find it."""

    stage: str | None
    category: str | None
    retryable: bool | None
    message: str
    hint: str
    occurred_at: datetime
    attempt: int | None = None
    service: str | None = None
    resume_from: str | None = Field(None, description="the stage at which a retry begins, if that is an earlier one")
    context: dict[str, Any] = {}


class Waiting(BaseModel):
    """What a running training waits for, and until when if that is known."""

    reason: Literal["retry", "rate_limit", "provider_queue", "service", "canceling"]
    since: datetime
    until: datetime | None = None


class TrainingProgress(BaseModel):
    """How far the provider's run is, by its newest word; `percent` of the run, not of the whole pipeline."""

    at: datetime
    percent: float
    phase: str = "training"
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    eta_s: float | None = None


class Spent(BaseModel):
    """US dollars of all the provider's runs that succeeded, and how the newest figure came about."""

    amount_usd: float
    basis: str


class LogLine(BaseModel):
    """One line of the training's log; `folded` like lines before it were left out."""

    occurred_at: datetime
    level: Level
    stage: str | None
    message: str
    data: dict[str, Any]
    folded: int = 0


class Summary(BaseModel):
    """Everything one look should tell of a training."""

    training_id: UUID
    name: str | None = None
    trace_id: str | None
    trace_url: str | None = None
    status: JobStatus
    current_stage: str | None
    run: int = Field(0, description="how often the training was retried")
    requested_at: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: int | None = None
    events: int
    unreadable_events: int = 0
    error_counts: dict[str, int]
    retryable_errors: int
    last_error: LastError | None
    waiting: Waiting | None = None
    stages: list[StageSummary]
    progress: TrainingProgress | None = None
    provider_ids: dict[str, str]
    cost: Spent | None = None
    diagnosis: str
    log: list[LogLine]


class Span(BaseModel):
    """A piece of a stage's time; those of a stage follow each other without gap or overlap.

    `offset_ms` counts from the request. `duration_ms` is null while it lasts. `attempt` is that of the work, or the
    one that a wait led to.
    """

    stage: str
    kind: Literal["work", "wait"]
    reason: WaitReason | None = None
    run: int = 0
    attempt: int
    started_at: datetime
    offset_ms: int
    duration_ms: int | None
    outcome: Outcome | None = None
    category: str | None = None
    provider: str | None = None


class TimelineEntry(BaseModel):
    """One thing that happened, or (`type` is `wait`) how long nothing did; `id` is the event's, or the one before."""

    id: int
    at: datetime
    offset_ms: int
    level: Level
    stage: str | None
    type: str
    title: str
    detail: str | None = None
    duration_ms: int | None = None
    category: str | None = None
    attempt: int | None = None
    provider_ids: dict[str, str] = {}
    folded: int = 0


class Timeline(BaseModel):
    """What happened, in the order of time, and the spans of a waterfall; `left_out` older events are not in it."""

    training_id: UUID
    started_at: datetime
    status: JobStatus
    entries: list[TimelineEntry]
    spans: list[Span]
    left_out: int = 0
